/** How a store is with its server: whether that tells, answers, or neither. */
import type { SottoError } from '../api/errors.ts'
import type { Health, Report } from './options.ts'

/** The part of `Health` that is about the server. */
export type ServerHealth = Omit<Health, 'denied' | 'missing'>

/** Notes how polls and watches come out, and reports it. */
export class Status {
  readonly #clock: () => Date
  readonly #report: Report
  #isLive = false
  #confirmed: Date | undefined
  /** Why the server was not reached, or did not answer for all secrets. */
  #failure: SottoError | undefined
  /** Why it does not tell. */
  #watchFailure: SottoError | undefined
  #since: Date
  #polls = 0
  #failedPolls = 0

  constructor(clock: () => Date, report: Report) {
    this.#clock = clock
    this.#report = report
    this.#since = clock()
  }

  get health(): ServerHealth {
    return {
      state: this.#state,
      since: this.#since,
      confirmed: this.#confirmed,
      error: this.#failure ?? this.#watchFailure,
      polls: this.#polls,
      failedPolls: this.#failedPolls,
    }
  }

  /** The server gave all secrets. */
  opened(): void {
    this.#confirmed = this.#clock()
  }

  /** A poll came out: undefined where the server answered for all secrets. */
  polled(failure: SottoError | undefined): void {
    this.#polls += 1
    this.#change(() => {
      if (failure) {
        this.#failedPolls += 1
        this.#report({ kind: 'failed', error: failure })
        this.#failure = failure
      } else this.#confirm()
    })
  }

  /** The server told of all changes, and goes on. */
  told(): void {
    this.#change(() => {
      this.#isLive = true
      this.#watchFailure = undefined
      this.#confirm()
    })
  }

  /** It tells no more, for a while: of a failure, or as it said. */
  ended(failure: SottoError | undefined): void {
    this.#change(() => {
      this.#isLive = false
      this.#watchFailure = failure
      if (!failure) return
      this.#report({ kind: 'failed', error: failure })
      if (failure.code === 'unreachable' || failure.code === 'rolled_back') this.#failure = failure
    })
  }

  get #state(): Health['state'] {
    if (this.#failure) return 'stale'
    return this.#isLive ? 'live' : 'polling'
  }

  #confirm(): void {
    this.#confirmed = this.#clock()
    if (this.#failure) this.#report({ kind: 'recovered' })
    this.#failure = undefined
  }

  #change(act: () => void): void {
    const before = this.#state
    act()
    if (this.#state !== before) this.#since = this.#clock()
  }
}
