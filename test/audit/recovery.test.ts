import { expect, test } from 'vitest'
import { findRecord } from '../../audit/recovery.ts'
import type { KeyEntry } from '../../audit/record.ts'
import { verifyLog } from '../../audit/verify.ts'
import { MemoryDisk } from './disk.ts'
import { access, change, logId, openLog, readAll } from './fixtures.ts'

const first = '/log/00000000000000000001.jsonl'

/** A closed log of two batches: a change and two reads, then three reads at once. */
async function closedLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  await log.append(change(1))
  await Promise.all([log.append(access(2)), log.append(access(3))])
  await Promise.all([log.append(access(4)), log.append(access(5)), log.append(access(6))])
  await log.close()
  return disk
}

/** A copy of a disk's files, one of them with other bytes. */
function copy(disk: MemoryDisk, path: string, content: Uint8Array): MemoryDisk {
  const other = new MemoryDisk()
  for (const name of disk.paths) other.put(name, disk.content(name))
  other.put(path, content)
  return other
}

function lastNewlines(content: Uint8Array): number[] {
  return [...content].flatMap((byte, index) => (byte === 0x0a ? [index + 1] : []))
}

test('an empty log has nothing to recover, and begins with id 1', async () => {
  const log = await openLog(new MemoryDisk())
  expect(log.recovered).toEqual({ last: null, revision: 0, open: [], torn: 0 })
  expect(log.head).toEqual({ id: 0, hash: '0'.repeat(64) })
  expect((await log.append(access(1))).id).toBe(2)
})

test('a log goes on in a new segment where the last one ended', async () => {
  const disk = await closedLog()
  const before = Buffer.from(disk.content(first))
  const log = await openLog(disk)
  expect(log.recovered).toMatchObject({ last: { id: 7 }, revision: 1, torn: 0 })
  expect(log.recovered.open).toMatchObject([{ id: 2, entry: { secret: 'prod/1', verb: 'put' } }])
  expect(log.head).toEqual(log.recovered.last)
  const receipt = await log.append(access(7))
  expect(receipt.id).toBe(9)
  expect(disk.content(first)).toEqual(before)
  expect(disk.paths).toEqual([first, '/log/00000000000000000008.jsonl'])
  expect(await verifyLog('/log', { files: disk, head: receipt })).toMatchObject({ ok: true })
})

test('a batch cut at any byte is a torn write, told in the next segment, no id given twice', async () => {
  const disk = await closedLog()
  const content = disk.content(first)
  const ends = lastNewlines(content)
  const batch = ends[3] as number
  for (let length = batch; length <= content.length; length++) {
    const cut = copy(disk, first, content.subarray(0, length))
    const log = await openLog(cut)
    const whole = ends.filter((end) => end <= length).length
    // What lacks the MAC at the end of the batch is not continued from.
    const kept = whole === ends.length ? whole : 4
    const torn = length - (ends[kept - 1] as number)
    expect(log.recovered).toMatchObject({ last: { id: kept }, torn })
    expect(log.recovered.unproven?.count ?? 0).toBe(whole - kept)

    const receipt = await log.append(access('after'))
    expect(receipt.id).toBeGreaterThanOrEqual(whole + (torn > 0 ? 3 : 2))
    const report = await verifyLog('/log', { files: cut, head: receipt })
    const { ok, records } = report
    expect({ length, ok, records }).toEqual({ length, ok: true, records: whole + 2 })
    expect(report.unconfirmed).toBe(whole - kept)
    expect(cut.content(first).length).toBe(length)
    await log.close()
  }
})

test('a segment cut anywhere in its first record holds nothing, and its id is not given again', async () => {
  const disk = await closedLog()
  const log = await openLog(disk)
  await log.append(access(7))
  await log.close()
  const second = '/log/00000000000000000008.jsonl'
  const header = disk.content(second)
  const end = header.indexOf(0x0a) + 1
  for (let length = 0; length < end; length++) {
    const cut = copy(disk, second, header.subarray(0, length))
    const again = await openLog(cut)
    expect(again.recovered).toMatchObject({ last: { id: 7 }, torn: length })
    expect(again.recovered.open).toMatchObject([{ id: 2 }])
    const receipt = await again.append(access('after'))
    expect(receipt.id).toBeGreaterThan(9)
    expect(await verifyLog('/log', { files: cut, head: receipt })).toMatchObject({ ok: true })
  }
})

test('a log of nothing but a torn first record is an empty log', async () => {
  const disk = new MemoryDisk()
  disk.put(first, Buffer.from('{"id":1,"ti'))
  const log = await openLog(disk)
  expect(log.recovered).toEqual({ last: null, revision: 0, open: [], torn: 11 })
  const receipt = await log.append(access(1))
  expect(receipt.id).toBe(3)
  expect(await verifyLog('/log', { files: disk, head: receipt })).toMatchObject({ ok: true })
})

