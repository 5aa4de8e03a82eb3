/**
 * HTTP to one OpenBao server: each call bounded in time and size, to one origin, with the token
 * in no header that another origin would be sent.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import {
  breakdown,
  type Failure,
  Late,
  ownFailure,
  passing,
  refusal,
  uninitialised,
} from './failures.ts'
import { foreignAt } from '../../client/platform/owned.ts'
import { type Proxies, proxyFor } from '../platform/proxies.ts'
import { readTextFile } from '../../client/platform/text-file.ts'
import { isLoopbackHost } from '../platform/loopback.ts'

/** Which OpenBao, and how it is reached. */
export interface OpenBaoAddress {
  /** `https://HOST[:PORT]`, and nothing after it. */
  readonly url: string
  /** Absent: the root namespace. */
  readonly namespace?: string
  /** PEM of the authorities that its certificate may come from. Absent: those that Node knows. */
  readonly caFile?: string
  /** The same as text, instead of a file. */
  readonly ca?: string
  /** Whether `http://` may leave this machine: then everyone on the network can read what is sent. */
  readonly insecure?: boolean
  readonly proxies?: Proxies
}

/** One call. */
export interface OpenBaoRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** What follows `/v1/`: segments of characters that need no escape. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  /** Bytes are JSON; anything else is sent as JSON. A merge patch by PATCH. */
  readonly body?: Uint8Array | object
  /** Absent: none is sent. */
  readonly token?: string
  /** Logs in with the call itself, in place of a token. */
  readonly inline?: InlineLogin
  /** Whether it may be repeated when no answer came, or OpenBao has a passing problem. */
  readonly repeatable?: boolean
  /** Instead of the connection's own bound, in milliseconds. */
  readonly waitMs?: number
}

/** A login that is sent with a call. */
export interface InlineLogin {
  /** Such as `auth/approle/login`. */
  readonly path: string
  readonly parameters: Readonly<Record<string, string>>
}

/** What came of a call: the JSON of a 2xx, undefined where it had no body, or what went wrong. */
export type Answer =
  | { readonly ok: true; readonly status: number; readonly body: unknown }
  | { readonly ok: false; readonly failure: Failure }

/** Bounds of a call. */
export interface ConnectionOptions {
  /** For one call with all its attempts, in milliseconds. */
  readonly waitMs?: number
  readonly maxAnswerBytes?: number
  readonly random?: () => number
}

const defaultBounds = { waitMs: 10_000, maxAnswerBytes: 8 * 1024 * 1024, random: Math.random }
const CONNECTIONS = 16
const ATTEMPTS = 3
const PAUSE_MS = 100
const SEAL_STATUS = 'sys/seal-status'
const SEAL_STATUS_MS = 1000

/** Segments of a path that no server or proxy would rewrite. */
const cleanPath = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._~=@:+,-]+(?:\/[A-Za-z0-9._~=@:+,-]+)*$/

/**
 * Refuses an address that cannot be used: throws `usage` when it is not a URL of that form or its
 * namespace is not a name, and `unsafe` when it would carry tokens across a network in the clear.
 */
export function checkAddress({ url, namespace, insecure = false }: OpenBaoAddress): void {
  const form = 'It is https://HOST:PORT.'
  const address = URL.parse(url)
  if (address === null || !/^https?:$/.test(address.protocol)) {
    const message = `Cannot use ${quote(url)} as the address of OpenBao`
    throw new SottoError('usage', message, { hint: form })
  }
  if (`${address.origin}/` !== address.href) {
    const message = `Cannot use ${quote(address.origin)} as the address of OpenBao: something follows the host and port, or stands before them`
    const hint = `${form} Mount, namespace and credentials have settings of their own.`
    throw new SottoError('usage', message, { hint })
  }
  if (namespace !== undefined && !cleanPath.test(namespace)) {
    throw new SottoError('usage', `Cannot use ${quote(namespace)} as a namespace of OpenBao`, {
      hint: 'It is a name, or names with a slash between them.',
    })
  }
  if (address.protocol === 'https:' || isLoopbackHost(address.hostname) || insecure) return
  const message = `Cannot use OpenBao at ${quote(address.origin)}: tokens and keys would cross the network in the clear`
  throw new SottoError('unsafe', message, { hint: 'Give an address that begins with https://.' })
}

/** Whether `path`, the name of a mount, a key or a role, needs no escape in a path. */
export function isCleanPath(path: string): boolean {
  return cleanPath.test(path)
}

