import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { nodeFiles } from '../../audit/files.ts'
import { AuditLog } from '../../audit/log.ts'
import { verifyLog } from '../../audit/verify.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Behaviour, MemoryDisk, type Operation, systemError } from './disk.ts'
import { access, change, logId, ManualTimers, openLog, readAll, settled } from './fixtures.ts'

const unavailable = expect.objectContaining({ code: 'audit_unavailable' })

/** Lets writes wait until `go` is called, which ends the oldest one. */
function gate(): { behaviour: Behaviour; go: () => void; waiting: () => number } {
  const waiting: (() => void)[] = []
  return {
    behaviour: ({ kind }) => (kind === 'write' ? new Promise((done) => waiting.push(done)) : {}),
    go: () => waiting.shift()?.(),
    waiting: () => waiting.length,
  }
}

test('a record is on the disk with its chain when append resolves, for the owner alone', async () => {
  using folder = temporaryDirectory()
  const directory = join(folder.path, 'state', 'audit')
  await using log = await AuditLog.open({ directory, logId, revision: () => 7 })
  expect(readdirSync(directory)).toEqual([])

  const receipt = await log.append(access('a'))
  const [file = ''] = readdirSync(directory)
  const lines = readFileSync(join(directory, file), 'utf8').split('\n')

  expect(receipt).toEqual({ id: 2, hash: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(log.head).toEqual(receipt)
  expect(file).toBe('00000000000000000001.jsonl')
  expect(lines).toHaveLength(3)
  expect(JSON.parse(lines[1] as string)).toMatchObject({
    id: 2,
    kind: 'access',
    secret: 'prod/a',
    revision: 7,
  })
  expect(Object.keys(JSON.parse(lines[1] as string) as object)).toEqual(
    'id time kind request principal action authorized secret secretVersion result revision prev'.split(
      ' ',
    ),
  )
  expect(statSync(directory).mode & 0o777).toBe(0o700)
  expect(statSync(join(directory, file)).mode & 0o777).toBe(0o600)
  expect(await verifyLog(directory, { head: receipt })).toMatchObject({ ok: true, records: 2 })
})

test('records that come while a write is in flight share the next one, and none resolves early', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  await log.append(access('first'))
  const writes: Operation[] = []
  let written = 0
  disk.behaviour = async (operation) => {
    writes.push(operation)
    await new Promise((resolve) => setTimeout(resolve, 50))
    written += String(operation.bytes).split('\n').length - 1
  }

  let asked = 0
  const resolvedEarly: number[] = []
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      for (let round = 0; round < 4; round++) {
        const place = ++asked
        const { id } = await log.append(access(place))
        if (id > written + 2) resolvedEarly.push(id)
      }
    }),
  )

  expect(resolvedEarly).toEqual([])
  expect(written).toBe(256)
  expect(writes.length).toBeLessThanOrEqual(256 / 8)
  expect(writes.every(({ kind }) => kind === 'write')).toBe(true)
  const ids = (await readAll('/log', disk)).map(({ record }) => record.id)
  expect(ids).toEqual(Array.from({ length: 258 }, (_, index) => index + 1))
})

test('the next write begins before the waiters of the last one are told', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  await log.append(access('first'))
  const events: string[] = []
  const { behaviour, go, waiting } = gate()
  disk.behaviour = (operation) => {
    events.push('write')
    return behaviour(operation)
  }
  const one = log.append(access(1)).then(() => events.push('told'))
  await settled()
  const two = log.append(access(2))
  go()
  await one
  expect(events).toEqual(['write', 'write', 'told'])
  expect(waiting()).toBe(1)
  go()
  await two
})

test('records resolve in the order in which they were asked for, with ids in that order', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const order: number[] = []
  const receipts = await Promise.all(
    Array.from({ length: 500 }, async (_, index) => {
      const receipt = await log.append(access(index))
      order.push(index)
      return receipt
    }),
  )
  expect(order).toEqual(receipts.map((_, index) => index))
  expect(receipts.map(({ id }) => id)).toEqual(receipts.map((_, index) => index + 2))
})

