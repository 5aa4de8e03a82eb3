/**
 * Places in backends where something may still come about: a write that was given up or is under way, so that what is
 * there is not cleared yet; and a removal that was given up, so that nothing is brought back there yet.
 */
import { asSottoError } from '../../client/api/errors.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { Orphan } from '../store/contract.ts'

/** OpenBao works on a request for 90 s at most: a write that was given up is done by then, or never. */
export const DOUBT_MS = 120_000

/** The places of one server. They are forgotten with the process, whose successor waits as long before it clears any. */
export class Doubts {
  readonly #timers: Timers
  /** When each is over, in the order in which they came. */
  readonly #ends = new Map<string, number>()
  readonly #removals = new Map<string, number>()
  /** How many moves bring something to each. */
  readonly #held = new Map<string, number>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  add(place: Orphan): void {
    this.#ends.set(keyOf(place), this.#timers.now() + DOUBT_MS)
  }

  has(place: Orphan): boolean {
    const key = keyOf(place)
    return this.#held.has(key) || (this.#ends.get(key) ?? 0) > this.#timers.now()
  }

  /** Has what a move brings to `places` not cleared until what this returns is disposed of. */
  hold(places: readonly Orphan[]): Disposable {
    const keys = places.map(keyOf)
    const count = (key: string, more: number): void => {
      const left = (this.#held.get(key) ?? 0) + more
      if (left > 0) this.#held.set(key, left)
      else this.#held.delete(key)
    }
    for (const key of keys) count(key, 1)
    return { [Symbol.dispose]: () => keys.forEach((key) => count(key, -1)) }
  }

  /** Runs `remove`, which removes what is at `place`: where no answer comes, that may still come about. */
  async removing<T>(place: Orphan, remove: () => Promise<T>): Promise<T> {
    try {
      return await remove()
    } catch (error) {
      if (asSottoError(error).code !== 'backend_unavailable') throw error
      const now = this.#timers.now()
      for (const [key, end] of this.#removals) if (end <= now) this.#removals.delete(key)
      this.#removals.set(keyOf(place), now + DOUBT_MS)
      throw error
    }
  }

  /** Whether what is brought to `place` may be removed there by itself. */
  mayVanish(place: Orphan): boolean {
    return (this.#removals.get(keyOf(place)) ?? 0) > this.#timers.now()
  }

  /** Milliseconds until the last of them is over; undefined where all are. */
  get waitMs(): number | undefined {
    const now = this.#timers.now()
    for (const [key, end] of this.#ends) if (end <= now) this.#ends.delete(key)
    const last = [...this.#ends.values()].at(-1)
    return last === undefined ? undefined : last - now
  }
}

function keyOf({ backend, name, incarnation, version }: Orphan): string {
  return JSON.stringify([backend, name, incarnation, version])
}
