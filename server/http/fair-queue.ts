/**
 * Says when a request's turn is: addresses take turns, and a turn of the event loop has so many
 * requests at most. Who sends more than that waits behind itself, and nobody else does.
 */
import type { AddressUsage } from './load.ts'

/** Requests that are begun in one turn of the event loop. */
const PER_TURN = 64

/** Begins what comes, in turn. */
export class FairQueue<T> {
  readonly #begin: (item: T) => void
  /** What waits, by address; the address whose turn is next stands first. */
  readonly #waiting = new Map<AddressUsage, T[]>()
  #begun = 0

  /** `begin` must not throw. */
  constructor(begin: (item: T) => void) {
    this.#begin = begin
  }

  /** Begins `item` when it is the turn of `usage`: now, unless others wait or this turn is full. */
  add(usage: AddressUsage, item: T): void {
    // Requests of earlier turns count too, so that a turn has its end only when one is needed.
    if (this.#begun < PER_TURN) {
      this.#begun++
      return this.#begin(item)
    }
    if (this.#waiting.size === 0) setImmediate(() => this.#turn())
    const mine = this.#waiting.get(usage)
    if (mine) mine.push(item)
    else this.#waiting.set(usage, [item])
  }

  #turn(): void {
    for (this.#begun = 0; this.#begun < PER_TURN; this.#begun++) {
      const next = this.#waiting.entries().next().value
      if (!next) return
      const [usage, items] = next
      this.#waiting.delete(usage)
      const item = items.shift() as T
      if (items.length > 0) this.#waiting.set(usage, items)
      this.#begin(item)
    }
    if (this.#waiting.size > 0) setImmediate(() => this.#turn())
  }
}
