/** The certificate that the server shows: the present one, when it ends, and word of each new one. */
import { processTimers } from '../../platform/timers.ts'
import { SottoError } from '../../../client/api/errors.ts'
import type { CheckedPair } from './key-pair.ts'

/** Runs `task` once after `ms` milliseconds, unless the function that it returns is called before. */
export type Schedule = (ms: number, task: () => void) => () => void

/** Node's own timers; they do not keep the process alive. */
export const scheduled: Schedule = (ms, task) => processTimers.after(ms, task)

/** What every source of certificates has of the world. */
export interface CertificateWorld {
  readonly clock: () => Date
  readonly schedule: Schedule
  /** Where words for the operator go, a line at a time. */
  readonly say: (line: string) => void
}

/** A certificate that is kept fresh by its source. */
export abstract class Certificates {
  readonly #clock: () => Date
  readonly #takers = new Set<(pair: CheckedPair) => void>()
  #current: CheckedPair

  protected constructor(first: CheckedPair, clock: () => Date) {
    this.#current = first
    this.#clock = clock
  }

  /** The pair to show to who connects now. */
  get current(): CheckedPair {
    return this.#current
  }

  /** Calls `take` with each new pair, until the function that it returns is called. */
  onNew(take: (pair: CheckedPair) => void): () => void {
    this.#takers.add(take)
    return () => this.#takers.delete(take)
  }

  /** Resolves while the present certificate is in its time; rejects with `local` after that. */
  async check(): Promise<void> {
    const { endsAt } = this.#current
    if (endsAt > this.#clock()) return
    throw new SottoError('local', `The certificate ended at ${endsAt.toISOString()}`)
  }

  /** Looks for new pairs no more. */
  abstract close(): void

  protected replace(pair: CheckedPair): void {
    this.#current = pair
    for (const take of this.#takers) take(pair)
  }
}
