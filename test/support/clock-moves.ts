/** Draws what happens to a wall clock: steps of an administrator, of NTP, of a dead battery. */

const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS

/** A generator of numbers from 0 to 1 that a seed repeats. */
export function drawsOf(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e37_79b9) | 0
    return (state >>> 0) / 2 ** 32
  }
}

/** The wall clock after a move that is drawn: a year, a day, a minute either way, or to 1970 and back. */
export function moved(now: number, true_: number, draw: () => number): number {
  const moves = [-YEAR_MS, YEAR_MS, -DAY_MS, DAY_MS, -60_000, 60_000, 0]
  const which = Math.floor(draw() * (moves.length + 2))
  if (which === moves.length) return 0
  if (which === moves.length + 1) return true_
  return Math.max(0, now + (moves[which] ?? 0))
}