test('sectors that did not reach the disk are a torn write', async () => {
  const disk = await closedLog()
  const whole = disk.content(first)
  const batch = lastNewlines(whole)[3] as number
  const left = Buffer.from(whole)
  left.fill(0, batch, batch - (batch % 512) + 512)
  const log = await openLog(copy(disk, first, left))
  expect(log.recovered).toMatchObject({ last: { id: 4 }, torn: whole.length - batch })
})

test.each<[string, (whole: Buffer, ends: number[]) => Buffer, string]>([
  [
    'a record altered',
    (whole, ends) => {
      const changed = Buffer.from(whole)
      changed[changed.indexOf('prod/5') + 5] = 0x36
      return changed.subarray(0, ends.at(-1))
    },
    'line 6 of 00000000000000000001.jsonl: record 6 was altered: record 7 does not follow from it (altered)',
  ],
  [
    'a line that is none',
    (whole, ends) => {
      const changed = Buffer.from(whole)
      changed[ends[4] as number] = 0x78
      return changed
    },
    'line 6 of 00000000000000000001.jsonl: the line is not a record (unreadable)',
  ],
  [
    'a record taken out',
    (whole, ends) => Buffer.concat([whole.subarray(0, ends[3]), whole.subarray(ends[4])]),
    'line 5 of 00000000000000000001.jsonl: records from 5 on are missing: record 6 follows record 4 (missing)',
  ],
  [
    'more torn bytes than a write has',
    (whole) => Buffer.concat([whole, Buffer.alloc(1024 * 1024 + 1, 'x')]),
    'line 8 of 00000000000000000001.jsonl: 1048577 bytes at the end are not a record, more than one write leaves (unreadable)',
  ],
])('%s in the newest segment refuses to open', async (_, harm, message) => {
  const disk = await closedLog()
  const whole = disk.content(first)
  const harmed = copy(disk, first, harm(whole, lastNewlines(whole)))
  await expect(openLog(harmed)).rejects.toMatchObject({
    code: 'audit_damaged',
    message: `The audit log "/log" does not verify, ${message}`,
  })
  expect(harmed.paths).toEqual([first])
})

test("another store's log, and a later release's, refuse to open", async () => {
  const disk = await closedLog()
  await expect(openLog(disk, { logId: 'd'.repeat(32) })).rejects.toMatchObject({
    code: 'store_foreign',
    message: `The audit log belongs to store "${logId}", not to "${'d'.repeat(32)}"`,
  })
  const newer = disk.content(first).toString().replace('"format":1', '"format":2,"new":[]')
  const later = copy(disk, first, Buffer.from(newer.replace('"open":[],', '')))
  await expect(openLog(later)).rejects.toMatchObject({ code: 'store_newer' })
})

test('changes stay open over restarts until they are settled or abandoned', async () => {
  const disk = await closedLog()
  const second = await openLog(disk)
  const { id } = await second.append(change('b'))
  await second.close()

  const third = await openLog(disk)
  expect(third.recovered.open.map((open) => open.id)).toEqual([2, id])
  const [older] = third.recovered.open
  expect(older).toMatchObject({ entry: { secret: 'prod/1' } })
  expect(await findRecord('/log', 2, disk)).toEqual({ id: 2, hash: older?.hash })
  third.settle(2)
  await third.append({ kind: 'abandoned', of: id, reason: 'the store does not know it' })
  await third.close()
  expect((await openLog(disk)).recovered.open).toEqual([])
})

test('an announced change of the keys stays open as one of a secret does', async () => {
  const disk = await closedLog()
  const entry = { kind: 'key', verb: 'remove', provider: 'local', fingerprint: 'f', operator: 'o' }
  const log = await openLog(disk)
  const { id, hash } = await log.append(entry as KeyEntry)
  await log.close()
  const again = await openLog(disk)
  expect(again.recovered.open.at(-1)).toMatchObject({ id, hash, entry })
  await again.append({ kind: 'abandoned', of: id, reason: 'the store did not take it' })
  await again.close()
  expect((await openLog(disk)).recovered.open.map((open) => open.id)).not.toContain(id)
})

test('an open change whose segment was moved away is told without its entry', async () => {
  const disk = await closedLog()
  const log = await openLog(disk)
  await log.append(access('b'))
  await log.close()
  disk.put(first, undefined)
  expect((await openLog(disk)).recovered.open).toEqual([{ id: 2, hash: '' }])
})

test('findRecord finds every record and nothing else', async () => {
  const disk = await closedLog()
  const log = await openLog(disk)
  await log.append(access('b'))
  for (const { record, hash } of await readAll('/log', disk)) {
    expect(await findRecord('/log', record.id, disk)).toEqual({ id: record.id, hash })
  }
  expect(await findRecord('/log', 10, disk)).toBeUndefined()
  expect(await findRecord('/log', 1, new MemoryDisk())).toBeUndefined()
})

test('what a killed process left in memory is made durable before it is built upon', async () => {
  const disk = await closedLog()
  let synced = false
  const order: boolean[] = []
  disk.behaviour = ({ kind, path }) => {
    if (kind === 'sync' && path === first) synced = true
    if (kind === 'create') order.push(synced)
  }
  const log = await openLog(disk)
  await log.append(access('after'))
  expect(order).toEqual([true])
})
