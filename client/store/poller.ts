/** When a store asks the server: from time to time, sooner after a failure, and when the program wants it. */
import { SottoError } from '../api/errors.ts'
import { ServerError } from '../answer.ts'
import type { Timers } from '../platform/timers.ts'
import { abortable } from './aborted.ts'
import { Backoff } from './backoff.ts'

/** Between the end of one poll and the next that the program asks for, in milliseconds. */
const COOLDOWN_MS = 1_000

/** What a poller is made of. */
export interface PollerParts {
  /** Asks for everything. Rejects where the server did not answer for all of it. */
  readonly ask: () => Promise<void>
  /** Milliseconds from one poll to the next, give or take a tenth; 0: none by itself. */
  readonly everyMs: number
  readonly timers: Timers
  /** For what somebody waits for. */
  readonly holding: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** Polls, one at a time. */
export class Poller {
  readonly #parts: PollerParts
  readonly #backoff: Backoff
  readonly #closed = new AbortController()
  #current: Promise<void> | undefined
  #lastEnded = Number.NEGATIVE_INFINITY
  #stopAlarm = (): void => {}

  constructor(parts: PollerParts) {
    this.#parts = parts
    this.#backoff = new Backoff(1_000, 300_000, parts.random)
  }

  /** Polls from now on: at once, or after the usual time. */
  start(when: 'now' | 'later'): void {
    if (when === 'later') this.#scheduleNext()
    // What fails is told by `ask`, and tried again.
    else this.#begin().catch(() => {})
  }

  /** Polls, or waits for the poll under way, and for a pause after the last one. Rejects as `ask`. */
  async refresh(signal?: AbortSignal): Promise<void> {
    if (this.#closed.signal.aborted) throw new SottoError('usage', 'The store is closed')
    await abortable(this.#current ?? this.#afterCooldown(), signal)
  }

  /** Ends polling, and resolves when what is under way ended. */
  async close(): Promise<void> {
    this.#closed.abort(new SottoError('usage', 'The store is closed'))
    this.#stopAlarm()
    await this.#current?.catch(() => {})
  }

  #afterCooldown(): Promise<void> {
    const wait = this.#lastEnded + COOLDOWN_MS - this.#parts.timers.now()
    if (wait <= 0) return this.#begin()
    const pause = Promise.withResolvers<void>()
    const stop = this.#parts.holding.after(wait, () => pause.resolve())
    const waiting = abortable(pause.promise, this.#closed.signal)
      .finally(() => {
        stop()
        this.#current = undefined
      })
      .then(() => this.#begin())
    this.#current = waiting
    return waiting
  }

  #begin(): Promise<void> {
    this.#stopAlarm()
    this.#current ??= this.#poll().finally(() => {
      this.#current = undefined
      this.#lastEnded = this.#parts.timers.now()
    })
    return this.#current
  }

  async #poll(): Promise<void> {
    try {
      await this.#parts.ask()
      this.#backoff.reset()
      this.#scheduleNext()
    } catch (error) {
      this.#schedule(this.#backoff.next(retryAfterOf(error)))
      throw error
    }
  }

  #scheduleNext(): void {
    this.#schedule(this.#parts.everyMs * (0.9 + 0.2 * this.#parts.random()))
  }

  #schedule(ms: number): void {
    if (this.#parts.everyMs === 0 || this.#closed.signal.aborted) return
    this.#stopAlarm = this.#parts.timers.after(ms, () => this.start('now'))
  }
}

/** Milliseconds that the server asked to wait; 0 where it did not. */
export function retryAfterOf(error: unknown): number {
  return error instanceof ServerError ? (error.retryAfterMs ?? 0) : 0
}