test('a batch takes no more than 1 MiB, and a record larger than any batch is refused', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const sizes: number[] = []
  disk.behaviour = ({ bytes }) => void (bytes && sizes.push(bytes.byteLength))
  const reason = 'é"\u{1f511}'.repeat(1000)
  await Promise.all(
    Array.from({ length: 400 }, (_, index) => log.append({ ...access(index), reason })),
  )
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024)
  expect(sizes.length).toBeGreaterThan(2)
  await expect(log.append({ ...access(1), reason: 'x'.repeat(300_000) })).rejects.toMatchObject({
    code: 'internal',
  })
  expect(await verifyLog('/log', { files: disk })).toMatchObject({ ok: true, records: 401 })
})

test('a short write is followed by a write of the rest', async () => {
  const disk = new MemoryDisk()
  disk.behaviour = ({ bytes }) => (bytes === undefined ? {} : { bytes: Math.min(bytes.length, 7) })
  const log = await openLog(disk)
  const receipts = await Promise.all([log.append(access(1)), log.append(access(2))])
  expect(receipts.map(({ id }) => id)).toEqual([2, 3])
  const head = receipts[1]
  expect(await verifyLog('/log', { files: disk, head })).toMatchObject({ ok: true, records: 3 })
})

test.each([
  ['nothing of the batch', 0],
  ['part of the batch', 500],
  ['all of the batch', 10_000],
])('after a failed write that left %s, a new segment tells of the gap', async (_, bytes) => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers })
  const first = await log.append(change('first'))
  disk.behaviour = ({ kind, bytes: all }) =>
    kind === 'write' ? { error: systemError('EIO'), bytes: Math.min(bytes, all?.length ?? 0) } : {}
  for (const result of await Promise.allSettled([log.append(access(1)), log.append(change(2))])) {
    expect(result).toMatchObject({ status: 'rejected', reason: unavailable })
  }
  expect(log.state()).toMatchObject({ ok: false, reason: 'its disk failed' })
  expect(log.head).toEqual(first)
  expect(disk.appending).toBe(0)
  await expect(log.append(access('refused'))).rejects.toMatchObject({
    code: 'audit_unavailable',
    message: 'Cannot write the audit log in "/log": its disk failed',
    hint: expect.stringContaining('disk'),
  })
  log.noteLost()
  log.noteLost(4)

  disk.behaviour = () => {}
  timers.advance(1000)
  await settled()
  expect(log.state()).toEqual({ ok: true })
  const after = await log.append(access('after'))
  expect(disk.paths).toEqual(['/log/00000000000000000001.jsonl', '/log/00000000000000000005.jsonl'])
  const header = (await readAll('/log', disk)).find(({ record }) => record.id === 5)?.record
  expect(header).toMatchObject({ kind: 'segment', after: 2, before: 1, open: [2], lost: 5 })
  expect(after.id).toBe(6)
  expect(disk.misuses).toBe(0)
  expect(await verifyLog('/log', { files: disk, head: after })).toMatchObject({
    ok: true,
    skipped: bytes === 10_000 ? 0 : bytes === 500 ? 1 : 2,
    unconfirmed: bytes === 10_000 ? 2 : bytes === 500 ? 1 : 0,
    lost: 5,
  })
})

test('everything that waits is refused with the batch that failed', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  await log.append(access('first'))
  let fail = () => {}
  disk.behaviour = ({ kind }) =>
    kind === 'write'
      ? new Promise((resolve) => {
          fail = () => resolve({ error: systemError('ENOSPC') })
        })
      : undefined
  const inFlight = log.append(access(1))
  await settled()
  const pending = log.append(access(2))
  fail()
  const results = await Promise.allSettled([inFlight, pending])
  for (const result of results) {
    expect(result).toMatchObject({
      reason: { code: 'audit_unavailable', hint: expect.stringContaining('Free space') },
    })
  }
})

