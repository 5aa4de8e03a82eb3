/**
 * Records refusals, and other requests that gave the caller nothing, without letting a caller fill the
 * disk: the first ones in a window get a record each, further and repeated ones are only counted.
 */
import { hash } from 'node:crypto'
import type { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, RefusalsEntry, UnidentifiedEntry } from '../../audit/record.ts'
import type { Principal } from '../../client/api/types.ts'

/** Length of a window, in milliseconds. */
const WINDOW_MS = 60_000
/** Records that one caller may cause in a window by being refused. */
const RECORDS_PER_CALLER = 60
/** Callers that are counted separately in a window; the rest are counted together. */
const CALLERS = 1000

interface Tally {
  readonly principal: Principal | undefined
  readonly ip: string
  readonly seen: Set<string>
  count: number
  first: string
  last: string
}

/** Counts refusals per caller and window. */
export class Refusals {
  readonly #log: AuditLog
  readonly #clock: () => Date
  #tallies = new Map<string, Tally>()
  #timer: NodeJS.Timeout | undefined

  constructor(log: AuditLog, clock: () => Date) {
    this.#log = log
    this.#clock = clock
  }

  /**
   * Records a refusal, or counts it. Resolves when its record is durable, or at once when it is only
   * counted. Never rejects: what reveals nothing is answered also while the log is down.
   */
  async record(entry: AccessEntry | UnidentifiedEntry): Promise<void> {
    const tally = this.#tallyOf(entry)
    const kind = keyOf(entry)
    if (!tally.seen.has(kind) && tally.seen.size < RECORDS_PER_CALLER && !this.#log.lowSpace) {
      tally.seen.add(kind)
      return recordIfPossible(this.#log, entry)
    }
    tally.last = this.#clock().toISOString()
    if (tally.count++ === 0) tally.first = tally.last
  }

  /** Ends the window, and records its numbers. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const tallies = this.#tallies
    this.#tallies = new Map()
    await Promise.all([...tallies.values()].map((tally) => this.#recordCount(tally)))
  }

  async #recordCount(tally: Tally): Promise<void> {
    if (tally.count === 0) return
    const { principal, seen: _seen, ...counted } = tally
    const entry = { kind: 'refusals', ...(principal && { principal }), ...counted } as const
    await recordIfPossible(this.#log, entry, tally.count)
  }

  #tallyOf(entry: AccessEntry | UnidentifiedEntry): Tally {
    this.#timer ??= setTimeout(() => void this.flush(), WINDOW_MS).unref()
    const principal = entry.kind === 'access' ? entry.principal : undefined
    const ip = entry.kind === 'access' ? entry.principal.ip : entry.ip
    const caller = `${principal?.hostname ?? ''} ${ip}`
    const known = this.#tallies.get(caller)
    if (known) return known
    if (this.#tallies.size < CALLERS) return this.#begin(caller, principal, ip)
    return this.#tallies.get('') ?? this.#begin('', undefined, '')
  }

  #begin(caller: string, principal: Principal | undefined, ip: string): Tally {
    const tally = { principal, ip, seen: new Set<string>(), count: 0, first: '', last: '' }
    this.#tallies.set(caller, tally)
    return tally
  }
}

/** Writes a record of what reveals nothing; while the log is down, `lost` is added to what it lacks. */
export async function recordIfPossible(
  log: AuditLog,
  entry: AccessEntry | UnidentifiedEntry | RefusalsEntry,
  lost = 1,
): Promise<void> {
  try {
    await log.append(entry)
  } catch {
    log.noteLost(lost)
  }
}

/** Distinguishes refusals of one caller; hashed, since names may be long and there may be many. */
function keyOf(entry: AccessEntry | UnidentifiedEntry): string {
  const text =
    entry.kind === 'access'
      ? `${entry.action} ${entry.result} ${entry.secret ?? ''} ${entry.secretVersion ?? ''}`
      : entry.reason
  return hash('sha256', text, 'base64')
}
