/** When secrets that failed are tried again, by a clock that never jumps: forgotten when the server stops. */
import type { Timers } from '../../client/platform/timers.ts'

const FIRST_MS = 30_000
const MAX_MS = 3_600_000

/** The secrets of one mirror that wait for another attempt. */
export class Retries {
  readonly #timers: Timers
  readonly #due = new Map<string, number>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /** The secret `name` failed, so often in a row: it waits, twice as long each time, at most an hour. */
  failed(name: string, attempts: number): void {
    const waitMs = Math.min(FIRST_MS * 2 ** (attempts - 1), MAX_MS)
    this.#due.set(name, this.#timers.now() + waitMs)
  }

  /** The secret `name` did not fail. */
  settled(name: string): void {
    this.#due.delete(name)
  }

  /** Whether the secret `name` waits still. */
  waits(name: string): boolean {
    return this.#timers.now() < (this.#due.get(name) ?? Number.NEGATIVE_INFINITY)
  }
}