test('a new segment is tried once a second until one can begin, and leaves no empty files', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers })
  await log.append(access('first'))
  let attempts = 0
  disk.behaviour = ({ kind }) => {
    if (kind === 'create') attempts++
    return kind === 'write' ? { error: systemError('ENOSPC'), bytes: 3 } : {}
  }
  await expect(log.append(access(1))).rejects.toMatchObject({ code: 'audit_unavailable' })
  const since = log.state()
  for (let second = 0; second < 5; second++) {
    timers.advance(1000)
    await settled()
  }
  expect(attempts).toBe(5)
  expect(log.state()).toEqual(since)
  expect(disk.paths).toHaveLength(1)

  disk.behaviour = () => {}
  timers.advance(1000)
  await settled()
  const receipt = await log.append(access(2))
  // Ids 3 to 8 went to the record and the headers that failed.
  expect(receipt.id).toBe(10)
  expect(await verifyLog('/log', { files: disk, head: receipt })).toMatchObject({ ok: true })
})

test.each(['create', 'sync', 'syncFolder'] as const)(
  'a segment whose %s fails is not used',
  async (kind) => {
    const disk = new MemoryDisk()
    const timers = new ManualTimers()
    const log = await openLog(disk, { timers })
    disk.behaviour = (operation) => (operation.kind === kind ? { error: systemError('EIO') } : {})
    await expect(log.append(access(1))).rejects.toMatchObject({ code: 'audit_unavailable' })
    disk.behaviour = () => {}
    timers.advance(1000)
    await settled()
    const receipt = await log.append(access(2))
    expect(disk.misuses).toBe(0)
    expect(disk.paths).toEqual(['/log/00000000000000000002.jsonl'])
    expect(await verifyLog('/log', { files: disk, head: receipt })).toMatchObject({ ok: true })
  },
)

test('a disk that hangs refuses in bounded time, and all is well once it answers', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers, waitMs: 5000 })
  await log.append(access('first'))
  const { behaviour, go } = gate()
  disk.behaviour = behaviour
  const inFlight = log.append(access('in flight'))
  await settled()
  timers.advance(3000)
  const pending = log.append(access('pending'))
  const refused = [vi.fn<() => void>(), vi.fn<() => void>()]
  inFlight.catch(refused[0] as () => void)
  pending.catch(refused[1] as () => void)

  timers.advance(1999)
  await settled()
  expect(refused[0]).not.toHaveBeenCalled()
  expect(log.state()).toEqual({ ok: true })
  timers.advance(1)
  await expect(inFlight).rejects.toMatchObject({ code: 'audit_unavailable' })
  expect(refused[1]).not.toHaveBeenCalled()
  expect(log.state()).toMatchObject({ ok: false, reason: 'the disk does not answer' })
  await expect(log.append(access('late'))).rejects.toMatchObject({ code: 'audit_unavailable' })
  timers.advance(3000)
  await expect(pending).rejects.toMatchObject({ code: 'audit_unavailable' })

  disk.behaviour = () => {}
  go()
  await settled()
  expect(log.state()).toEqual({ ok: true })
  const { id } = await log.append(access('after'))
  const names = (await readAll('/log', disk)).flatMap(({ record }) =>
    record.kind === 'access' ? [record.secret] : [],
  )
  // What was in flight is on the log, what only waited never came to be.
  expect(names).toEqual(['prod/first', 'prod/in flight', 'prod/after'])
  expect(id).toBe(4)
})

test('a change that became durable too late is abandoned by the log itself', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers })
  await log.append(access('first'))
  const { behaviour, go } = gate()
  disk.behaviour = behaviour
  const late = log.append(change('late'))
  await settled()
  timers.advance(5000)
  await expect(late).rejects.toMatchObject({ code: 'audit_unavailable' })
  disk.behaviour = () => {}
  go()
  await settled()
  const records = (await readAll('/log', disk)).map(({ record }) => record)
  expect(records.at(-2)).toMatchObject({ id: 3, kind: 'change' })
  expect(records.at(-1)).toMatchObject({ id: 4, kind: 'abandoned', of: 3 })
  await log.close()
  expect((await openLog(disk)).recovered.open).toEqual([])
})

