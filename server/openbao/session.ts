/** Calls to OpenBao with a token that is kept fresh: renewed, or replaced by a new login, before it dies. */
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import type { Answer, OpenBaoConnection, OpenBaoRequest } from './connection.ts'
import { type Failure, type FailureKind, unjudged } from './failures.ts'
import { type Login, logIn, type LoginOutcome, type Token, tokenIn } from './login.ts'
import { LoginPauses, PAUSE_MS, soon } from './login-pauses.ts'

/** What a session works with. */
export interface SessionOptions {
  /** Closed by the session. */
  readonly connection: OpenBaoConnection
  readonly login: Login
  /** False, for a call or two: the token is got when it is needed, and left to die. Default: true. */
  readonly keep?: boolean
  readonly timers?: Timers
  readonly random?: () => number
}

/** Numbers since the session began, for metrics, and the state of its login. Times are milliseconds ago. */
export interface SessionStatus {
  /** Until the token dies, in milliseconds; absent where there is none, or its end is not known. */
  readonly tokenTtlMs?: number
  readonly logins: number
  readonly failedLogins: number
  readonly renewals: number
  readonly failedRenewals: number
  /** When the token was got that is used now; of logins with each call, when one last succeeded. */
  readonly loggedInMs?: number
  /** When that token was last renewed. */
  readonly renewedMs?: number
  /** What the last attempt to get or renew a token met; absent when it succeeded. */
  readonly failure?: Failure
  /** What the last attempt met that failed, also where one succeeded since. */
  readonly lastFailure?: { readonly ms: number; readonly failure: Failure }
}

/** A way to make calls to one OpenBao, logged in. */
export interface OpenBaoCalls {
  /** Scheme, host and port of the OpenBao. */
  readonly origin: string
  /** Whether each call logs in by itself. */
  readonly isInline: boolean
  readonly status: SessionStatus
  /** Makes a call. Never rejects for what OpenBao or the network does. */
  call(request: UnprovenRequest): Promise<Answer>
  /** Lets go of all connections, and of what logged in. */
  close(): Promise<void>
}

/** A call without what proves who calls. */
export type UnprovenRequest = Omit<OpenBaoRequest, 'token' | 'inline'>

/** The token is renewed when this part of its life is over. */
const RENEW_AT = 2 / 3
/** A renewal that gives less than this, or than a tenth of the first life, is the last one. */
const SHORT_MS = 10 * 60_000
/** Between two logins for tokens that may be dead: a token without the default policy cannot be checked. */
const DENIAL_MS = 60_000
/** For giving the token back at the end. */
const REVOKE_MS = 2000

interface Held extends Token {
  /** By the timers' clock; infinite where the end is not known. */
  readonly until: number
  /** The life that its login gave it. */
  readonly firstTtlMs: number
  /** By the timers' clock. */
  readonly since: number
  readonly renewed?: number
}

type Holding =
  | { readonly ok: true; readonly held: Held }
  | { readonly ok: false; readonly failure: Failure }

/** A session with one OpenBao. */
export class Session implements OpenBaoCalls {
  readonly isInline = false
  readonly #parts: Required<SessionOptions>
  readonly #pauses: LoginPauses
  readonly #counts = { logins: 0, failedLogins: 0, renewals: 0, failedRenewals: 0 }
  #held: Held | undefined
  /** The login that is under way: there is never more than one. */
  #loggingIn: Promise<Holding> | undefined
  /** The look at a token that was denied something. */
  #doubting: Promise<void> | undefined
  /** A token that could not look at itself. */
  #dead: string | undefined
  #failure: Failure | undefined
  #lastFailure: { readonly at: number; readonly failure: Failure } | undefined
  #nextDoubt = Number.NEGATIVE_INFINITY
  #stopTimer: () => void = () => {}
  #closed = false

  constructor(options: SessionOptions) {
    this.#parts = { keep: true, timers: processTimers, random: Math.random, ...options }
    this.#pauses = new LoginPauses(this.#parts.timers, this.#parts.random)
  }

  get origin(): string {
    return this.#parts.connection.origin
  }

