/** Work by name: each name by one worker at a time, and what fails again later, ever more rarely. */
import type { Timers } from '../../../client/platform/timers.ts'
import { Backoff } from '../../../client/store/backoff.ts'

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 300_000

/** How a piece of work came out: it is done, or to be tried again, after so many milliseconds at least. */
export type Done = { readonly again: false } | { readonly again: true; readonly atLeastMs?: number }

/** What a queue is made of. */
export interface QueueParts {
  /** Does the work of a name. What it throws is a fault of the program. */
  readonly work: (name: string) => Promise<Done>
  /** How many are worked on at the same time. */
  readonly workers: number
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** Names to be worked on. */
export class Queue {
  readonly #parts: QueueParts
  /** In the order in which they came. */
  readonly #waiting = new Set<string>()
  readonly #running = new Map<string, Promise<void>>()
  readonly #backoffs = new Map<string, Backoff>()
  readonly #alarms = new Map<string, () => void>()
  #isClosed = false

  constructor(parts: QueueParts) {
    this.#parts = parts
  }

  /** Has a name worked on, soon; once more, where that is under way. */
  add(name: string): void {
    if (this.#isClosed) return
    this.#alarms.get(name)?.()
    this.#alarms.delete(name)
    this.#waiting.add(name)
    this.#next()
  }

  /** Forgets what failed: the name is of something else now. */
  forget(name: string): void {
    this.#alarms.get(name)?.()
    this.#alarms.delete(name)
    this.#backoffs.delete(name)
    this.#waiting.delete(name)
  }

  /** How many wait or are worked on. */
  get size(): number {
    return this.#waiting.size + this.#running.size
  }

  /** Begins nothing more, and resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const stop of this.#alarms.values()) stop()
    this.#alarms.clear()
    this.#waiting.clear()
    await Promise.all(this.#running.values())
  }

  #next(): void {
    for (const name of this.#waiting) {
      if (this.#running.size >= this.#parts.workers) return
      if (this.#running.has(name)) continue
      this.#waiting.delete(name)
      const running = this.#do(name).finally(() => {
        this.#running.delete(name)
        this.#next()
      })
      this.#running.set(name, running)
    }
  }

  async #do(name: string): Promise<void> {
    const done = await this.#parts.work(name)
    if (!done.again) {
      this.#backoffs.delete(name)
      return
    }
    if (this.#isClosed || this.#waiting.has(name)) return
    const { timers, random } = this.#parts
    const backoff =
      this.#backoffs.get(name) ?? new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, random)
    this.#backoffs.set(name, backoff)
    this.#alarms.get(name)?.()
    const ms = backoff.next(done.atLeastMs)
    this.#alarms.set(
      name,
      timers.after(ms, () => this.add(name)),
    )
  }
}