test('a change that became durable too late is abandoned also when the disk fails next', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers })
  await log.append(access('first'))
  const { behaviour, go } = gate()
  disk.behaviour = behaviour
  const late = log.append(change('late'))
  await settled()
  timers.advance(5000)
  await expect(late).rejects.toMatchObject({ code: 'audit_unavailable' })
  disk.behaviour = () => ({ error: systemError('EIO'), bytes: 0 })
  go()
  await settled()
  expect(log.state()).toMatchObject({ ok: false })
  disk.behaviour = () => {}
  timers.advance(1000)
  await settled()
  const records = (await readAll('/log', disk)).map(({ record }) => record)
  expect(records.slice(-2)).toMatchObject([
    { kind: 'segment', after: 3, open: [3] },
    { kind: 'abandoned', of: 3 },
  ])
})

test('too many waiting entries are refused at once', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { maxPending: 3 })
  await log.append(access('first'))
  const { behaviour, go } = gate()
  disk.behaviour = behaviour
  const inFlight = log.append(access('in flight'))
  await settled()
  const waiting = [1, 2, 3].map((name) => log.append(access(name)))
  await expect(log.append(access(4))).rejects.toMatchObject({ code: 'overloaded' })
  disk.behaviour = () => {}
  go()
  await Promise.all([inFlight, ...waiting])
})

test('a full segment is followed by the next, which lists the changes that are not settled', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { segmentBytes: 1000 })
  const [made, left, open] = [
    await log.append(change('made')),
    await log.append(change('left')),
    await log.append(change('open')),
  ]
  log.settle(made.id)
  await log.append({ kind: 'abandoned', of: left.id, reason: 'a conflict' })
  for (let index = 0; index < 5; index++) await log.append(access(index))

  const records = (await readAll('/log', disk)).map(({ record }) => record)
  const headers = records.filter(({ kind }) => kind === 'segment')
  expect(headers.length).toBeGreaterThanOrEqual(3)
  expect(headers.at(-1)).toMatchObject({ open: [open.id], torn: 0, lost: 0 })
  expect(records.map(({ id }) => id)).toEqual(records.map((_, index) => index + 1))
})

test('lost records are told within a minute of traffic, and when the log is closed', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers })
  await log.append(access(1))
  log.noteLost(3)
  await log.append(access(2))
  expect(disk.paths).toHaveLength(1)
  timers.advance(60_000)
  await log.append(access(3))
  expect(disk.paths).toHaveLength(2)
  log.noteLost(2)
  await log.close()
  expect(await verifyLog('/log', { files: disk })).toMatchObject({ segments: 3, lost: 5 })
})

test('every record carries the highest revision that the log has seen', async () => {
  const disk = new MemoryDisk()
  let revision = 5
  const log = await openLog(disk, { revision: () => revision })
  await log.append(access(1))
  await log.close()
  revision = 3
  const again = await openLog(disk, { revision: () => revision })
  expect(again.recovered.revision).toBe(5)
  await again.append(access(2))
  revision = 9
  await again.append(access(3))
  const revisions = (await readAll('/log', disk)).map(({ record }) => record.revision)
  expect(revisions).toEqual([5, 5, 5, 5, 9])
})

test('closing writes what waits, then refuses; and gives up on a disk that hangs', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk)
  const waiting = log.append(access(1))
  await log.close()
  expect((await waiting).id).toBe(2)
  await expect(log.append(access(2))).rejects.toMatchObject({ code: 'shutting_down' })

  const timers = new ManualTimers()
  const other = await openLog(disk, { timers })
  await other.append(access(3))
  const { behaviour, go } = gate()
  disk.behaviour = behaviour
  const hanging = other.append(access(4))
  await settled()
  const closing = other.close()
  timers.advance(5000)
  await closing
  await expect(hanging).rejects.toMatchObject({ code: 'audit_unavailable' })
  disk.behaviour = () => {}
  go()
  await settled()
  expect(disk.misuses).toBe(0)
})