/** Calls one OpenBao. Makes no connection before the first call. */
export class OpenBaoConnection {
  /** Scheme, host and port. */
  readonly origin: string
  readonly #address: OpenBaoAddress
  readonly #bounds: Required<ConnectionOptions>
  readonly #proxy: string | undefined
  #agent: Dispatcher | undefined

  /** Throws as `checkAddress` does. */
  constructor(address: OpenBaoAddress, options: ConnectionOptions = {}) {
    checkAddress(address)
    const url = new URL(address.url)
    this.origin = url.origin
    this.#proxy = proxyFor(url, address.proxies)
    this.#address = address
    this.#bounds = { ...defaultBounds, ...options }
  }

  /** Makes a call. Never rejects for what OpenBao or the network does. */
  async call(request: OpenBaoRequest): Promise<Answer> {
    if (!cleanPath.test(request.path)) throw new Error('a path that is not clean')
    const attempts = request.repeatable === true ? ATTEMPTS : 1
    // All attempts fit into the whole, with the pauses between them.
    const { waitMs = this.#bounds.waitMs } = request
    const attemptMs = attempts === 1 ? waitMs : Math.ceil(waitMs / (attempts + 1))
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(request, attemptMs)
      if (answer.ok) return answer
      const { kind } = answer.failure
      if (kind === 'sealed') return this.#sealedOrNew(answer)
      if (attempt === attempts || !passing.has(kind)) return answer
      await pause(PAUSE_MS * 2 ** attempt * (0.5 + this.#bounds.random()))
    }
  }

  /** Closes all connections; calls in progress fail. */
  async close(): Promise<void> {
    await this.#agent?.destroy()
    this.#agent = undefined
  }

  /** One that was never initialised says that it is sealed. */
  async #sealedOrNew(answer: Answer): Promise<Answer> {
    const request = { method: 'GET', path: SEAL_STATUS } as const
    const status = await this.#once(request, Math.min(this.#bounds.waitMs, SEAL_STATUS_MS), true)
    const { initialized } = ((status.ok && status.body) || {}) as { initialized?: unknown }
    return initialized === false ? { ok: false, failure: uninitialised } : answer
  }

  async #once(request: OpenBaoRequest, waitMs: number, root = false): Promise<Answer> {
    const { body } = request
    // A copy, which is zeroed at the end.
    const sent = body && Buffer.from(body instanceof Uint8Array ? body : JSON.stringify(body))
    const abort = new AbortController()
    const end = Promise.withResolvers<never>()
    // It may come before anything waits for it.
    end.promise.catch(() => {})
    const timer = setTimeout(() => {
      const late = new Late()
      end.reject(late)
      abort.abort(late)
    }, waitMs)
    try {
      const agent = (this.#agent ??= await this.#connect(waitMs))
      const { method, path, query } = request
      const begun = agent.request({
        origin: this.origin,
        path: `/v1/${path}${query ? `?${new URLSearchParams(query).toString()}` : ''}`,
        method,
        headers: this.#headers(request, root),
        ...(sent && { body: sent }),
        signal: abort.signal,
      })
      // What waits for a connection heeds no signal before it has one, so a race decides.
      const answer = await Promise.race([begun, end.promise])
      const received = Buffer.from(await answer.body.arrayBuffer())
      const text = received.toString()
      received.fill(0)
      const { location, [INLINE_FAILED]: atLogin } = answer.headers
      const found = understood(request, answer.statusCode, text, location)
      if (found.ok || atLogin === undefined) return found
      return { ok: false, failure: { ...found.failure, atLogin: true } }
    } catch (error) {
      if (error instanceof SottoError) throw error
      if (error instanceof NoAuthority) return { ok: false, failure: error.failure }
      return { ok: false, failure: breakdown(abort.signal.reason ?? error, waitMs, this.#proxy) }
    } finally {
      clearTimeout(timer)
      sent?.fill(0)
    }
  }

  async #connect(waitMs: number): Promise<Dispatcher> {
    const { caFile } = this.#address
    const ca = this.#address.ca ?? (caFile === undefined ? undefined : await readAuthority(caFile))
    // Loaded only here: it takes as long as all the rest of the program.
    const { Agent, Pool, ProxyAgent } = await import('undici')
    // Said explicitly, so that no variable of the environment says otherwise.
    const tls = { timeout: waitMs, rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const
    const own = { ...tls, ...(ca !== undefined && { ca }) }
    const bounds = {
      connections: CONNECTIONS,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: this.#bounds.maxAnswerBytes,
    }
    if (this.#proxy === undefined) return new Agent({ ...bounds, connect: own })
    return new ProxyAgent({
      ...bounds,
      uri: this.#proxy,
      requestTls: own,
      proxyTls: tls,
      // A proxy that never answers would be waited for by all that follows.
      clientFactory: (proxy, options) => new Pool(proxy, { ...options, headersTimeout: waitMs }),
      // What is forwarded without a tunnel is bounded, too.
      factory: (origin, options) => new Pool(origin, Object.assign(options, bounds)),
    })
  }

  #headers(request: OpenBaoRequest, root: boolean): Record<string, string> {
    const { method, body, token, inline } = request
    const namespace = root ? undefined : this.#address.namespace
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    return {
      accept: 'application/json',
      // Not X-Vault-Token: nothing on the way strips that where it strips this.
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(inline && !root && inlineHeaders(inline)),
      ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
      // Agents of OpenBao answer only to who sends it.
      'x-vault-request': 'true',
      ...(body && { 'content-type': type }),
    }
  }
}

/** The answer has it where a login that was sent with the call is refused. */
const INLINE_FAILED = 'x-vault-inline-auth-failed'

function inlineHeaders({ path, parameters }: InlineLogin): Record<string, string> {
  const fields = Object.entries(parameters).map(([key, value], at) => [
    `x-vault-inline-auth-parameter-${at}`,
    Buffer.from(JSON.stringify({ key, value })).toString('base64url'),
  ])
  return { 'x-vault-inline-auth-path': path, ...Object.fromEntries(fields) }
}

/** The file of authorities cannot be used. */
class NoAuthority extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.found)
    this.failure = failure
  }
}

