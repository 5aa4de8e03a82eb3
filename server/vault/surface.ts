/**
 * The surface for clients of Vault and OpenBao: reads secrets by the API of a KV engine of version 2. Who calls is what
 * the tailnet says; a token is taken and means nothing. Nothing can be written through it: no route leads to a change.
 */
import { SottoError } from '../../client/api/errors.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { Call } from '../gate/gate.ts'
import type { Answer } from '../http/answer.ts'
import { readBody, textOf } from '../http/body.ts'
import type { Exchange } from '../http/exchange.ts'
import { type HandlerParts, identify, refuse } from '../http/handle.ts'
import type { Front } from '../http/listener.ts'
import type { Subject } from '../http/metrics.ts'
import type { Secrets } from '../secrets/secrets.ts'
import {
  denied,
  empty,
  envelope,
  errorsOf,
  jsonOf,
  notAllowed,
  nothing,
  plain,
  refusalOf,
  unsupported,
} from './answers.ts'
import { type Mount, mountOf } from './mounts.ts'
import { Reads, type Reading } from './reads.ts'
import { type Asked, askedIn, type Operation, refuseBrowsers, refuseWrapping } from './request.ts'
import { type Narrowed, SecondFactor, type SecondFactorConfig, tokenOf } from './second-factor.ts'
import { SESSION_MS } from './sessions.ts'
import { authOf, CONSTANT_TOKEN, health, init, leader, mountEntry, mountOfPath } from './system.ts'
import { sealStatus, tokenEntry } from './system.ts'

/** What the surface is made of. */
export interface SurfaceParts extends Omit<HandlerParts, 'decoding'> {
  readonly secrets: Secrets
  readonly mounts: readonly Mount[]
  readonly clock: () => Date
  readonly timers: Timers
  /** Absent: every node is one caller. */
  readonly factor?: SecondFactorConfig
}

/** Does one operation on a path. */
type Act = (narrowed: Narrowed, exchange: Exchange) => Promise<Answer> | Answer

/** What can be done to a path, and what it is counted as. */
interface Route {
  readonly subject?: Subject
  readonly acts: { readonly [O in Operation]?: Act }
}

/** What anybody may know. */
type Open = () => object

/** Serves the surface. */
export class Surface implements Front {
  readonly method = 'LIST'
  readonly refusal = refusalOf
  readonly #parts: SurfaceParts
  readonly #reads: Reads
  readonly #factor: SecondFactor | undefined
  readonly #open: Readonly<Record<string, Open>>

