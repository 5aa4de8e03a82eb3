/** One watch as a blocking query: an answer as soon as something differs, or after a while. */
import type { Timers } from '../../../client/platform/timers.ts'
import type { Difference, Group, Watched } from './watched.ts'
import type { Watcher, Watchers } from './watchers.ts'

/** What a query is made of. */
export interface QueryParts {
  readonly node: string
  readonly watched: Watched
  readonly watchers: Watchers
  readonly timers: Timers
}

/** A blocking query. */
export class WatchQuery implements Watcher {
  readonly node: string
  readonly #parts: QueryParts
  #ended = false
  #doubted = false
  #wake: (() => void) | undefined

  constructor(parts: QueryParts) {
    this.node = parts.node
    this.#parts = parts
  }

  get names(): Iterable<string> {
    return this.#parts.watched.names
  }

  get mayKnow(): boolean {
    return this.#parts.watched.mayKnow
  }

  /**
   * Resolves with what differs: at once, or when something does, or with nothing after `ms`. Rejects where the caller,
   * who was named just now, cannot be named any more.
   */
  async answer(ms: number): Promise<Group> {
    const { watched, watchers, timers } = this.#parts
    const stop = timers.after(ms, () => this.end())
    try {
      for (;;) {
        const group = await this.#differences()
        if (group.differences.length > 0 || this.#ended) return group
        await this.#woken()
        // Who asks is told nothing after it may not know any more.
        if (watched.isMarked || this.#doubted) {
          this.#doubted = false
          await watchers.asking(() => watched.askAgain())
        }
      }
    } finally {
      stop()
      this.close()
    }
  }

  changed(name: string): void {
    this.#parts.watched.mark(name)
    if (this.#parts.watched.isMarked) this.#wake?.()
  }

  beat(turn: number): void {
    if (turn % 2 === 1) this.doubted()
  }

  tick(): boolean {
    return false
  }

  doubted(): void {
    this.#doubted = true
    this.#wake?.()
  }

  /** Has it answer. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Counts it out. */
  close(): void {
    this.#parts.watchers.leave(this)
  }

  /** All that differs now. */
  async #differences(): Promise<Group> {
    const { watched } = this.#parts
    const all: Difference[] = []
    for (;;) {
      const { differences, ...where } = await watched.take()
      all.push(...differences)
      if (watched.isMarked) continue
      return { differences: all, ...where }
    }
  }

  #woken(): Promise<void> {
    if (this.#ended || this.#doubted || this.#parts.watched.isMarked) return Promise.resolve()
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
