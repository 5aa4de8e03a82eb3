/** B6: records that the server did not write are told from its own. */
import { expect, test } from 'vitest'
import { encodeEntry, encodeLine, hashLine, macEnding } from '../../audit/line.ts'
import { AuditLog } from '../../audit/log.ts'
import type { AuditRecord, Receipt } from '../../audit/record.ts'
import { findBatchEnd } from '../../audit/recovery.ts'
import { readLog } from '../../audit/reader.ts'
import { verifyLog } from '../../audit/verify.ts'
import { MemoryDisk, systemError } from './disk.ts'
import { access, batchKeys, change, hastyTimers, logId, macsOf, openLog } from './fixtures.ts'

const keys = batchKeys(1)
const time = '2026-02-03T04:05:06.789Z'

/** A log of two segments, closed; the second begins with record 6. */
async function closedLog(): Promise<{ disk: MemoryDisk; last: Receipt }> {
  const disk = new MemoryDisk()
  let last = { id: 0, hash: '' }
  for (let life = 0; life < 2; life++) {
    const log = await openLog(disk)
    await log.append(change(life))
    for (let index = 0; index < 3; index++) await log.append(access(index))
    last = log.head
    await log.close()
  }
  return { disk, last }
}

/** Lines of reads that follow `last`, as anybody can make them. */
function forgedLines(
  { id, hash }: Receipt,
  count: number,
  mac: (bare: string) => string | undefined = () => undefined,
): string {
  let text = ''
  let prev = hash
  for (let index = 1; index <= count; index++) {
    const stamp = { id: id + index, time, revision: 1, prev }
    const bare = encodeLine(
      encodeEntry(access(`forged-${index}`), () => ''),
      stamp,
    )
    const made = index === count ? mac(bare) : undefined
    const line = made === undefined ? bare : bare.slice(0, -1) + macEnding(made)
    prev = hashLine(line)
    text += `${line}\n`
  }
  return text
}

function add(disk: MemoryDisk, path: string, text: string): void {
  disk.put(path, Buffer.concat([disk.content(path), Buffer.from(text)]))
}

async function shownOf(disk: MemoryDisk): Promise<string[]> {
  const found: string[] = []
  for await (const { record, unconfirmed } of readLog('/log', { files: disk, lenient: true })) {
    if (unconfirmed) found.push(nameOf(record))
  }
  return found
}

const nameOf = (record: AuditRecord): string =>
  'secret' in record ? (record.secret ?? '') : record.kind

const kinds: [string, ((bare: string) => string | undefined) | undefined][] = [
  ['without a MAC', undefined],
  ['with a MAC that somebody made up', () => 'ab'.repeat(32)],
  ['with a MAC by another key', (bare) => batchKeys(9).auditMac([hashLine(bare)]).mac],
]

test.each(kinds)('B6: records at the end %s are named, and not continued from', async (_, mac) => {
  const { disk, last } = await closedLog()
  const path = disk.paths.at(-1) ?? ''
  add(disk, path, forgedLines(last, 3, mac))
  const options = { files: disk, timers: hastyTimers }
  expect(await verifyLog('/log', { ...options, keys })).toMatchObject({
    ok: false,
    damage: { damage: 'forged', id: last.id + 1 },
    unproven: { count: 3, from: last.id + 1 },
  })
  // Without the key one that has a MAC, whichever, passes.
  const unproven = mac === undefined ? { count: 3, from: last.id + 1 } : undefined
  expect((await verifyLog('/log', options)).unproven).toEqual(unproven)

  const log = await openLog(disk)
  expect(log.recovered).toMatchObject({ last, unproven: { count: 3 } })
  await log.append(access('after'))
  await log.close()
  expect(await shownOf(disk)).toEqual(['prod/forged-1', 'prod/forged-2', 'prod/forged-3'])
  expect(await verifyLog('/log', { ...options, keys })).toMatchObject({ ok: true, unconfirmed: 3 })
  const header = await lastHeader(disk)
  expect(header).toMatchObject({ after: last.id, unproven: 3 })
})

test.each(kinds)('B6: records %s put where ids were skipped are found', async (_, mac) => {
  const { disk, last } = await closedLog()
  const path = disk.paths.at(-1) ?? ''
  // As a restore does it.
  const log = await openLog(disk, { skipIds: 1_000_000_000 })
  await log.append(access('after'))
  await log.close()
  expect(await verifyLog('/log', { files: disk, keys })).toMatchObject({ ok: true })
  add(disk, path, forgedLines(last, 3, mac))
  expect(await verifyLog('/log', { files: disk, keys })).toMatchObject({
    ok: false,
    damage: { damage: 'forged', id: last.id + 1 },
  })
  const { ok } = await verifyLog('/log', { files: disk })
  expect(ok).toBe(mac !== undefined)
  expect(await shownOf(disk)).toEqual(['prod/forged-1', 'prod/forged-2', 'prod/forged-3'])
})

test('B6: many records at the end are more than a crash leaves', async () => {
  const { disk, last } = await closedLog()
  add(disk, disk.paths.at(-1) ?? '', forgedLines(last, 4000))
  await expect(openLog(disk)).rejects.toMatchObject({ code: 'audit_damaged' })
})

