/** When to log in again after logins that failed. Those that are refused are repeated too seldom for OpenBao to lock them out. */
import type { Timers } from '../../client/platform/timers.ts'
import type { Failure } from './failures.ts'

/** Between attempts that failed without a verdict on what logs in: doubled each time, up to the second. */
export const PAUSE_MS = 1000
const MAX_PAUSE_MS = 30_000
/**
 * After the first, second and each further login that was refused. OpenBao locks out at the fifth in
 * a row, and starts counting again after 15 minutes without one; so one or two are left for a restart.
 */
const REFUSED_PAUSES_MS: readonly [number, number, number] = [30_000, 300_000, 960_000]

/** The pauses of one session. */
export class LoginPauses {
  readonly #timers: Timers
  readonly #random: () => number
  #failures = 0
  #refusals = 0
  #next = Number.NEGATIVE_INFINITY
  #refusal: Failure | undefined

  constructor(timers: Timers, random: () => number) {
    this.#timers = timers
    this.#random = random
  }

  /** Until a login is due, in milliseconds; 0: it is. */
  get waitMs(): number {
    return Math.max(0, this.#next - this.#timers.now())
  }

  /** The refusal that the next login waits for; undefined where it waits for none. Whatever else failed since, it counts. */
  get refusal(): Failure | undefined {
    return this.waitMs > 0 ? this.#refusal : undefined
  }

  /** Notes that a login failed. */
  failed(failure: Failure): void {
    this.#next = this.#timers.now() + this.after(failure)
    this.#refusal = failure.kind === 'login_refused' ? failure : undefined
  }

  /** How long to wait after one more failure, in milliseconds. */
  after({ kind }: Failure): number {
    if (kind === 'login_refused') {
      this.#refusals += 1
      return REFUSED_PAUSES_MS[Math.min(this.#refusals, 3) - 1] ?? 0
    }
    this.#failures += 1
    const pause = Math.min(PAUSE_MS * 2 ** (this.#failures - 1), MAX_PAUSE_MS)
    return pause * (0.5 + this.#random() / 2)
  }

  /** Notes that OpenBao answered as it should. `isLogin`: to a login. */
  succeeded(isLogin: boolean): void {
    this.#failures = 0
    if (isLogin) this.#refusals = 0
  }
}

/** `failure`, with when the next login is. */
export function soon(failure: Failure, waitMs: number): Failure {
  const seconds = Math.ceil(waitMs / 1000)
  return { ...failure, found: `${failure.found}; the next login is in ${seconds} s` }
}
