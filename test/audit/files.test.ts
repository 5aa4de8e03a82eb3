import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { nodeFiles } from '../../audit/files.ts'
import { LineReader } from '../../audit/line-reader.ts'
import { errorCode } from '../../client/platform/system-error.ts'
import { temporaryDirectory } from '../support/sotto.ts'

test('a created file is written to, durably with each write, by its maker alone', async () => {
  using folder = temporaryDirectory()
  const path = join(folder.path, 'file')
  const file = await nodeFiles.create(path)
  expect(await file.write(Buffer.from('one '), 0)).toBe(4)
  expect(await file.write(Buffer.alloc(9), 4)).toBe(9)
  expect(await file.write(Buffer.from('two'), 4)).toBe(3)
  await file.sync()
  expect(readFileSync(path, 'utf8')).toBe('one two\0\0\0\0\0\0')
  await file.truncate(7)
  expect(readFileSync(path, 'utf8')).toBe('one two')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  await file.close()
})

test.runIf(process.platform === 'linux')(
  'writes are durable when they return (O_DSYNC)',
  async () => {
    using folder = temporaryDirectory()
    const path = join(folder.path, 'file')
    const file = await nodeFiles.create(path)
    const fd = readdirSync('/proc/self/fd').find((name) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`) === path
      } catch {
        return false
      }
    })
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? ''
    expect(Number.parseInt(flags, 8) & 0o10000).toBe(0o10000)
    await file.close()
  },
)

test('what is there is never created anew, not even through a link', async () => {
  using folder = temporaryDirectory()
  const [path, link] = [join(folder.path, 'file'), join(folder.path, 'link')]
  writeFileSync(path, 'kept')
  symlinkSync(join(folder.path, 'elsewhere'), link)
  for (const name of [path, link]) {
    const error: unknown = await nodeFiles.create(name).catch((reason: unknown) => reason)
    expect(errorCode(error)).toBe('EEXIST')
  }
  expect(readFileSync(path, 'utf8')).toBe('kept')
  expect(readdirSync(folder.path)).toEqual(['file', 'link'])
})

test('folders, sizes and free space are told', async () => {
  using folder = temporaryDirectory()
  const path = join(folder.path, 'a', 'b')
  expect(await nodeFiles.makeFolder(path)).toBe(true)
  expect(await nodeFiles.makeFolder(path)).toBe(false)
  await nodeFiles.syncFolder(path)
  writeFileSync(join(path, 'file'), 'five!')
  mkdirSync(join(path, 'c'))
  expect((await nodeFiles.list(path)).toSorted((a, b) => a.localeCompare(b))).toEqual(['c', 'file'])
  expect(await nodeFiles.size(join(path, 'file'))).toBe(5)
  expect(await nodeFiles.size(join(path, 'none'))).toBeUndefined()
  expect(await nodeFiles.freeBytes(path)).toBeGreaterThan(0)
  await nodeFiles.remove(join(path, 'file'))
  expect(await nodeFiles.list(path)).toEqual(['c'])
})

test('lines come one by one, also those that no read holds whole, and what follows later', async () => {
  const lines = Array.from({ length: 300 }, (_, index) => 'é'.repeat(index * 7))
  let content = Buffer.from(`${lines.join('\n')}\nthe re`)
  const reader = new LineReader(fileOf(() => content))
  const found: string[] = []
  for (let line = await reader.next(); line; line = await reader.next()) {
    expect(content.subarray(line.offset, line.offset + line.bytes.length)).toEqual(line.bytes)
    found.push(Buffer.from(line.bytes).toString())
  }
  expect(found).toEqual(lines)
  expect(reader.rest).toBe(6)
  content = Buffer.concat([content, Buffer.from('st\n')])
  expect(String((await reader.next())?.bytes)).toBe('the rest')
  expect(reader.offset).toBe(content.length)
})

test('a line in the place of room is read when it is there, also if its end is seen first', async () => {
  const room = Buffer.alloc(200_000)
  const [first, second] = [Buffer.from('first\n'), Buffer.from(`${'x'.repeat(70_000)}\n`)]
  let content = Buffer.concat([first, room])
  let reads = 0
  const reader = new LineReader(
    fileOf(
      () => content,
      () => {
        // The rest of the second line gets there between the first look at it and the next.
        if (reads > 0 && ++reads > 2) content = Buffer.concat([first, second, room])
      },
    ),
  )
  expect(String((await reader.next())?.bytes)).toBe('first')
  expect(await reader.next()).toBeUndefined()
  expect(reader.rest).toBe(0)
  content = Buffer.concat([first, Buffer.alloc(60_000), second.subarray(60_000), room])
  reads = 1
  expect((await reader.next())?.bytes.length).toBe(70_000)
  expect(await reader.next()).toBeUndefined()
})

test('text without an end is not read into memory', async () => {
  let asked = 0
  const endless = Buffer.alloc(32 * 1024 * 1024, 'x')
  const reader = new LineReader(
    fileOf(
      () => endless,
      (bytes) => (asked += bytes),
    ),
  )
  expect(await reader.next()).toBeUndefined()
  expect(asked).toBeLessThanOrEqual(4 * 1024 * 1024)
  expect(reader.rest).toBeGreaterThan(1024 * 1024)
})

/** A file to read, with what it holds at that time. */
function fileOf(content: () => Buffer, onRead: (bytes: number) => void = () => {}) {
  return {
    read: async (into: Uint8Array, position: number) => {
      onRead(into.byteLength)
      return content().copy(into, 0, position)
    },
    sync: async () => {},
    close: async () => {},
  }
}

test('C7: a named pipe in the place of a segment is waited for by nobody', async () => {
  using folder = temporaryDirectory()
  const path = join(folder.path, 'pipe')
  execFileSync('mkfifo', [path])
  const file = await nodeFiles.open(path)
  await expect(file.read(Buffer.alloc(8), 0)).rejects.toThrow('ESPIPE')
  await file.close()
})