test('B6: a whole segment that somebody made is not continued from', async () => {
  const { disk, last } = await closedLog()
  const id = last.id + 1
  const header = {
    kind: 'segment',
    format: 1,
    log: logId,
    after: last.id,
    before: 6,
    torn: 0,
    open: [],
    lost: 0,
  } as const
  const stamp = { id, time, revision: 1, prev: last.hash }
  const macs = { branch: 'b0b1b2b3b4b5b6b7', key: 1, macsFrom: 1, unproven: 0 }
  const bare = encodeLine(
    encodeEntry({ ...header, ...macs }, () => ''),
    stamp,
  )
  const line = bare.slice(0, -1) + macEnding('ab'.repeat(32))
  const path = `/log/${String(id).padStart(20, '0')}.jsonl`
  disk.put(path, Buffer.from(`${line}\n`))
  const log = await openLog(disk)
  expect(log.recovered).toMatchObject({ last, unproven: { count: 1 } })
})

test('B6: MACs cannot be stripped by presenting an old file', async () => {
  const { disk } = await closedLog()
  const [first = '', second = ''] = disk.paths
  const lines = disk.content(second).toString().trimEnd().split('\n')
  let prev = ''
  let text = ''
  for (const line of lines) {
    const { mac: _, key: _k, macsFrom: _m, branch: _b, unproven: _u, ...record } = JSON.parse(line)
    if (prev !== '') record.prev = prev
    const made = JSON.stringify(record)
    prev = hashLine(made)
    text += `${made}\n`
  }
  disk.put(second, Buffer.from(text))
  const forged = { ok: false, damage: { damage: 'forged', id: 6 } }
  expect(await verifyLog('/log', { files: disk })).toMatchObject(forged)
  expect(await verifyLog('/log', { files: disk, keys })).toMatchObject(forged)
  // All of them stripped: that they were there, only the store knows.
  disk.put(first, Buffer.alloc(0))
  expect(await verifyLog('/log', { files: disk, keys, macsFrom: 1 })).toMatchObject({ ok: false })
})

test('B6: a key that was replaced verifies only what is older than its successor', async () => {
  const { disk } = await closedLog()
  const two = macsOf(2)
  const numbers = [2, 1]
  const log = await openLog(disk, { macs: two })
  const first = await log.append(access('two'))
  await log.close()
  const both = batchKeys(...numbers)
  expect(await verifyLog('/log', { files: disk, keys: both })).toMatchObject({ ok: true })
  const old = await openLog(disk, { macs: macsOf(1) })
  const later = await old.append(access('by the old key'))
  await old.close()
  expect(await verifyLog('/log', { files: disk, keys: both })).toMatchObject({
    ok: false,
    damage: { damage: 'forged', id: later.id - 1 },
  })
  expect(first.id).toBeLessThan(later.id)
})

test('D9: a segment by a key that was replaced is not continued from', async () => {
  const { disk, last } = await closedLog()
  const both = { ...macsOf(2), keys: batchKeys(2, 1) }
  // Nothing was written since the key was replaced.
  const begun = await openLog(disk, { macs: both })
  expect(begun.recovered).toMatchObject({ last })
  await begun.append(access('by the new key'))
  await begun.close()
  for (const who of ['by the old key', 'by it again']) {
    const old = await openLog(disk, { macs: macsOf(1) })
    await old.append(access(who))
    await old.close()
    await expect(openLog(disk, { macs: both })).rejects.toMatchObject({
      code: 'audit_damaged',
      message: expect.stringContaining('of audit key 1, and key 2 was in use before it'),
    })
  }
})

test('a new key begins a new segment of a log that is in use', async () => {
  const disk = new MemoryDisk()
  const numbers = [1]
  const macs = { ...macsOf(1), keys: { ...keys, auditKeys: numbers } }
  const log = await openLog(disk, { macs })
  await log.append(access(1))
  numbers.unshift(2)
  await log.append(access(2))
  await log.close()
  expect(disk.paths).toHaveLength(2)
  expect(await lastHeader(disk)).toMatchObject({ key: 2 })
  const found = await verifyLog('/log', { files: disk, keys: batchKeys(2, 1) })
  expect(found).toMatchObject({ ok: true, macs: 4 })
})

test('records of a write that failed are unconfirmed, and at most as many as are told', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  await log.append(access(1))
  disk.behaviour = ({ kind }) => (kind === 'write' ? { error: systemError('EIO') } : undefined)
  const failed = await Promise.allSettled([log.append(access(2)), log.append(access(3))])
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  disk.behaviour = () => {}
  await log.close()
  const again = await openLog(disk)
  await again.append(access(4))
  await again.close()
  expect(await verifyLog('/log', { files: disk, keys })).toMatchObject({ ok: true })
})

async function lastHeader(disk: MemoryDisk): Promise<AuditRecord | undefined> {
  let header: AuditRecord | undefined
  for await (const { record } of readLog('/log', { files: disk, lenient: true })) {
    if (record.kind === 'segment') header = record
  }
  return header
}

test('B6: a copy of a log can end where a batch ends, and not in it', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const batch = await Promise.all([0, 1, 2].map((index) => log.append(access(index))))
  const last = await log.append(access(3))
  await log.close()
  const end = batch.at(-1)
  for (const known of batch) expect(await findBatchEnd('/log', known, disk)).toEqual(end)
  expect(await findBatchEnd('/log', last, disk)).toEqual(last)
  expect(await findBatchEnd('/log', { ...last, hash: '' }, disk)).toBeUndefined()
  const older = new MemoryDisk()
  const options = { directory: '/log', logId, revision: () => 1, roomBytes: 0, files: older }
  const plain = await AuditLog.open(options)
  const [first] = await Promise.all([0, 1].map((index) => plain.append(access(index))))
  await plain.close()
  expect(first && (await findBatchEnd('/log', first, older))).toEqual(first)
})
