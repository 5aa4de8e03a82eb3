/** U3: what a file system answers to a sync of a folder, by both ways of asking, and what that means. */
import fs, { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { publish, publishNow, sync, syncNow } from '../../client/platform/durable.ts'
import { initialise } from '../../server/start/new-store.ts'
import { temporaryDirectory } from '../support/sotto.ts'

let scratch: ReturnType<typeof temporaryDirectory>
let folder: string
let file: string
beforeEach(() => {
  scratch = temporaryDirectory()
  folder = join(scratch.path, 'folder')
  file = join(folder, 'file')
  mkdirSync(folder)
  writeFileSync(file, 'content')
})
afterEach(() => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
  scratch[Symbol.dispose]()
})

type Sync = (this: FileHandle) => Promise<void>

/** Has each sync fail with `code`: of folders, or of files as well. */
async function failing(code: string, also: 'folders' | 'files'): Promise<void> {
  const error = Object.assign(new Error(`${code}: fsync`), { code })
  await using handle = await open(file)
  const isMeant = (of: number) => also === 'files' || fs.fstatSync(of).isDirectory()
  const prototype = Object.getPrototypeOf(handle) as { sync: Sync }
  const whole = prototype.sync
  vi.spyOn(prototype, 'sync').mockImplementation(async function fail(this: FileHandle) {
    if (isMeant(this.fd)) throw error
    await whole.call(this)
  })
  const wholeNow = fs.fsyncSync
  vi.spyOn(fs, 'fsyncSync').mockImplementation((of) => {
    if (isMeant(of)) throw error
    wholeNow(of)
  })
  syncBuiltinESMExports()
}

test.each(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])(
  'U3: %s of a folder is a file system without such a sync; of a file it fails',
  async (code) => {
    await failing(code, 'files')
    await sync(folder)
    syncNow(folder)
    await expect(sync(file)).rejects.toThrow(code)
    expect(() => syncNow(file)).toThrow(code)
  },
)

test.each(['EIO', 'ENOSPC', 'EDQUOT'])('U3: %s of a folder fails', async (code) => {
  await failing(code, 'folders')
  await expect(sync(folder)).rejects.toThrow(code)
  expect(() => syncNow(folder)).toThrow(code)
})

test('U3: a backup in such a directory is made, and told as made', async () => {
  await failing('EINVAL', 'folders')
  const target = directoryTarget(folder)
  const content = (async function* pieces() {
    yield Buffer.from('backup')
  })()
  await target.put({ name: 'sotto-a.backup', size: 6, content })
  expect((await target.list()).map(({ name }) => name)).toContain('sotto-a.backup')
})

/** Has each hard link fail with `code`, as on a file system that has none. */
function withoutLinks(code: string): void {
  const error = Object.assign(new Error(`${code}: link`), { code })
  vi.spyOn(fs, 'linkSync').mockImplementation(() => {
    throw error
  })
  vi.spyOn(fs.promises, 'link').mockRejectedValue(error)
  syncBuiltinESMExports()
}

test.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])(
  'U3: where a link fails with %s a file gets its name all the same, and replaces none',
  async (code) => {
    withoutLinks(code)
    const given = (name: string): string => join(folder, name)
    for (const [name, give] of [
      ['later', publish],
      ['now', publishNow],
    ] as const) {
      writeFileSync(given('draft'), name)
      await give(given('draft'), given(name))
      expect(readFileSync(given(name), 'utf8')).toBe(name)
      writeFileSync(given('draft'), 'another')
      await expect((async () => give(given('draft'), given(name)))()).rejects.toMatchObject({
        code: 'EEXIST',
      })
      expect(readFileSync(given(name), 'utf8')).toBe(name)
    }
  },
)

test('U3: a store is made where there are no links', async () => {
  withoutLinks('EPERM')
  const stateDir = join(folder, 'state')
  await initialise({ stateDir, keyFile: undefined })
  expect(readdirSync(stateDir)).toEqual(expect.arrayContaining(['sotto.db', 'local.key']))
  await expect(initialise({ stateDir, keyFile: undefined })).rejects.toThrow('not empty')
})
