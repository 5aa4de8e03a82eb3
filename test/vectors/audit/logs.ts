/** The logs that the vectors are made from, written by the program itself under a fixed clock. */
import { basename } from 'node:path'
import { AuditLog, type AuditLogOptions } from '../../../audit/log.ts'
import type { Entry } from '../../../audit/record.ts'
import type { BatchKeys } from '../../../audit/batches.ts'
import { MemoryDisk, systemError } from '../../audit/disk.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import type { Log } from './log-vector.ts'

/** The store whose log it is. */
const logId = '00112233445566778899aabbccddeeff'

const app = { hostname: 'app-1', ip: '100.64.0.7', tags: ['tag:app', 'tag:prod'] }
const alice = { hostname: 'laptop', ip: '100.64.0.8', user: 'alice@example.com' }

const get: Entry = {
  kind: 'access',
  request: 'r1',
  principal: app,
  action: 'get',
  authorized: true,
  secret: 'prod/app/key',
  secretVersion: 3,
  result: 'ok',
}
const list: Entry = {
  kind: 'access',
  request: 'r2',
  principal: alice,
  action: 'info',
  authorized: true,
  result: 'ok',
}
const put: Entry = {
  kind: 'change',
  request: 'r3',
  principal: alice,
  action: 'put',
  authorized: true,
  secret: 'prod/app/key',
  secretVersion: 4,
  verb: 'put',
}
const denied: Entry = {
  kind: 'access',
  request: 'r4',
  principal: app,
  action: 'put',
  authorized: false,
  secret: 'prod/"é\u{1f511}\u0007',
  result: 'denied',
  reason: 'no rule allows it',
}
const unknown: Entry = {
  kind: 'unidentified',
  request: 'r5',
  ip: '100.64.0.9',
  reason: 'no such node',
}
const refusals: Entry = {
  kind: 'refusals',
  principal: app,
  ip: '100.64.0.7',
  count: 12,
  first: '2026-02-03T04:05:00.000Z',
  last: '2026-02-03T04:05:59.000Z',
}
const start: Entry = { kind: 'start', version: '0.1.0' }
const stop: Entry = { kind: 'stop', version: '0.1.0' }

/** A log of three segments, as a server leaves it that was started three times. */
export async function threeSegments(id: string = logId): Promise<Log> {
  const disk = new MemoryDisk()
  const clock = clockFrom('2026-02-03T04:05:06.789Z')
  await use(disk, [start, get, put, list], { clock, logId: id })
  await use(disk, [start, denied, unknown, refusals, stop], { clock, logId: id })
  const abandoned: Entry = { kind: 'abandoned', of: 4, reason: 'the server stopped first' }
  await use(disk, [start, abandoned, get, stop], { clock, logId: id })
  return textOf(disk)
}

/**
 * A log whose disk failed in a write of three records, ids 4 to 6, and kept all but the end of the
 * third; `attempts`: how many segments were given up before one could begin.
 */
export async function failedWrite(attempts: number): Promise<Log> {
  const disk = new MemoryDisk()
  const timers = new ManualTimers()
  const clock = clockFrom('2026-02-03T04:05:06.789Z')
  const log = await open(disk, { timers, clock })
  await log.append(start)
  await log.append(put)
  disk.behaviour = () => ({ error: systemError('EIO'), bytes: 900 })
  await Promise.allSettled([log.append(get), log.append(get), log.append(list)])
  log.noteLost()
  disk.behaviour = ({ kind }) =>
    kind === 'syncFolder' || kind === 'remove' ? { error: systemError('EIO') } : {}
  for (let attempt = 0; attempt < attempts; attempt++) {
    timers.advance(1000)
    await settled()
  }
  disk.behaviour = () => {}
  timers.advance(1000)
  await settled()
  await log.append(get)
  await log.append(stop)
  await log.close()
  return textOf(disk)
}

/** A log as it goes on after what a crash left. */
export async function goneOn(left: Log): Promise<Log> {
  const disk = new MemoryDisk()
  for (const [name, text] of left) disk.put(`/log/${name}`, Buffer.from(text))
  await use(disk, [start, get, stop], { clock: clockFrom('2026-02-04T00:00:00.000Z') })
  return textOf(disk)
}

/**
 * A log of which each life, with or without the keys of batches, left a segment of four more records, the last two in one
 * batch. `left`: what is there before the first.
 */
export async function keyedLog({
  lives,
  skipIds = 0,
  left = new Map(),
}: {
  readonly lives: readonly (BatchKeys | undefined)[]
  readonly skipIds?: number
  readonly left?: Log
}): Promise<Log> {
  const disk = new MemoryDisk()
  for (const [name, text] of left) disk.put(`/log/${name}`, Buffer.from(text))
  const clock = clockFrom('2026-02-03T04:05:06.789Z')
  const from = lives[0] === undefined ? 6 : 1
  for (const [life, keys] of lives.entries()) {
    const macs = keys && { keys, branch: 'b0b1b2b3b4b5b6b7', from: () => from }
    const salt = (): string => '0123456789abcdef'
    const skip = life > 0 ? skipIds : 0
    const log = await open(disk, { clock, skipIds: skip, ...(macs && { macs, salt }) })
    if (macs && from > 1 && life === 1) await log.append({ kind: 'format', macsFrom: from })
    await log.append(start)
    await log.append(get)
    await Promise.all([log.append(list), log.append(stop)])
    await log.close()
  }
  return textOf(disk)
}

function open(disk: MemoryDisk, options: Partial<AuditLogOptions>): Promise<AuditLog> {
  return AuditLog.open({
    directory: '/log',
    logId,
    revision: () => 8,
    files: disk,
    roomBytes: 0,
    salt: () => undefined,
    ...options,
  })
}

async function use(
  disk: MemoryDisk,
  entries: readonly Entry[],
  options: Partial<AuditLogOptions>,
): Promise<void> {
  const log = await open(disk, options)
  for (const entry of entries) await log.append(entry)
  await log.close()
}

/** A clock that a second passes on each time that it is read. */
function clockFrom(first: string): () => Date {
  let time = Date.parse(first)
  return () => {
    time += 1000
    return new Date(time)
  }
}

function textOf(disk: MemoryDisk): Log {
  return new Map(disk.paths.map((path) => [basename(path), disk.content(path).toString()]))
}
