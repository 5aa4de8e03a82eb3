/**
 * Which pod of a node that many share: a second factor, which only narrows. What a caller gets is what the policy gives its
 * node, and of that what its service account is for.
 */
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { SottoError } from '../../client/api/errors.ts'
import type { Timers } from '../../client/platform/timers.ts'
import { type Caller, type Matcher, matcherOf } from '../access.ts'
import type { Call } from '../gate/gate.ts'
import { KeySet, type ReadKeys, readerOf } from './key-set.ts'
import { accountIn, type Believed } from './service-account.ts'
import { type Session, Sessions } from './sessions.ts'

/** How service accounts are told apart. */
export interface SecondFactorConfig {
  /** Who signs their tokens. */
  readonly issuer: string
  /** The file or the URL of its keys. */
  readonly keys: string
  /** Patterns over names, by `NAMESPACE/NAME`. */
  readonly accounts: ReadonlyMap<string, readonly string[]>
  /** Nodes that get nothing without a token of a service account: StableIDs and tags. */
  readonly shared: readonly string[]
}

/** What surrounds it; each part has a default. */
export interface SecondFactorWorld {
  readonly timers: Timers
  readonly clock: () => Date
  /** Reads the keys. Default: from where the settings say. */
  readonly readKeys?: ReadKeys
}

/** A call, and to which names it is narrowed. */
export interface Narrowed {
  readonly call: Call
  readonly isWithin: Matcher
  /** Absent: no service account is known. */
  readonly session?: Session
  /** Whether nothing at all is left of it. */
  readonly isBarred: boolean
}

/** In place of the rules of who gets nothing: there is one, and it allows nothing. */
const noRules = [{ action: [], secret: [] }]

const login = z.object({ jwt: z.string(), role: z.string().optional() })

/** Logs service accounts in, and narrows what their calls may. */
export class SecondFactor {
  readonly #believed: Believed
  readonly #matchers: ReadonlyMap<string, Matcher>
  readonly #shared: ReadonlySet<string>
  readonly #sessions: Sessions
  readonly #clock: () => Date

  constructor(
    { issuer, keys, accounts, shared }: SecondFactorConfig,
    { timers, clock, readKeys = readerOf(keys) }: SecondFactorWorld,
  ) {
    this.#believed = { issuer, keys: new KeySet(readKeys, timers) }
    this.#matchers = new Map([...accounts].map(([name, patterns]) => [name, matcherOf(patterns)]))
    this.#shared = new Set(shared)
    this.#sessions = new Sessions(timers)
    this.#clock = clock
  }

  /**
   * Logs `caller` in by the body of a login, and resolves with its token. Rejects with `denied` for a token that is not to
   * be believed, or is of an account that has nothing, and with `bad_request` for another body.
   */
  async login(caller: Caller, body: string): Promise<string> {
    const { jwt } = read(body)
    const account = await accountIn(jwt, this.#believed, this.#clock())
    if (account !== undefined && this.#matchers.has(account)) {
      return this.#sessions.begin(nodeOf(caller), account)
    }
    throw new SottoError('denied', 'No service account is proven that has anything here', {
      callerHint: 'It takes a token for the audience `sotto`, of an account that the server knows.',
    })
  }

  /** What is left of `call` with `token`: all of it where its node is not shared, and sent none that counts. */
  narrow(call: Call, token: string | undefined): Narrowed {
    const { caller } = call
    const session = token === undefined ? undefined : this.#sessions.find(nodeOf(caller), token)
    const isWithin = session && this.#matchers.get(session.account)
    if (isWithin) {
      const { account } = session
      return { call: { ...call, account }, isWithin, session, isBarred: false }
    }
    const isBarred = marksOf(caller).some((mark) => this.#shared.has(mark))
    if (!isBarred) return { call, isWithin: () => true, isBarred }
    return {
      call: { ...call, caller: { ...caller, rules: noRules } },
      isWithin: () => false,
      isBarred,
    }
  }

  /** Ends `token`. */
  revoke(caller: Caller, token: string): void {
    this.#sessions.end(nodeOf(caller), token)
  }
}

/** The token of a request, by either header that clients send; undefined: none. */
export function tokenOf({ headers }: IncomingMessage): string | undefined {
  const { 'x-vault-token': token, authorization } = headers
  return typeof token === 'string' ? token : /^Bearer (.+)$/.exec(authorization ?? '')?.[1]
}

function read(body: string): z.output<typeof login> {
  try {
    return login.parse(JSON.parse(body))
  } catch {
    throw new SottoError('bad_request', 'A login has a jwt and a role')
  }
}

/** What no other node has; on a development tailnet its name is. */
function nodeOf({ node, principal }: Caller): string {
  return node ?? principal.hostname
}

/** What the settings may name a node by. Its owner could change its name, so that does not count. */
function marksOf(caller: Caller): readonly string[] {
  return [nodeOf(caller), ...(caller.principal.tags ?? [])]
}
