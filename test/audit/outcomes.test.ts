/** R3, V3: how what a record tells came out, whatever lies between it and the record that takes it back. */
import { expect, test } from 'vitest'
import { Folder } from '../../audit/folder.ts'
import { encodeEntry, encodeLine } from '../../audit/line.ts'
import { TakenBack, type TakenBackIn } from '../../audit/outcomes.ts'
import { queryLog } from '../../audit/query.ts'
import { auditWords, whatOf } from '../../audit/vocabulary.ts'
import { MemoryDisk } from './disk.ts'
import { access, change, openLog } from './fixtures.ts'

async function outcomes(disk: MemoryDisk, filter = {}): Promise<(readonly [number, unknown])[]> {
  const found: (readonly [number, unknown])[] = []
  for await (const { id, kind, outcome } of queryLog('/log', filter, { files: disk })) {
    if (kind === 'access' || kind === 'change') found.push([id, outcome])
  }
  return found
}

test('what is taken back many segments later is not told as done', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { segmentBytes: 2000 })
  const read = await log.append(access(1))
  const made = await log.append(change(1))
  const kept = await log.append(change(2))
  for (let more = 0; more < 100; more++) await log.append(access(more))
  for (const { id } of [read, made]) {
    await log.append({ kind: 'abandoned', of: id, reason: 'it failed' })
  }
  await log.close()
  const all = await outcomes(disk)
  expect(all.length).toBe(103)
  expect(Object.fromEntries(all)).toMatchObject({
    [read.id]: 'abandoned',
    [made.id]: 'abandoned',
    [kept.id]: 'ok',
  })
  expect(await outcomes(disk, { outcome: 'abandoned' })).toEqual([
    [read.id, 'abandoned'],
    [made.id, 'abandoned'],
  ])
  expect((await outcomes(disk, { outcome: 'ok' })).length).toBe(101)
})

test('a name cannot take anything back', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const secret = 'a,"kind":"abandoned","of":1,'
  const first = await log.append({ ...access(1), secret })
  await log.append({ ...access(2), secret: `a,"kind":"abandoned","of":${first.id},` })
  await log.close()
  expect((await outcomes(disk)).map(([, outcome]) => outcome)).toEqual(['ok', 'ok'])
})

test("B6, R3: a record that is not the server's own takes nothing back", async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const { id } = await log.append(access(1))
  const { head } = log
  await log.close()
  const stamp = { id: head.id + 1, time: '2026-02-03T04:05:06.789Z', revision: 1, prev: head.hash }
  const entry = { kind: 'abandoned', of: id, reason: 'it never was' } as const
  const forged = encodeLine(
    encodeEntry(entry, () => ''),
    stamp,
  )
  const [path = ''] = disk.paths
  disk.put(path, Buffer.concat([disk.content(path), Buffer.from(`${forged}\n`)]))
  expect(await outcomes(disk)).toEqual([[id, 'ok']])
  // Nor once the server has gone on after it.
  const next = await openLog(disk)
  await next.append(access(2))
  await next.close()
  expect((await outcomes(disk, { outcome: 'ok' }))[0]).toEqual([id, 'ok'])
})

test('a mark that lies across two reads is found', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const { id } = await log.append(access(1))
  const size = () => disk.size('/log/00000000000000000001.jsonl').then((bytes) => bytes ?? 0)
  // Fill up to a little before a mebibyte, so that lines of every length come to lie across it.
  for (let reason = 0; (await size()) < 1024 * 1024 + 4096; reason++) {
    await log.append({
      kind: 'abandoned',
      of: id + 1 + reason,
      reason: 'x'.repeat(900 + (reason % 7)),
    })
  }
  await log.close()
  const folder = await Folder.open(disk, '/log')
  const takenBack = new TakenBack()
  await takenBack.readFrom({ path: '/log', files: disk, folder }, 0)
  const announced: number[] = []
  for await (const record of queryLog('/log', {}, { files: disk })) {
    if (record.kind === 'abandoned') announced.push(record.of)
  }
  expect(announced.length).toBeGreaterThan(800)
  expect(announced.filter((each) => !takenBack.has(each))).toEqual([])
})

test('segments that ended are read once, and one at least each time', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { segmentBytes: 2000 })
  for (let more = 0; more < 40; more++) await log.append(access(more))
  await log.close()
  const folder = await Folder.open(disk, '/log')
  const known: TakenBackIn = new Map()
  const whole = { path: '/log', files: disk, folder }
  let tries = 1
  while (!(await new TakenBack(known).readFrom(whole, 0, () => true))) tries++
  expect(known.size).toBe(folder.segments.length - 1)
  expect(tries).toBe(folder.segments.length - 1)
})

test('the vocabulary has what every record of the vectors is about', async () => {
  const log = new URL('../vectors/audit/whole/orderly/log', import.meta.url).pathname
  for await (const record of queryLog(log, {})) expect(auditWords).toContain(whatOf(record))
})
