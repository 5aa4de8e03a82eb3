/**
 * How long changes wait for a mirror, by a clock that never jumps. Which one is the oldest is not asked of the clock
 * of the day either: since it was set back, a later one may have an earlier date.
 */
import type { Timers } from '../../client/platform/timers.ts'

/** The lag of one mirror. */
export class Lag {
  readonly #timers: Timers
  /** Since when those wait, at least, that waited before the start. */
  readonly #start: number
  readonly #since = new Map<string, number>()
  #count = 0

  constructor(timers: Timers) {
    this.#timers = timers
    this.#start = timers.now()
  }

  /** The secret `name` waits from now on, unless it does already. */
  waits(name: string): void {
    if (!this.#since.has(name)) this.#since.set(name, this.#timers.now())
  }

  /** The secret `name` waits no more. */
  settled(name: string): void {
    this.#since.delete(name)
  }

  /** Notes that `count` secrets wait, as the store has it. */
  note(count: number): void {
    this.#count = count
    if (count === 0) this.#since.clear()
  }

  /** How long the secret `name` waits, which does, in milliseconds; of one from before the start, since then. */
  of(name: string): number {
    return this.#timers.now() - (this.#since.get(name) ?? this.#start)
  }

  /** How long the oldest change waits, in milliseconds; of one from before the start, since then. */
  get ms(): number {
    if (this.#count === 0) return 0
    if (this.#since.size < this.#count) return this.#timers.now() - this.#start
    // They came in that order.
    const [oldest = this.#start] = this.#since.values()
    return this.#timers.now() - oldest
  }
}
