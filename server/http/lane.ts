/** Runs what takes long one after another; addresses take turns, so that nobody waits behind one. */

/** A lane for long tasks. */
export class SerialQueue {
  /** What waits, by address; the address whose turn is next stands first. */
  readonly #waiting = new Map<string, (() => void)[]>()
  #busy = false

  /** Runs `task` when it is the turn of `address`, and settles as it does. */
  async run<T>(address: string, task: () => Promise<T>): Promise<T> {
    if (this.#busy) await this.#turn(address)
    this.#busy = true
    try {
      return await task()
    } finally {
      this.#next()
    }
  }

  #turn(address: string): Promise<void> {
    return new Promise((resolve) => {
      const mine = this.#waiting.get(address)
      if (mine) mine.push(resolve)
      else this.#waiting.set(address, [resolve])
    })
  }

  /** The lane stays busy while it passes from one task to the next. */
  #next(): void {
    const next = this.#waiting.entries().next().value
    if (!next) {
      this.#busy = false
      return
    }
    const [address, turns] = next
    this.#waiting.delete(address)
    const begin = turns.shift() as () => void
    if (turns.length > 0) this.#waiting.set(address, turns)
    begin()
  }
}
