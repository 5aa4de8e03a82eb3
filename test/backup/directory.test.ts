import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  promises as fs,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { backupName } from '../../server/backup/name.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { backupTargetContract } from '../contract/backup-target.ts'
import { inProcess } from '../cli/in-process.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'
import { needRoot, runSottoAs, SERVER } from '../support/users.ts'

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

test('D6: a named pipe that was put in the place of a backup is not waited for', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'a.backup')
  execFileSync('mkfifo', [path])
  // Where it is waited for, this ends that.
  const release = setTimeout(() => writeFileSync(path, 'late'), 2000)
  const read: string[] = []
  for await (const piece of await directoryTarget(directory.path).get('a.backup')) {
    read.push(Buffer.from(piece).toString())
  }
  clearTimeout(release)
  expect(read).toEqual([])
})

test('a backup in a directory is a file for its owner alone', async () => {
  using directory = temporaryDirectory()
  const target = directoryTarget(directory.path)
  await target.put({ name: 'a.backup', size: 1, content: text('x') })
  expect(readdirSync(directory.path)).toEqual(['a.backup'])
  expect(statSync(join(directory.path, 'a.backup')).mode & 0o777).toBe(0o600)
})

test('what a crash left of a file is not listed, and goes after a day', async () => {
  using directory = temporaryDirectory()
  const named = (revision: number): string =>
    backupName({ created: '2026-01-02T03:04:05.678Z', storeId: '0'.repeat(32), revision })
  const left = join(directory.path, `.${named(1)}.0123abcd.partial`)
  writeFileSync(left, 'left')
  writeFileSync(join(directory.path, '.other'), 'kept')
  const target = directoryTarget(directory.path)
  await target.put({ name: named(2), size: 1, content: text('x') })
  expect((await target.list()).map(({ name }) => name)).toEqual([named(2)])
  expect(readdirSync(directory.path)).toHaveLength(3)
  const old = new Date(Date.now() - 25 * 3600 * 1000)
  utimesSync(left, old, old)
  await target.put({ name: named(3), size: 1, content: text('x') })
  expect(readdirSync(directory.path).toSorted()).toEqual(['.other', named(2), named(3)])
})

test('U4: an entry that cannot be looked at hides no other, and is named', async () => {
  using directory = temporaryDirectory()
  const target = directoryTarget(directory.path)
  await target.put({ name: 'a.backup', size: 1, content: text('x') })
  await target.put({ name: 'z.backup', size: 1, content: text('x') })
  symlinkSync('gone', join(directory.path, 'latest'))
  symlinkSync('loop', join(directory.path, 'loop'))
  mkdirSync(join(directory.path, 'lost'))
  const skipped: string[] = []
  const listed = await target.list((words) => skipped.push(words))
  expect(listed.map(({ name }) => name)).toEqual(['a.backup', 'z.backup'])
  expect(skipped.toSorted()).toEqual([
    '"latest" is a link that cannot be followed',
    '"loop" is a link that cannot be followed',
  ])
  const { stderr } = await runSotto(['backup', 'list', directory.path])
  expect(stderr).toContain('Skipped: "latest" is a link that cannot be followed\n')
})

/** Has looking at some entries fail with `code`, as a network file system may. */
function failing(
  wanted: (path: string) => boolean,
  code: string,
  act: () => void = () => {},
): void {
  const { stat } = fs
  vi.spyOn(fs, 'stat').mockImplementation((async (path: string) => {
    if (!wanted(path)) return stat(path)
    act()
    throw Object.assign(new Error(code), { code, syscall: 'stat', path })
  }) as typeof stat)
  syncBuiltinESMExports()
  onTestFinished(() => {
    vi.restoreAllMocks()
    syncBuiltinESMExports()
  })
}