  get status(): SessionStatus {
    const now = this.#parts.timers.now()
    const { until = Number.POSITIVE_INFINITY, since, renewed } = this.#held ?? {}
    const left = until - now
    const last = this.#lastFailure
    return {
      ...this.#counts,
      ...(Number.isFinite(left) && { tokenTtlMs: Math.max(0, left) }),
      ...(since !== undefined && { loggedInMs: now - since }),
      ...(renewed !== undefined && { renewedMs: now - renewed }),
      ...(this.#failure && { failure: this.#failure }),
      ...(last && { lastFailure: { ms: now - last.at, failure: last.failure } }),
    }
  }

  /**
   * Makes a call with the token, after a login where there is none. When the token turns out to be dead
   * there is one new login, and the call is repeated. Never rejects for what OpenBao or the network does.
   */
  async call(request: UnprovenRequest): Promise<Answer> {
    const holding = await this.#hold()
    if (!holding.ok) return holding
    const { held } = holding
    const answer = await this.#callWith(held, request)
    if (answer.ok || !doubtful.has(answer.failure.kind)) return answer
    if (this.#held === held) await (this.#doubting ??= this.#doubt(held, answer.failure))
    if (this.#held === undefined) {
      const next = await this.#hold()
      return next.ok ? this.#callWith(next.held, request) : next
    }
    if (this.#held.value !== held.value) return this.#callWith(this.#held, request)
    return this.#dead === held.value ? { ok: false, failure: unsure(answer.failure) } : answer
  }

  /** Gives the token back where a login made it, and lets go of all connections. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stopTimer()
    await this.#loggingIn
    const held = this.#held
    this.#held = undefined
    // Where this is not permitted the token dies by itself.
    if (held?.own === true) await this.#ask('POST', 'revoke-self', held, { waitMs: REVOKE_MS })
    await this.#parts.connection.close()
  }

  /** Asks for something about a token, by itself. */
  #ask(
    method: 'GET' | 'POST',
    what: string,
    token: Token,
    more: Pick<OpenBaoRequest, 'body' | 'waitMs'> = {},
  ): Promise<Answer> {
    return this.#callWith(token, { method, path: `auth/token/${what}`, ...more })
  }

  #callWith({ value }: Token, request: UnprovenRequest): Promise<Answer> {
    return this.#parts.connection.call({ ...request, token: value })
  }

  async #hold(): Promise<Holding> {
    const live = this.#live()
    if (live) return { ok: true, held: live }
    // Began before this call: that it succeeds is good to know, that it fails is not an answer to this call.
    const begun = await this.#loggingIn
    if (begun?.ok === true) return begun
    const { waitMs, refusal } = this.#pauses
    if (refusal) return { ok: false, failure: soon(refusal, waitMs) }
    if (waitMs > 0 && this.#failure) {
      await this.#pause(Math.min(waitMs, PAUSE_MS))
      const held = this.#live()
      if (held) return { ok: true, held }
      if (this.#closed) return { ok: false, failure: this.#failure }
    }
    return this.#logInOnce()
  }

  /** The token, unless it is dead by now. */
  #live(): Held | undefined {
    const held = this.#held
    return held && this.#parts.timers.now() < held.until ? held : undefined
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#parts.timers.after(ms, resolve))
  }

  #logInOnce(): Promise<Holding> {
    return (this.#loggingIn ??= this.#logIn().finally(() => (this.#loggingIn = undefined)))
  }

  async #logIn(): Promise<Holding> {
    const { connection, login, keep } = this.#parts
    const outcome = await logIn(connection, login)
    if (!outcome.ok) return this.#failed(outcome)
    const measured = keep ? await this.#measured(outcome.token) : outcome
    if (!measured.ok) return this.#failed(measured)
    const { token } = measured
    const since = this.#parts.timers.now()
    const held = { ...token, ...this.#life(token), firstTtlMs: token.ttlMs ?? 0, since }
    this.#counts.logins += 1
    this.#pauses.succeeded(true)
    this.#failure = undefined
    this.#held = held
    this.#refreshAt(held)
    return { ok: true, held }
  }

