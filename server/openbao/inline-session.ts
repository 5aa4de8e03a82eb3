/**
 * Calls to OpenBao that log in each by itself: OpenBao makes a token for the call alone, which nobody is given and
 * nothing keeps. It costs a login for each call. OpenBao knows this from 2.4 on; Vault does not.
 */
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import { shared } from '../platform/turns.ts'
import type { Answer, OpenBaoConnection } from './connection.ts'
import { type Failure, unjudged } from './failures.ts'
import { atLogin, inlineLogin, type Proven } from './login.ts'
import { LoginPauses, PAUSE_MS, soon } from './login-pauses.ts'
import type { OpenBaoCalls, SessionStatus, UnprovenRequest } from './session.ts'

/** What such calls are made with. */
export interface InlineSessionOptions {
  /** Closed by the session. */
  readonly connection: OpenBaoConnection
  readonly login: Proven
  readonly timers?: Timers
  readonly random?: () => number
}

/** Any call shows whether OpenBao takes what logs in. */
const PROBE: UnprovenRequest = { method: 'GET', path: 'auth/token/lookup-self' }

/** Such calls to one OpenBao. */
export class InlineSession implements OpenBaoCalls {
  readonly isInline = true
  readonly #connection: OpenBaoConnection
  readonly #login: Proven
  readonly #timers: Timers
  readonly #pauses: LoginPauses
  #logins = 0
  #failedLogins = 0
  #since: number | undefined
  /** Why OpenBao did not take what logs in when it last judged that. */
  #failure: Failure | undefined
  #lastFailure: { readonly at: number; readonly failure: Failure } | undefined

  constructor(options: InlineSessionOptions) {
    const { connection, login, timers = processTimers, random = Math.random } = options
    this.#connection = connection
    this.#login = login
    this.#timers = timers
    this.#pauses = new LoginPauses(timers, random)
  }

  get origin(): string {
    return this.#connection.origin
  }

  get status(): SessionStatus {
    const now = this.#timers.now()
    const last = this.#lastFailure
    return {
      logins: this.#logins,
      failedLogins: this.#failedLogins,
      renewals: 0,
      failedRenewals: 0,
      ...(this.#since !== undefined && { loggedInMs: now - this.#since }),
      ...(this.#failure && { failure: this.#failure }),
      ...(last && { lastFailure: { ms: now - last.at, failure: last.failure } }),
    }
  }

  async call(request: UnprovenRequest): Promise<Answer> {
    if (this.#since !== undefined && this.#failure === undefined) return this.#callOnce(request)
    try {
      await this.#prove()
    } catch (error) {
      if (error instanceof Unproven) return { ok: false, failure: error.failure }
      throw error
    }
    return this.#callOnce(request)
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  /** One call at a time while it is not known that the login is right: many that are refused would be locked out. */
  readonly #prove = shared(async (): Promise<void> => {
    const { waitMs, refusal } = this.#pauses
    if (refusal) throw new Unproven(soon(refusal, waitMs))
    if (waitMs > 0) {
      const ms = Math.min(waitMs, PAUSE_MS)
      await new Promise<void>((resolve) => void this.#timers.after(ms, resolve))
    }
    const answer = await this.#callOnce(PROBE)
    if (!answer.ok && !this.#isJudged(answer.failure)) throw new Unproven(answer.failure)
    if (this.#failure) throw new Unproven(this.#failure)
  })

  async #callOnce(request: UnprovenRequest): Promise<Answer> {
    const proof = await inlineLogin(this.#login)
    if (!proof.ok) return this.#failed(proof.failure)
    const began = this.#timers.now()
    const answer = await this.#connection.call({ ...request, inline: proof.inline })
    if (!answer.ok && answer.failure.atLogin === true) {
      return this.#failed(atLogin(this.#login, answer.failure), began)
    }
    if (answer.ok || this.#isJudged(answer.failure)) this.#succeeded()
    if (answer.ok || answer.failure.kind !== 'denied') return answer
    const hint =
      'Allow it in a policy of what logs in. OpenBao before 2.4, and Vault, do not know inline logins.'
    return { ok: false, failure: { ...answer.failure, hint } }
  }

  /** Calls that were under way together are one refusal: `began` is when this one did. */
  #failed(failure: Failure, began = this.#timers.now()): Answer {
    const isKnown = this.#failure !== undefined && began < (this.#lastFailure?.at ?? began)
    this.#failedLogins += 1
    this.#failure = failure
    this.#lastFailure = { at: this.#timers.now(), failure }
    if (!isKnown) this.#pauses.failed(failure)
    return { ok: false, failure }
  }

  #succeeded(): void {
    this.#logins += 1
    this.#since = this.#timers.now()
    this.#failure = undefined
    this.#pauses.succeeded(true)
  }

  /** Whether OpenBao came to look at what logs in. */
  #isJudged({ kind }: Failure): boolean {
    // Both may be said by what stands in front of it.
    return !unjudged.has(kind) && kind !== 'failed' && kind !== 'too_large'
  }
}

/** It is not known that the login is right. */
class Unproven extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.found)
    this.failure = failure
  }
}