test('U4: an entry that the disk does not give, and one that goes meanwhile, hide no other', async () => {
  using directory = temporaryDirectory()
  const target = directoryTarget(directory.path)
  for (const name of ['a.backup', 'b.backup', 'c.backup']) {
    await target.put({ name, size: 1, content: text('x') })
  }
  failing((path) => path.endsWith('b.backup'), 'ESTALE')
  const skipped: string[] = []
  const names = (await target.list((words) => skipped.push(words))).map(({ name }) => name)
  expect(names).toEqual(['a.backup', 'c.backup'])
  expect(skipped).toEqual(['"b.backup" cannot be looked at: its network file system lost it'])
  vi.restoreAllMocks()
  failing(
    (path) => path.endsWith('b.backup'),
    'ENOENT',
    () => rmSync(join(directory.path, 'b.backup'), { force: true }),
  )
  expect((await target.list((words) => skipped.push(words))).map(({ name }) => name)).toEqual(names)
  expect(skipped).toHaveLength(1)
})

test('U4: a directory in which nothing may be looked at is no empty one', async () => {
  using directory = temporaryDirectory()
  const target = directoryTarget(directory.path)
  await target.put({ name: 'a.backup', size: 1, content: text('x') })
  failing(() => true, 'EACCES')
  await expect(target.list()).rejects.toMatchObject({
    code: 'target_unavailable',
    message: expect.stringContaining('permission denied') as string,
  })
})

test('U4: sotto backup list shows the others of a backup that cannot be read', async (context) => {
  needRoot(context)
  using directory = temporaryDirectory()
  chmodSync(directory.path, 0o755)
  const state = join(directory.path, 'state')
  const backups = join(directory.path, 'backups')
  mkdirSync(backups)
  await inProcess(['init', '--state-dir', state], {})
  const create = ['backup', 'create', '--to', backups, '--state-dir', state]
  const [first, second] = [
    (await inProcess(create, {}, undefined, () => Date.UTC(2026, 0, 1))).stdout.trim(),
    (await inProcess(create, {}, undefined, () => Date.UTC(2026, 0, 2))).stdout.trim(),
  ] as const
  chmodSync(join(backups, second), 0o644)
  const listed = await runSottoAs(SERVER, ['backup', 'list', backups])
  expect(listed).toMatchObject({ code: 0, stderr: '' })
  const rows = listed.stdout.split('\n')
  expect(rows.find((row) => row.startsWith(first))).toMatch(/Cannot read ".*": permission denied$/)
  expect(rows.find((row) => row.startsWith(second))).toMatch(/whole$/)
  // Where none can be read, that is no list.
  chmodSync(join(backups, second), 0o600)
  const none = await runSottoAs(SERVER, ['backup', 'list', backups])
  expect(none).toMatchObject({ code: 1, stdout: '' })
  expect(none.stderr).toContain('permission denied\nhint: ')
})

test('U4: what is not a link and cannot be looked at hides no other either; a directory of such is not empty', async () => {
  using scratch = temporaryDirectory()
  const long = 'z'.repeat(200)
  const made = join(scratch.path, 'short', ...Array.from({ length: 15 }, () => 'd'.repeat(250)))
  mkdirSync(join(made, long), { recursive: true })
  writeFileSync(join(made, 'a.backup'), 'x')
  // The system takes no path of more than 4,095 bytes: that of the longer name is one.
  const parent = 'p'.repeat(4095 - made.length - 100 + 'short'.length)
  renameSync(join(scratch.path, 'short'), join(scratch.path, parent))
  const path = made.replace('/short/', `/${parent}/`)
  const skipped: string[] = []
  const target = directoryTarget(path)
  const listed = await target.list((words) => skipped.push(words))
  expect(listed.map(({ name }) => name)).toEqual(['a.backup'])
  expect(skipped).toEqual([expect.stringContaining(`"${long}" cannot be looked at: `)])
  await target.delete('a.backup')
  await expect(target.list()).rejects.toMatchObject({ code: 'target_unavailable' })
  renameSync(join(scratch.path, parent), join(scratch.path, 'short'))
})