  #failed({ failure }: Extract<LoginOutcome, { ok: false }>): Holding {
    this.#counts.failedLogins += 1
    this.#met(failure)
    this.#pauses.failed(failure)
    return { ok: false, failure }
  }

  #met(failure: Failure): void {
    this.#failure = failure
    this.#lastFailure = { at: this.#parts.timers.now(), failure }
  }

  /** A token from a file has no known end: OpenBao says when it ends, if the token may ask. */
  async #measured(token: Token): Promise<LoginOutcome> {
    if (token.own) return { ok: true, token }
    const answer = await this.#ask('GET', 'lookup-self', token)
    if (!answer.ok) return unjudged.has(answer.failure.kind) ? answer : { ok: true, token }
    const { data } = (answer.body ?? {}) as { data?: { ttl?: unknown; renewable?: unknown } }
    const seconds = typeof data?.ttl === 'number' ? data.ttl : 0
    const ttl = seconds > 0 && { ttlMs: seconds * 1000 }
    return { ok: true, token: { ...token, ...ttl, renewable: data?.renewable === true } }
  }

  #life({ ttlMs }: Pick<Token, 'ttlMs'>): { until: number } {
    return {
      until: ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#parts.timers.now() + ttlMs,
    }
  }

  /** Sets the alarm for the renewal of `held`. */
  #refreshAt(held: Held): void {
    const left = held.until - this.#parts.timers.now()
    if (!Number.isFinite(left)) return
    // Many servers that were started together do not come back together.
    this.#alarm(left * RENEW_AT * (1 - this.#parts.random() / 10))
  }

  #alarm(ms: number): void {
    this.#stopTimer()
    if (!this.#parts.keep || this.#closed) return
    const due = Math.min(Math.max(ms, PAUSE_MS), MAX_ALARM_MS)
    this.#stopTimer = this.#parts.timers.after(due, () => void this.#refresh())
  }

  async #refresh(): Promise<void> {
    const held = this.#held
    if (held === undefined || this.#closed) return
    if (held.renewable && (await this.#renewed(held))) return
    const holding = this.#pauses.waitMs > 0 ? undefined : await this.#logInOnce()
    if (holding?.ok !== true) this.#alarm(this.#pauses.waitMs)
  }

  /** Whether there is nothing more to do for now. */
  async #renewed(held: Held): Promise<boolean> {
    const answer = await this.#ask('POST', 'renew-self', held, { body: {} })
    if (this.#held !== held) return true
    if (!answer.ok) {
      this.#counts.failedRenewals += 1
      this.#met(answer.failure)
      if (!unjudged.has(answer.failure.kind)) return false
      this.#alarm(this.#pauses.after(answer.failure))
      return true
    }
    const token = tokenIn(answer.body)
    if (token?.ttlMs === undefined) return false
    this.#counts.renewals += 1
    this.#pauses.succeeded(false)
    this.#failure = undefined
    const at = this.#parts.timers.now()
    const renewed = { ...held, ...this.#life(token), renewable: token.renewable, renewed: at }
    this.#held = renewed
    // A token near the end of what it may live is renewed, for less and less.
    if (token.ttlMs < Math.min(SHORT_MS, held.firstTtlMs / 10)) return false
    this.#refreshAt(renewed)
    return true
  }

  /** Whether the denial of something to `held` is for good; a dead token is replaced, or dropped. */
  async #doubt(held: Held, { kind }: Failure): Promise<void> {
    try {
      if (this.#parts.timers.now() < this.#nextDoubt) return
      if (kind === 'denied' && !(await this.#isDead(held))) return
      this.#dead = held.value
      this.#nextDoubt = this.#parts.timers.now() + DENIAL_MS
      const holding = await this.#logInOnce()
      if (!holding.ok && this.#held === held) this.#held = undefined
    } finally {
      this.#doubting = undefined
    }
  }

  async #isDead(held: Held): Promise<boolean> {
    const answer = await this.#ask('GET', 'lookup-self', held)
    return !answer.ok && doubtful.has(answer.failure.kind)
  }
}

/** What a token that died is answered with, and one that is not permitted something. */
const doubtful: ReadonlySet<FailureKind> = new Set(['denied', 'dead_token'])

/** Node fires an alarm at once that is further away. */
const MAX_ALARM_MS = 2 ** 31 - 1

/** A token without the default policy may not look at itself, so it looks dead. */
function unsure(failure: Failure): Failure {
  return {
    ...failure,
    kind: 'dead_token',
    found: 'the token was refused: it has expired, was revoked, or is not permitted this',
    hint: 'Give a new token, or allow this in a policy of the token.',
  }
}