test('a log that cannot be begun refuses to open, and one that is not accepted writes nothing', async () => {
  using folder = temporaryDirectory()
  const file = join(folder.path, 'file')
  const options = { logId, revision: () => 1, directory: join(file, 'audit') }
  writeFileSync(file, '')
  await expect(AuditLog.open(options)).rejects.toMatchObject({ code: 'audit_unavailable' })

  const directory = join(folder.path, 'audit')
  const accept = async () => {
    throw new Error('not this one')
  }
  await expect(AuditLog.open({ ...options, directory, accept })).rejects.toThrow('not this one')
  expect(readdirSync(directory)).toEqual([])
})

test('everything that a first record stands on is durable before it', async () => {
  const disk = new MemoryDisk()
  const operations: string[] = []
  disk.behaviour = ({ kind, path }) => void operations.push(`${kind} ${path}`)
  const log = await openLog(disk)
  await log.append(access(1))
  const first = '/log/00000000000000000001.jsonl'
  expect(operations).toEqual([
    'syncFolder /',
    `create ${first}`,
    `write ${first}`,
    `sync ${first}`,
    'syncFolder /log',
    `write ${first}`,
  ])
})

test('records take the place of room, which is made ahead and given back at the end', async () => {
  const disk = new MemoryDisk()
  const path = '/log/00000000000000000001.jsonl'
  const log = await openLog(disk, { roomBytes: 2000 })
  const lengths: number[] = []
  for (let count = 0; count < 10; count++) {
    await log.append(access(count))
    lengths.push(disk.content(path).length)
    expect(await verifyLog('/log', { files: disk })).toMatchObject({ records: count + 2, torn: 0 })
  }
  expect(new Set(lengths).size).toBe(2)
  const room = /\0+$/.exec(disk.content(path).toString())?.[0].length ?? 0
  expect(room).toBeGreaterThan(0)
  await log.close()
  expect(disk.content(path).length).toBe((lengths.at(-1) ?? 0) - room)
})

test('room that a kill left is no part of the segment', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { roomBytes: 100_000 })
  const { id } = await log.append(access(1))
  const left = disk.afterKill(() => 1)
  const again = await openLog(left)
  expect(again.recovered).toMatchObject({ last: { id }, torn: 0 })
  await again.append(access(2))
  const records = await readAll('/log', left)
  expect(records[2]?.record).toMatchObject({ id: id + 1, kind: 'segment', after: id, torn: 0 })
})

test('a disk that does not answer while the log is opened is told in bounded time', async () => {
  const disk = new MemoryDisk()
  await (await openLog(disk)).append(access(1))
  const timers = new ManualTimers()
  disk.behaviour = () => new Promise(() => {})
  const opening = openLog(disk, { timers, openMs: 3000 })
  await settled()
  timers.advance(3000)
  await expect(opening).rejects.toMatchObject({
    code: 'audit_unavailable',
    message: 'Cannot write the audit log in "/log": the disk did not answer within 3000 ms',
  })
})

test('little free space is told', async () => {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const log = await openLog(disk, { timers, reserveBytes: 100 })
  expect(log.lowSpace).toBe(false)
  disk.free = 99
  await log.append(access(1))
  expect(log.lowSpace).toBe(false)
  timers.advance(1000)
  await log.append(access(2))
  await settled()
  expect(log.lowSpace).toBe(true)
})

test.each([
  ['removed', (path: string) => rmSync(path)],
  ['cut', (path: string) => truncateSync(path, 10)],
])('a new segment begins when the one in use was %s', async (_, harm) => {
  using folder = temporaryDirectory()
  const directory = join(folder.path, 'audit')
  mkdirSync(directory)
  const timers = new ManualTimers()
  await using log = await AuditLog.open({ directory, logId, revision: () => 1, timers })
  await log.append(access(1))
  harm(join(directory, '00000000000000000001.jsonl'))
  timers.advance(1000)
  await log.append(access(2))
  const second = join(directory, '00000000000000000004.jsonl')
  await expect.poll(() => nodeFiles.size(second)).toBeGreaterThan(0)
  await log.append(access(3))
  expect(readFileSync(second, 'utf8')).toContain('prod/3')
  expect(await verifyLog(directory)).toMatchObject({ ok: false })
})
