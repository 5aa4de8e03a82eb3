/** The certificate that the server shows: the present one, when it ends, and word of each new one. */
import type { Logger } from '../../platform/logger.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import { SottoError } from '../../../client/api/errors.ts'
import type { CheckedPair } from './key-pair.ts'

/** What every source of certificates has of the world. */
export interface CertificateWorld {
  readonly clock: () => Date
  readonly schedule: Timers['after']
  readonly logger: Logger
}

/** A certificate that is kept fresh by its source. */
export abstract class Certificates {
  protected readonly world: CertificateWorld
  protected closed = false
  readonly #takers = new Set<(pair: CheckedPair) => void>()
  #current: CheckedPair
  #cancel = (): void => {}

  protected constructor(first: CheckedPair, world: CertificateWorld) {
    this.#current = first
    this.world = world
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
    if (endsAt > this.world.clock()) return
    throw new SottoError('local', `The certificate ended at ${endsAt.toISOString()}`)
  }

  /** Looks for new pairs no more. */
  close(): void {
    this.closed = true
    this.#cancel()
  }

  /** Has `task` done in `ms` milliseconds, instead of what was to be done next. */
  protected next(ms: number, task: () => void): void {
    this.#cancel()
    if (!this.closed) this.#cancel = this.world.schedule(ms, task)
  }

  protected replace(pair: CheckedPair): void {
    this.#current = pair
    for (const take of this.#takers) take(pair)
  }
}
