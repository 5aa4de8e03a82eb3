/** Time that only goes on when told to. */
import type { Timers } from '../../client/platform/timers.ts'

/** Timers that a test moves. */
export class ManualTimers implements Timers {
  #now = 0
  #alarms: { readonly at: number; readonly act: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(ms: number, act: () => void): () => void {
    const alarm = { at: this.#now + ms, act }
    this.#alarms.push(alarm)
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm)
    }
  }

  /** Lets time pass, and the alarms of that time go off in order. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#alarms.toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#alarms = this.#alarms.filter((other) => other !== next)
      this.#now = next.at
      next.act()
    }
    this.#now = end
  }
}