async function readAuthority(path: string): Promise<string> {
  const hint = 'Give a file of PEM certificates that this user can read.'
  // Whoever writes it says whom Sotto trusts.
  const foreign = foreignAt(path)
  if (foreign !== undefined) {
    const found = `the CA file ${quote(path)} cannot be used: ${foreign}`
    throw new NoAuthority(ownFailure('tls', found, 'Root or the user of the server must own it.'))
  }
  const text = await readTextFile(path, 'CA file', { pem: true }).catch((error: unknown) => {
    const { message, hint: advice = hint } = asSottoError(error)
    throw new NoAuthority(ownFailure('tls', message.replace(/^C/, 'c'), advice))
  })
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  const found = `the CA file ${quote(path)} holds no PEM certificate`
  throw new NoAuthority(ownFailure('tls', found, hint))
}

function understood(
  request: OpenBaoRequest,
  status: number,
  text: string,
  location: string | string[] | undefined,
): Answer {
  const body = objectIn(text)
  if (status >= 200 && status < 300) {
    if (body === undefined ? status === 204 : isEnvelope(body, request)) {
      return { ok: true, status, body }
    }
    const what = body === undefined ? 'its JSON' : 'the form of its answers'
    const found = `what answers there is not OpenBao (status ${status} without ${what})`
    const hint = 'Look at the address, and at what stands in front of it.'
    return { ok: false, failure: ownFailure('bad_answer', found, hint) }
  }
  const failure = refusal(request.method, {
    status,
    // What repeats the request is not passed on: it could hold the token or a secret.
    body:
      body && repeats(request, text) ? { errors: ['(its reasons repeat what was sent)'] } : body,
    empty: text === '',
    location: Array.isArray(location) ? location[0] : location,
  })
  return { ok: false, failure }
}

/**
 * Whether `body` has the form of OpenBao's answers: the id of the request, or what readers look into and check. Of what nobody
 * reads, as after a removal, the id alone proves it. What it says before it is unsealed has another form.
 */
function isEnvelope(body: object, { method, path }: OpenBaoRequest): boolean {
  if (path === SEAL_STATUS || ('request_id' in body && typeof body.request_id === 'string')) {
    return true
  }
  const isRead = method === 'GET' || method === 'POST'
  return isRead && ('data' in body || 'auth' in body)
}

/** An object; undefined for anything else. */
function objectIn(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** Whether the answer holds what logs in or a text of the body, in part of the answer or as the whole. */
function repeats({ token, inline, body }: OpenBaoRequest, text: string): boolean {
  const fields = body instanceof Uint8Array ? [] : Object.values(body ?? {})
  return [...fields, ...Object.values(inline?.parameters ?? {}), token].some(
    (each) => typeof each === 'string' && each.length >= 8 && text.includes(each),
  )
}
