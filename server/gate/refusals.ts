/**
 * Records refusals, and other requests that gave the caller nothing, without letting a caller fill the
 * disk: the first ones in a window get a record each, further and repeated ones are only counted.
 */
import { hash } from 'node:crypto'
import type { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, RefusalsEntry, UnidentifiedEntry } from '../../audit/record.ts'
import { utf8Length } from '../../client/api/names.ts'
import { MAX_NAME_BYTES, type Principal } from '../../client/api/types.ts'

/** Length of a window, in milliseconds. */
const WINDOW_MS = 60_000
/** Records that one caller may cause in a window by being refused, and their bytes. */
const RECORDS_PER_CALLER = 60
const BYTES_PER_CALLER = 32 * 1024
/** Bytes of the records that all callers may cause in a window, and of the counts at its end. */
const BYTES = 256 * 1024
/** Bytes that the log adds to a record, about. */
const RECORD_OVERHEAD = 256
/** Callers that are counted separately in a window; the rest are counted together. */
const CALLERS = 1000

interface Tally {
  readonly principal: Principal | undefined
  readonly ip: string
  readonly seen: Set<string>
  /** Of its records. */
  bytes: number
  count: number
  first: string
  last: string
}

/** Counts refusals per caller and window. */
export class Refusals {
  readonly #log: AuditLog
  readonly #clock: () => Date
  #tallies = new Map<string, Tally>()
  /** Of the records of this window. */
  #bytes = 0
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
    if (this.#take(tally, entry)) return recordIfPossible(this.#log, entry)
    tally.last = this.#clock().toISOString()
    if (tally.count++ === 0) tally.first = tally.last
  }

  /** Ends the window, and records its numbers. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const tallies = this.#tallies.values().filter(({ count }) => count > 0)
    this.#tallies = new Map()
    this.#bytes = 0
    let bytes = 0
    let rest: RefusalsEntry | undefined
    const records: RefusalsEntry[] = []
    for (const { principal, ip, count, first, last } of tallies) {
      const entry = {
        kind: 'refusals',
        ...(principal && { principal }),
        ip,
        count,
        first,
        last,
      } as const
      bytes += bytesOf(entry)
      if (bytes <= BYTES) records.push(entry)
      else rest = together(rest, entry)
    }
    if (rest) records.push(rest)
    await Promise.all(records.map((each) => recordIfPossible(this.#log, each, each.count)))
  }

  /** Whether `entry` gets a record: then its bytes are counted. */
  #take(tally: Tally, entry: AccessEntry | UnidentifiedEntry): boolean {
    // First what costs nothing: of these there may be hundreds in a request.
    if (tally.seen.size >= RECORDS_PER_CALLER || this.#log.lowSpace) return false
    const kind = keyOf(entry)
    if (tally.seen.has(kind)) return false
    const bytes = bytesOf(entry)
    if (tally.bytes + bytes > BYTES_PER_CALLER || this.#bytes + bytes > BYTES) return false
    tally.seen.add(kind)
    tally.bytes += bytes
    this.#bytes += bytes
    return true
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
    const tally = {
      principal,
      ip,
      seen: new Set<string>(),
      bytes: 0,
      count: 0,
      first: '',
      last: '',
    }
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

/** Names of more bytes are no secret's, and neither are those that take more to spell. */
const MAX_SPELLED = 2 * MAX_NAME_BYTES + 2
/** Bytes that are spelled of such a name. */
const PREFIX_BYTES = 256

/** `name` as a record has it: one that no secret can have as its beginning and its hash, where it is long. */
export function recorded(name: string): Pick<AccessEntry, 'secret' | 'secretHash'> {
  // In JSON a character takes 6 bytes at most.
  if (name.length * 6 <= MAX_SPELLED) return { secret: name }
  if (utf8Length(name) <= MAX_NAME_BYTES && spelledBytes(name) <= MAX_SPELLED)
    return { secret: name }
  let secret = ''
  let bytes = 0
  for (const character of name) {
    bytes += spelledBytes(character) - 2
    if (bytes > PREFIX_BYTES) break
    secret += character
  }
  return { secret, secretHash: hash('sha256', name) }
}

function spelledBytes(text: string): number {
  return utf8Length(JSON.stringify(text))
}

function bytesOf(entry: AccessEntry | UnidentifiedEntry | RefusalsEntry): number {
  return utf8Length(JSON.stringify(entry)) + RECORD_OVERHEAD
}

/** One count of several callers. */
function together(rest: RefusalsEntry | undefined, { count, first, last }: RefusalsEntry) {
  const before = rest ?? { count: 0, first, last }
  return {
    kind: 'refusals',
    ip: '',
    count: before.count + count,
    first: before.first < first ? before.first : first,
    last: before.last > last ? before.last : last,
  } as const
}

/** Distinguishes refusals of one caller; hashed, since names may be long and there may be many. */
function keyOf(entry: AccessEntry | UnidentifiedEntry): string {
  const text =
    entry.kind === 'access'
      ? `${entry.action} ${entry.operation ?? entry.via ?? ''} ${entry.result} ${entry.secretHash ?? entry.secret ?? ''} ${entry.secretVersion ?? ''}`
      : entry.reason
  return hash('sha256', text, 'base64')
}