  constructor(parts: SurfaceParts) {
    this.#parts = parts
    this.#reads = new Reads(parts.secrets)
    this.#factor = parts.factor && new SecondFactor(parts.factor, parts)
    this.#open = {
      'sys/health': () => health(parts.clock()),
      'sys/seal-status': () => sealStatus,
      'sys/init': () => init,
      'sys/leader': () => leader,
    }
  }

  serve(exchange: Exchange): void {
    void this.#handle(exchange)
  }

  async #handle(exchange: Exchange): Promise<void> {
    const { id, incoming } = exchange
    exchange.subject = 'other'
    let call: Call | undefined
    try {
      refuseBrowsers(incoming)
      refuseWrapping(incoming)
      const asked = askedIn(incoming)
      const open = asked && this.#open[asked.path]
      if (open) return exchange.answer(stateOf(asked, open))
      call = { caller: await identify(this.#parts, exchange), request: id, via: 'vault' }
      const narrowed = this.#factor?.narrow(call, tokenOf(incoming)) ?? whole(call)
      call = narrowed.call
      exchange.answer(await this.#answer(narrowed, exchange, asked))
    } catch (error) {
      if (call) await this.#parts.gate.failed(call, error)
      refuse(this.#parts.errorLog, exchange, error, call?.caller.rules)
    }
  }

  async #answer(narrowed: Narrowed, exchange: Exchange, asked: Asked | undefined): Promise<Answer> {
    if (!asked) throw new SottoError('no_such_method', 'The path does not begin with /v1/')
    if (asked.operation === 'unclear') return errorsOf(400, 'bad_request')
    const namespace = exchange.incoming.headers['x-vault-namespace'] ?? ''
    if (!/^(?:root)?\/?$/.test(String(namespace))) {
      return errorsOf(404, 'no_such_method', 'namespace not found')
    }
    const route = this.#routeOf(asked)
    if (!route) return this.#noRoute(narrowed.call, asked)
    exchange.subject = route.subject ?? 'other'
    return route.acts[asked.operation]?.(narrowed, exchange) ?? unsupported
  }

  #routeOf(asked: Asked): Route | undefined {
    const { path } = asked
    const found = mountOf(this.#parts.mounts, path)
    return found ? this.#mounted(asked, found.mount, found.rest) : this.#ofServer(path)
  }

  #mounted({ query, operation }: Asked, mount: Mount, rest: string): Route | undefined {
    const [, kind = '', path = ''] = /^([^/]*)\/?(.*)$/s.exec(rest) ?? []
    const reading = ({ call, isWithin }: Narrowed): Reading => ({
      call,
      isWithin,
      mount,
      path,
      query,
    })
    const data: Act = (narrowed) => this.#reads.data(reading(narrowed))
    const subkeys: Act = (narrowed) => this.#reads.subkeys(reading(narrowed))
    const metadata: Act = (narrowed) => this.#reads.metadata(reading(narrowed))
    const list: Act = (narrowed) => this.#reads.list(reading(narrowed))
    if (kind === 'metadata') {
      const subject = operation === 'list' ? 'list' : 'info'
      return { subject, acts: { list, ...(path !== '' && { read: metadata }) } }
    }
    if (path !== '' && kind === 'data') return { subject: 'get', acts: { read: data } }
    if (/^(?:data|subkeys)\/$/.test(rest)) return { acts: { read: () => nothing } }
    if (path !== '' && kind === 'subkeys') return { subject: 'get', acts: { read: subkeys } }
    return undefined
  }

  #noRoute({ request }: Call, { path, operation }: Asked): Answer {
    const found = mountOf(this.#parts.mounts, path)
    if (path.startsWith('auth/token/')) {
      return errorsOf(404, 'no_such_method', '1 error occurred:\n\t* unsupported path\n\n')
    }
    if (!found) {
      const why = `no handler for route ${JSON.stringify(path)}. route entry not found.`
      return errorsOf(404, 'no_such_method', why)
    }
    const isRoot = /^(?:metadata|data|delete|undelete|destroy)$/.test(found.rest)
    const why = isRoot
      ? 'Non-listing operations on the root of a K/V v2 mount are not supported.'
      : `Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the OpenBao CLI, use 'bao kv ${commands[operation]}' for this operation.`
    const answer = envelope(request, { warnings: [why] })
    return { ...answer, status: 404, code: 'no_such_method', body: String(answer.body).trimEnd() }
  }

  #ofServer(path: string): Route | undefined {
    if (path === 'auth/token/lookup-self') return { acts: { read: this.#lookUp } }
    if (path === 'auth/token/renew-self') return { acts: { update: this.#renew } }
    if (path === 'auth/token/revoke-self') return { acts: { update: this.#revoke } }
    if (logins.test(path)) {
      const proves = this.#factor !== undefined && /^auth\/(?:kubernetes|jwt)\//.test(path)
      return { acts: { update: proves ? this.#logIn : giveConstant } }
    }
    const [, kind, named = ''] = /^sys\/(mounts|internal\/ui\/mounts)\/(.+)$/s.exec(path) ?? []
    if (kind === undefined) return undefined
    const found = mountOf(this.#parts.mounts, named.replace(/\/$/, ''))
    const read = kind === 'mounts' ? mountNamed(named, found) : mountAround(named, found)
    return { acts: { read } }
  }

  #lookUp: Act = ({ call, session, isBarred }, exchange) => {
    if (isBarred) return denied
    const { clock, timers } = this.#parts
    const token = (session && tokenOf(exchange.incoming)) ?? CONSTANT_TOKEN
    const ttl = session && secondsTo(session.deadline, timers)
    const data = tokenEntry(call.caller, token, clock(), ttl)
    return envelope(call.request, { data })
  }

  #renew: Act = (narrowed, exchange) => {
    const { call, session, isBarred } = narrowed
    if (isBarred) return denied
    if (!session) return giveConstant(narrowed, exchange)
    // It lives no longer for being renewed: then its client logs in again.
    const ttl = secondsTo(session.deadline, this.#parts.timers)
    return envelope(call.request, {
      auth: authOf(call.caller, tokenOf(exchange.incoming) ?? '', ttl),
    })
  }

  #revoke: Act = ({ call }, { incoming }) => {
    this.#factor?.revoke(call.caller, tokenOf(incoming) ?? '')
    return empty
  }

  #logIn: Act = async ({ call }, exchange) => {
    const body = textOf(await readBody(exchange))
    const token = (await this.#factor?.login(call.caller, body)) ?? CONSTANT_TOKEN
    return envelope(call.request, { auth: authOf(call.caller, token, SESSION_MS / 1000) })
  }
}

/** What a login gives that proves nothing: who calls is what the tailnet says. */
const giveConstant: Act = ({ call }) =>
  envelope(call.request, { auth: authOf(call.caller, CONSTANT_TOKEN) })

/** The command that goes with an operation. */
const commands: Readonly<Record<Operation, string>> = {
  read: 'get',
  head: 'get',
  list: 'list',
  update: 'put',
  other: 'delete',
  unclear: 'list',
}

type Found = ReturnType<typeof mountOf>

/** `sys/mounts/MOUNT`. */
function mountNamed(named: string, found: Found): Act {
  return ({ call: { request } }) => {
    if (found?.rest === '') {
      return enclosedTwice(request, mountEntry(found.mount))
    }
    return errorsOf(400, 'bad_request', `No secret engine mount at ${folder(named)}`)
  }
}

/** `sys/internal/ui/mounts/PATH`. */
function mountAround(named: string, found: Found): Act {
  return ({ call: { request } }) => {
    if (found) return envelope(request, { data: mountOfPath(found.mount) })
    const why = `preflight capability check returned 403, please ensure client's policies grant access to path "${folder(named)}"`
    return errorsOf(403, 'denied', why)
  }
}

/** The data within the envelope and beside it, as what is in `sys/mounts` has it. */
function enclosedTwice(id: string, data: object): Answer {
  const answer = envelope(id, { data })
  return { ...answer, body: `${jsonOf(data).slice(0, -1)},${String(answer.body).slice(1)}` }
}

function folder(path: string): string {
  return path.replace(/\/?$/, '/')
}

function secondsTo(deadline: number, timers: Timers): number {
  return Math.max(0, Math.floor((deadline - timers.now()) / 1000))
}

/** Ways to log in. */
const logins = /^auth\/(?:(?:approle|kubernetes|jwt)\/login|userpass\/login\/[^/]+)$/

/** All that the caller may. */
function whole(call: Call): Narrowed {
  return { call, isWithin: () => true, isBarred: false }
}

function stateOf({ operation, path }: Asked, open: Open): Answer {
  if (operation === 'head' && path === 'sys/health') return { ...plain(open()), body: '' }
  return operation === 'read' ? plain(open()) : notAllowed
}
