/** What the audit tests share: entries, chance that can be repeated, time that a test drives. */
import { createHmac } from 'node:crypto'
import type { BatchKeys, BatchMacs } from '../../audit/batches.ts'
import type { AuditLogOptions } from '../../audit/log.ts'
import { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, ChangeEntry } from '../../audit/record.ts'
import { readLog } from '../../audit/reader.ts'
import type { Located } from '../../audit/damage.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { FileSystem } from '../../audit/files.ts'

export { ManualTimers } from '../../server/testing/manual-timers.ts'

/** The store whose log the tests write. */
export const logId: string = 'c0ffee'.padEnd(32, '0')

/** A read of the secret `prod/NAME`. */
export function access(name: string | number): AccessEntry {
  return {
    kind: 'access',
    request: `request-${name}`,
    principal: { hostname: 'app-1', ip: '100.64.0.7', tags: ['tag:app'] },
    action: 'get',
    authorized: true,
    secret: `prod/${name}`,
    secretVersion: 3,
    result: 'ok',
  }
}

/** The intent to change the secret `prod/NAME`. */
export function change(name: string | number): ChangeEntry {
  return {
    kind: 'change',
    request: `request-${name}`,
    principal: { hostname: 'laptop', ip: '100.64.0.8', user: 'alice@example.com' },
    action: 'put',
    authorized: true,
    secret: `prod/${name}`,
    secretVersion: 4,
    verb: 'put',
  }
}

/** Timers of one who does not wait. */
export const hastyTimers: Timers = {
  now: () => 0,
  after(_ms, act) {
    setImmediate(act)
    return () => {}
  },
}

/** Keys of batches as a store has them: the numbers that are given, the newest first. */
export function batchKeys(...auditKeys: number[]): BatchKeys {
  return {
    auditKeys,
    auditMac(hashes, number = auditKeys[0] ?? 0) {
      const hmac = createHmac('sha256', `audit key ${number}`)
      for (const hash of hashes) hmac.update(hash, 'hex')
      return { number, mac: hmac.digest('hex') }
    },
  }
}

/** What logs of a store whose newest audit key is `key` make MACs with. */
export function macsOf(key: number, from = 1): BatchMacs {
  const numbers = Array.from({ length: key }, (_, index) => key - index)
  return { keys: batchKeys(...numbers), branch: 'b0b1b2b3b4b5b6b7', from: () => from }
}

/** Opens a log in `/log` of `files`, with what else is given. */
export function openLog(
  files: FileSystem,
  options: Partial<AuditLogOptions> = {},
): Promise<AuditLog> {
  return AuditLog.open({
    directory: '/log',
    logId,
    revision: () => 1,
    roomBytes: 0,
    files,
    macs: macsOf(1),
    ...options,
  })
}

/** Every record of a log. */
export async function readAll(path: string, files: FileSystem): Promise<Located[]> {
  const records: Located[] = []
  for await (const found of readLog(path, { files })) records.push(found)
  return records
}

/** Numbers from 0 to 1, the same ones for the same seed. */
export function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Resolves a few turns of the event loop later, when a log has done what it can do by itself. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}
