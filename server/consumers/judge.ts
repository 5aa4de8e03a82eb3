/** What a holder is to a secret whose active version is known: current, behind, unknown or left. */
import type { Copies } from './copies.ts'
import type { Holder } from './parties.ts'
import { SHARED, type Table } from './table.ts'

/** Ticks of the clock of holdings in a second. */
export const TICKS = 10

/** The least and the most time that a holder is taken to let pass between two words, and that of one that said a single word. */
const MIN_GAP = 5 * TICKS
const MAX_GAP = 24 * 3600 * TICKS
const FIRST_GAP = 3600 * TICKS
/** Words that follow each other faster are one. */
const ONE_WORD = TICKS
/** So many of its own intervals a holder may be silent, and what it named counts. */
const INTERVALS = 3
/** How long a program that ended its stream must be silent at least until it is taken to have ended. */
const LEFT_AFTER = 15 * 60 * TICKS
/** How long a program with a label may come back because the answer with a new version was lost. */
const RETRY = 5 * TICKS

/** What a holder is. */
export type HolderState = 'current' | 'behind' | 'unknown' | 'left'

/** A row, judged. */
export interface Judged {
  readonly state: HolderState
  /** The oldest version that counts. */
  readonly version: number
}

/** The interval of a holder after a word at `now`, where the one before was at `heard`, 0 for none, and `gap` held until now. */
export function gapAfter(gap: number, heard: number, now: number): number {
  const passed = now - heard
  if (heard === 0 || passed < ONE_WORD) return gap
  // It follows a longer one at once, and a shorter one slowly: what is too long errs to the side of `behind`.
  const next = passed >= gap || gap === 0 ? passed : gap - (gap - passed) / 4
  return Math.round(Math.min(Math.max(next, MIN_GAP), MAX_GAP))
}

/**
 * Judges a row at `now`; undefined where its holder holds nothing. Nothing that is in doubt is `current`:
 *
 * - `unknown`: not heard since the start of the server, or silent for three of its intervals and not told of
 *   changes by a stream; or it was given copies of another version that were never exchanged for the active one,
 *   and not named for as long, so that a second program may be asleep with one;
 * - `behind`: it named another version than the active one;
 * - `left`: a program with a label that ended its streams and was silent since, for three of its intervals and 15 minutes;
 * - `current`: all of its copies are of the active version, and for a whole interval nobody came with another
 *   one: after a restart of a program, or after an answer that was lost.
 */
export function judge(
  { table, copies }: { readonly table: Table; readonly copies: Copies },
  row: number,
  holder: Holder,
  active: number,
  now: number,
): Judged | undefined {
  const { version: versions, count, named, heard: heards, gap: gaps, moved } = table.columns
  if (count[row] === 0) return undefined
  const version = versions[row] as number
  const heard = heards[row] as number
  const gap = (gaps[row] as number) || FIRST_GAP
  const hasLabel = holder.label !== undefined
  const isFresh = (at: number): boolean => at > 0 && now - at <= INTERVALS * gap

  let other = version === active ? 0 : version
  let otherNamed = other > 0 ? (named[row] as number) : 0
  for (const [each, { named: at }] of copies.further(row) ?? []) {
    if (each === active) continue
    if (other === 0 || each < other) other = each
    otherNamed = Math.max(otherNamed, at)
  }
  const shown = other || version

  if (hasLabel && holder.ended > 0 && holder.streams === 0) {
    const silent = now - Math.max(holder.ended, holder.heard)
    if (silent > Math.max(INTERVALS * gap, LEFT_AFTER)) return { state: 'left', version: shown }
  }
  const isTold = hasLabel && holder.streams > 0
  if (heard === 0 || !(isTold || isFresh(heard))) return { state: 'unknown', version: shown }
  const isOne = hasLabel && ((table.columns.flags[row] as number) & SHARED) === 0
  if (other > 0) {
    return { state: isOne || isFresh(otherNamed) ? 'behind' : 'unknown', version: other }
  }
  const gaveUp = moved[row] as number
  const waits = isOne ? RETRY : gap
  const isSettled = gaveUp === 0 || now - gaveUp > waits
  return { state: isSettled ? 'current' : 'behind', version }
}
