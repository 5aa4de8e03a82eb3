/** What the audit tests share: entries, chance that can be repeated, time that a test drives. */
import type { AuditLogOptions } from '../../audit/log.ts'
import { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, ChangeEntry } from '../../audit/record.ts'
import { readLog } from '../../audit/reader.ts'
import type { Located } from '../../audit/damage.ts'
import type { Timers } from '../../server/platform/timers.ts'
import type { FileSystem } from '../../audit/files.ts'

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

/** Time that only goes on when told to. */
export class ManualTimers implements Timers {
  #now = 0
  #alarms: { readonly at: number; readonly act: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(ms: number, act: () => void): () => void {
    const alarm = { at: this.#now + ms, act }
    this.#alarms.push(alarm)
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm)
    }
  }

  /** Lets time pass, and the alarms of that time go off in order. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#alarms.toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#alarms = this.#alarms.filter((other) => other !== next)
      this.#now = next.at
      next.act()
    }
    this.#now = end
  }
}

/** Resolves a few turns of the event loop later, when a log has done what it can do by itself. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}
