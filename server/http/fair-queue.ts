/**
 * Says whose turn it is: addresses take turns, so that one that sends much waits for its own requests
 * and delays no other address.
 */

/** Items that one turn of the event loop begins. */
const PER_TURN = 64

/** Begins each item when it is its turn. A turn of the event loop begins a bounded number of them. */
export class FairQueue<Item> {
  readonly #begin: (item: Item) => void
  readonly #waiting = new RoundRobin<Item>()
  #begun = 0

  /** `begin` must not throw. */
  constructor(begin: (item: Item) => void) {
    this.#begin = begin
  }

  /** Begins `item` when it is the turn of `address`: now, unless others wait or this turn is full. */
  add(address: unknown, item: Item): void {
    // Items of earlier turns count too, so that a turn has its end only when one is needed.
    if (this.#begun < PER_TURN) {
      this.#begun++
      return this.#begin(item)
    }
    if (this.#waiting.isEmpty) setImmediate(() => this.#turn())
    this.#waiting.add(address, item)
  }

  #turn(): void {
    for (this.#begun = 0; this.#begun < PER_TURN; this.#begun++) {
      const item = this.#waiting.next()
      if (item === undefined) return
      this.#begin(item)
    }
    if (!this.#waiting.isEmpty) setImmediate(() => this.#turn())
  }
}

/** Runs long tasks one after another. */
export class SerialQueue {
  readonly #waiting = new RoundRobin<() => void>()
  #busy = false

  /** Runs `task` when it is the turn of `address`, and settles as it does. */
  async run<T>(address: string, task: () => Promise<T>): Promise<T> {
    if (this.#busy) await new Promise<void>((resolve) => this.#waiting.add(address, resolve))
    this.#busy = true
    try {
      return await task()
    } finally {
      // The queue stays busy from one task to the next.
      const begin = this.#waiting.next()
      if (begin) begin()
      else this.#busy = false
    }
  }
}

/** What waits, by address. */
class RoundRobin<Item> {
  /** The address whose turn is next comes first. */
  readonly #items = new Map<unknown, Item[]>()

  get isEmpty(): boolean {
    return this.#items.size === 0
  }

  add(address: unknown, item: Item): void {
    const mine = this.#items.get(address)
    if (mine) mine.push(item)
    else this.#items.set(address, [item])
  }

  /** Takes the next item out; undefined when nothing waits. */
  next(): Item | undefined {
    const next = this.#items.entries().next().value
    if (!next) return undefined
    const [address, items] = next
    this.#items.delete(address)
    const item = items.shift()
    if (items.length > 0) this.#items.set(address, items)
    return item
  }
}
