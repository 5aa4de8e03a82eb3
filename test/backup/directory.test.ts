import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { backupTargetContract } from '../contract/backup-target.ts'
import { temporaryDirectory } from '../support/sotto.ts'

backupTargetContract('a directory', async () => {
  const directory = temporaryDirectory()
  return {
    target: directoryTarget(directory.path),
    again: directoryTarget(directory.path),
    nowhere: directoryTarget(join(directory.path, 'none')),
    [Symbol.asyncDispose]: async () => directory[Symbol.dispose](),
  }
})

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

test('a backup in a directory is a file for its owner alone', async () => {
  using directory = temporaryDirectory()
  const target = directoryTarget(directory.path)
  await target.put({ name: 'a.backup', size: 1, content: text('x') })
  expect(readdirSync(directory.path)).toEqual(['a.backup'])
  expect(statSync(join(directory.path, 'a.backup')).mode & 0o777).toBe(0o600)
})

test('what a crash left of a file is not listed, and goes after a day', async () => {
  using directory = temporaryDirectory()
  const left = join(directory.path, '.a.backup.0123abcd.partial')
  writeFileSync(left, 'left')
  writeFileSync(join(directory.path, '.other'), 'kept')
  const target = directoryTarget(directory.path)
  await target.put({ name: 'b.backup', size: 1, content: text('x') })
  expect((await target.list()).map(({ name }) => name)).toEqual(['b.backup'])
  expect(readdirSync(directory.path)).toHaveLength(3)
  const old = new Date(Date.now() - 25 * 3600 * 1000)
  utimesSync(left, old, old)
  await target.put({ name: 'c.backup', size: 1, content: text('x') })
  expect(readdirSync(directory.path).toSorted()).toEqual(['.other', 'b.backup', 'c.backup'])
})
