/** Checks whether a log is whole, from its first record to its last. */
import { type BatchKeys, forged, type Unproven } from './batches.ts'
import type { Damage, Located } from './damage.ts'
import type { FileSystem } from './files.ts'
import type { Receipt, SegmentEntry, Stamp } from './record.ts'
import { holdingTimers, type Timers } from '../client/platform/timers.ts'
import { walk } from './walk.ts'

/** How often, and after how many milliseconds, the end of a batch is looked for in a log that is being written. */
const LOOKS = 4
const LOOK_MS = 50

/** How to verify a log. */
export interface VerifyOptions {
  /**
   * A record that is known to have been in the log. Without one, it does not show when the last
   * records were cut off, or when the whole log was rewritten.
   */
  readonly head?: Receipt
  /** The record that the log begins after, where an older part of it was moved away. */
  readonly after?: Receipt
  /** The keys of the store's batches. Without them a MAC that somebody made up passes for one. */
  readonly keys?: BatchKeys
  /** The record from which on every batch has a MAC, where that is known. */
  readonly macsFrom?: number
  readonly files?: FileSystem
  readonly timers?: Timers
  /** Ends it: it then rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

/** What was found. */
export interface VerifyReport {
  /** Whether nothing is wrong. Torn bytes, gaps and lost records are not damage: the log declares them. */
  readonly ok: boolean
  /** What is wrong first; absent where nothing is. The numbers below count what comes before it. */
  readonly damage?: Damage
  readonly records: number
  readonly segments: number
  /** The first and the last record; null on a log without records. */
  readonly first: Receipt | null
  readonly last: Receipt | null
  /** Bytes after the last record that are none: a write cut short, or one in flight. */
  readonly torn: number
  /** Ids that no record has: given to records that did not reach the disk. */
  readonly skipped: number
  /** Records on the disk that were never confirmed: their acts were answered with an error, or others added them. */
  readonly unconfirmed: number
  /**
   * Records that are in no batch with a valid MAC, and that no segment tells of: at the end of the log. With keys
   * they are damage, though a write that was cut short may have left them. Absent where there are none.
   */
  readonly unproven?: { readonly count: number; readonly from: number }
  /** MACs of batches, which were verified where keys were given; absent where there are none. */
  readonly macs?: number
  /** Records that the log says could not be written; their acts revealed nothing. */
  readonly lost: number
}

/**
 * Goes through the log at `path`, a folder or a single segment. A single segment is verified by
 * itself, without its link to the one before. Rejects with SottoError `local` when the log cannot
 * be read; damage is in the report.
 */
export async function verifyLog(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const { head, timers = holdingTimers, ...walkOptions } = options
  const count = new Count()
  let looks = 0
  // The end of a batch may be on its way.
  const more = async (isOpen: boolean): Promise<boolean> => {
    if (!isOpen || looks++ >= LOOKS) return false
    await new Promise<void>((resolve) => timers.after(LOOK_MS, resolve))
    return true
  }
  let damage: Damage | undefined
  let torn = 0
  let unproven: Unproven | undefined
  let seen = head === undefined || head.id === 0
  for await (const step of walk(path, { ...walkOptions, more })) {
    if ('damage' in step) damage = step
    else if ('torn' in step) {
      torn = step.torn
      unproven = step.unproven
      if (unproven && options.keys) damage = atEnd(unproven)
    } else {
      count.add(step)
      if (step.record.id !== head?.id) continue
      seen = true
      if (step.hash === head.hash) continue
      const message = `record ${head.id} is not the known one`
      damage = { ...at(step), damage: 'altered', message }
      break
    }
  }
  if (damage === undefined && !seen && head !== undefined) damage = count.missing(head)
  const atLast = unproven && { count: unproven.count, from: unproven.first.record.id }
  const { macs } = count
  const ended = { torn, ...(macs > 0 && { macs }), ...(atLast && { unproven: atLast }) }
  return { ok: damage === undefined, ...(damage && { damage }), ...count.totals, ...ended }
}

/** What records at the end are that no segment tells of. */
function atEnd({ first, count }: Unproven): Damage {
  const which = `${count} record${count === 1 ? '' : 's'} from ${first.record.id} on`
  return forged(
    first,
    `${which} at the end have no valid MAC: a write was cut short, or others added them`,
  )
}

function at({ segment, line, record }: Located): { segment: string; line: number; id: number } {
  return { segment, line, id: record.id }
}

/** Counts records. */
class Count {
  #last: Located | undefined
  #lostByHeader = 0
  macs = 0
  totals = {
    records: 0,
    segments: 0,
    first: null as Receipt | null,
    last: null as Receipt | null,
    skipped: 0,
    unconfirmed: 0,
    lost: 0,
  }

  add(found: Located): void {
    const { record, hash } = found
    const { totals } = this
    totals.records++
    if (record.mac !== undefined && !found.unconfirmed) this.macs++
    if (record.kind === 'segment') this.#addHeader(record)
    totals.last = { id: record.id, hash }
    totals.first ??= totals.last
    this.#last = found
  }

  #addHeader({ id, after, lost }: SegmentEntry & Stamp): void {
    const { totals } = this
    const last = this.#last
    totals.segments++
    totals.lost += lost
    if (last !== undefined) {
      totals.skipped += id - last.record.id - 1
      // A segment given up at its first record: this one follows what that one followed.
      const givenUp = last.line === 1 && after < last.record.id
      totals.unconfirmed += givenUp ? 1 : last.record.id - after
      if (givenUp) totals.lost -= this.#lostByHeader
    }
    this.#lostByHeader = lost
  }

  /** The damage that it is when the record `head`, known to have been there, is not. */
  missing(head: Receipt): Damage {
    const last = this.#last
    const end = last === undefined ? { segment: '', line: 1, id: 1 } : at(last)
    if (end.id > head.id) {
      return { ...end, id: head.id, damage: 'missing', message: `record ${head.id} is not there` }
    }
    const message = `record ${head.id} is known, and the log ends at record ${last ? end.id : 0}`
    const line = last === undefined ? 1 : end.line + 1
    return { segment: end.segment, line, id: end.id + (last ? 1 : 0), damage: 'cut', message }
  }
}
