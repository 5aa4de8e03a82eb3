import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Located } from '../../audit/damage.ts'
import { AuditLog } from '../../audit/log.ts'
import { type ReadOptions, readLog } from '../../audit/reader.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { MemoryDisk } from './disk.ts'
import { access, logId, openLog } from './fixtures.ts'

const vectors = new URL('../vectors/audit', import.meta.url).pathname

async function read(path: string, options: ReadOptions = {}): Promise<Located[]> {
  const records: Located[] = []
  for await (const found of readLog(path, options)) records.push(found)
  return records
}

function ids(records: readonly Located[]): number[] {
  return records.map(({ record }) => record.id)
}

test('records come in order, each with where it stands', async () => {
  const path = join(vectors, 'whole/orderly/log')
  const records = await read(path)
  expect(ids(records)).toEqual(Array.from({ length: 16 }, (_, index) => index + 1))
  const { segment, line } = records[7] as Located
  expect({ segment, line }).toEqual({ segment: '00000000000000000006.jsonl', line: 3 })
  const text = readFileSync(join(path, segment), 'utf8').split('\n')[line - 1] ?? ''
  expect(JSON.parse(text)).toEqual(records[7]?.record)
})

test('reading begins behind a record, without opening the segments before its own', async () => {
  const disk = new MemoryDisk()
  for (let life = 0; life < 3; life++) {
    const log = await openLog(disk)
    await log.append(access(life))
    await log.close()
  }
  expect(ids(await read('/log', { files: disk, after: 3 }))).toEqual([4, 5, 6])
  expect(ids(await read('/log', { files: disk, after: 4 }))).toEqual([5, 6])
  expect(ids(await read('/log', { files: disk, after: 6 }))).toEqual([])
  expect(ids(await read('/log', { files: disk, after: 99 }))).toEqual([])
  disk.put('/log/00000000000000000001.jsonl', Buffer.from('no record\n'))
  expect(ids(await read('/log', { files: disk, after: 3 }))).toEqual([4, 5, 6])
})

test('one segment is read by itself', async () => {
  const path = join(vectors, 'whole/orderly/log/00000000000000000006.jsonl')
  expect(ids(await read(path))).toEqual([6, 7, 8, 9, 10, 11])
})

test('a record of an unknown kind is checked and left out', async () => {
  expect(ids(await read(join(vectors, 'whole/unknown-kind/log')))).toEqual([1, 2, 3, 4, 5])
})

test('damage ends the reading with an error, or is passed over', async () => {
  const path = join(vectors, 'damaged/unreadable-record/log')
  const records: Located[] = []
  const reading = async () => {
    for await (const found of readLog(path)) records.push(found)
  }
  await expect(reading()).rejects.toMatchObject({
    code: 'audit_damaged',
    message: `The audit log "${path}" does not verify, line 4 of 00000000000000000006.jsonl: the line is not a record (unreadable)`,
  })
  expect(ids(records)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  const all = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16]
  expect(ids(await read(path, { lenient: true }))).toEqual(all)
})

test.each([
  ['damaged/unreadable-first-record', [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
  ['damaged/missing-segment', [1, 2, 3, 4, 5, 12, 13, 14, 15, 16]],
  ['damaged/missing-first-record', [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
  ['damaged/foreign-segment', Array.from({ length: 16 }, (_, index) => index + 1)],
  ['damaged/cut-record', [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16]],
  ['whole/torn-between', [1, 2, 3, 4, 5, 7, 8, 9, 10]],
])('a lenient reading of %s gives every record that can be read', async (name, expected) => {
  expect(ids(await read(join(vectors, name, 'log'), { lenient: true }))).toEqual(expected)
})

test('a later format is an error of its own', async () => {
  await expect(read(join(vectors, 'damaged/unknown-format/log'))).rejects.toMatchObject({
    code: 'store_newer',
  })
})

test('a followed log gives what is added, into later segments, until it is told to end', async () => {
  using folder = temporaryDirectory()
  const directory = join(folder.path, 'audit')
  const options = { directory, logId, revision: () => 1, segmentBytes: 1500 }
  const log = await AuditLog.open(options)
  await log.append(access('first'))
  const end = new AbortController()
  const names: (string | undefined)[] = []
  const reading = (async () => {
    for await (const { record } of readLog(directory, { follow: end.signal, pollMs: 1 })) {
      if (record.kind === 'access') names.push(record.secret)
      if (names.length === 21) end.abort()
    }
  })()
  for (let index = 0; index < 10; index++) await log.append(access(index))
  await log.close()
  const again = await AuditLog.open(options)
  for (let index = 10; index < 20; index++) await again.append(access(index))
  await reading
  await again.close()
  const expected = Array.from({ length: 20 }, (_, index) => `prod/${index}`)
  expect(names).toEqual(['prod/first', ...expected])
})

test('following waits for the rest of a record', async () => {
  const whole = join(vectors, 'whole/orderly/log/00000000000000000001.jsonl')
  const text = readFileSync(whole)
  const disk = new MemoryDisk()
  const path = '/log/00000000000000000001.jsonl'
  const end = new AbortController()
  const found: number[] = []
  disk.put(path, text.subarray(0, 300))
  const reading = (async () => {
    const options = { files: disk, follow: end.signal, pollMs: 1 }
    for await (const { record } of readLog('/log', options)) {
      found.push(record.id)
      if (record.id === 1) disk.grow(path, text.subarray(300))
      if (record.id === 5) end.abort()
    }
  })()
  await reading
  expect(found).toEqual([1, 2, 3, 4, 5])
})

test('following ends at once when it was told so before', async () => {
  const path = join(vectors, 'whole/orderly/log')
  expect(await read(path, { follow: AbortSignal.abort() })).toHaveLength(16)
})
