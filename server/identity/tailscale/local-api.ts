/**
 * A client of tailscaled's LocalAPI on its unix socket: a few questions, each bounded in time and in
 * size, with answers checked at the edge.
 */
import { type Dispatcher, errors, Pool } from 'undici'
import type { z } from 'zod'
import { quote, SottoError } from '../../../client/api/errors.ts'
import {
  nodesAnswer,
  type NodesAnswer,
  statusAnswer,
  type StatusAnswer,
  whoIsAnswer,
  type WhoIsAnswer,
} from './answers.ts'
import { BadLine, type BusLine, Lines } from './bus.ts'
import { type WhoIsMetrics, whoIsMetrics } from './metrics.ts'
import { type CertificatePair, splitPair } from './pair.ts'
import { said } from '../../platform/said.ts'
import { errorCode } from '../../../client/platform/system-error.ts'

/** How long tailscaled may take, in milliseconds. */
export interface LocalApiTimes {
  /** For whois and status, and until the bus begins to report. */
  readonly answer: number
  /** For a certificate: a first one is asked of an issuer, who may make tailscaled wait without end. */
  readonly certificate: number
}

/** Where and how to ask. */
export interface LocalApiOptions {
  /** Path of tailscaled's unix socket. */
  readonly path: string
  readonly times?: Partial<LocalApiTimes>
  readonly metrics?: WhoIsMetrics
}

/** Which way a peer came. */
export interface WhoIsOptions {
  /** For an address with a port, which only userspace mode knows: its protocol. */
  readonly proto?: 'tcp'
  /** The address of ours that it called, where that is not one of the node's own. */
  readonly destination?: string
}

const STATUS = '/localapi/v0/status?peers=false'
const NODES = '/localapi/v0/status'
/** The only host name that the LocalAPI answers to. */
const ORIGIN = 'http://local-tailscaled.sock'
const CONNECTIONS = 8
/** Certificates are asked for on connections of their own: they may hang, identity must not. */
const CERTIFICATE_CONNECTIONS = 2
const MAX_ANSWER_BYTES = 4 * 1024 * 1024
/** The first daemon that knows a destination has this number; older ones ignore the parameter. */
const KNOWS_DESTINATION = 141
/** The first daemon whose bus reports peers has this number, too. */
const TELLS_PEERS = 141
/** Kinds of news: the state at first, health, peers. Older daemons take the last for something else. */
const BUS_MASK = 2 | 128
const BUS_PEERS = 4096

const defaultTimes: LocalApiTimes = { answer: 2000, certificate: 65_000 }

/** What tailscaled answered, before it is understood. */
interface Raw {
  readonly statusCode: number
  readonly text: string
  readonly headers: Dispatcher.ResponseData['headers']
}

/** Asks tailscaled. Every error names its socket, what was asked and what to do. */
export class LocalApi {
  /** Path of the socket. */
  readonly path: string
  readonly #times: LocalApiTimes
  readonly #metrics: WhoIsMetrics
  readonly #pool: Pool
  readonly #certificates: Pool

  constructor({ path, times, metrics = whoIsMetrics() }: LocalApiOptions) {
    this.path = path
    this.#metrics = metrics
    this.#times = { ...defaultTimes, ...times }
    this.#pool = poolOf(path, CONNECTIONS)
    this.#certificates = poolOf(path, CERTIFICATE_CONNECTIONS)
  }

  /** The state of the daemon. Rejects with `tailscaled_unavailable`. */
  async status(): Promise<StatusAnswer> {
    const raw = await this.#ask('status', STATUS)
    if (raw.statusCode !== 200) throw this.#refused('status', raw)
    return this.#understood('status', statusAnswer, raw.text)
  }

  /** The names and addresses of all nodes that it knows. Rejects with `tailscaled_unavailable`. */
  async nodes(): Promise<NodesAnswer> {
    const raw = await this.#ask('its nodes', NODES)
    if (raw.statusCode !== 200) throw this.#refused('its nodes', raw)
    return this.#understood('its nodes', nodesAnswer, raw.text)
  }

  /**
   * Who is at `address`: a bare address, or one with a port in userspace mode. Undefined when
   * tailscaled knows no caller there. Rejects with `tailscaled_unavailable`, also when the daemon is
   * too old to report the rights towards a destination.
   */
  async whois(address: string, options: WhoIsOptions = {}): Promise<WhoIsAnswer | undefined> {
    const { known, unknown, failed, seconds } = this.#metrics
    const began = performance.now()
    try {
      const answer = await this.#whois(address, options)
      ;(answer ? known : unknown).add()
      return answer
    } catch (error) {
      failed.add()
      throw error
    } finally {
      seconds.observe((performance.now() - began) / 1000)
    }
  }

  async #whois(address: string, options: WhoIsOptions): Promise<WhoIsAnswer | undefined> {
    const { proto, destination } = options
    const query = new URLSearchParams({
      addr: address,
      ...(proto && { proto }),
      ...(destination !== undefined && { dst_ip: destination }),
    })
    const what = `whois ${address}`
    const raw = await this.#ask(what, `/localapi/v0/whois?${query.toString()}`)
    if (raw.statusCode === 404) return undefined
    if (raw.statusCode !== 200) throw this.#refused(what, raw)
    if (destination !== undefined && !(capabilityOf(raw) >= KNOWS_DESTINATION)) {
      throw this.#unavailable(
        `cannot report the rights towards ${destination}: it is older than 1.100`,
        { hint: 'Update tailscaled, or call the server by the address of its node.' },
      )
    }
    return this.#understood(what, whoIsAnswer, raw.text)
  }

  /**
   * The certificate of `domain` and its key, in PEM, good for `minValidityMs` more at least if that
   * is given: tailscaled then waits for a new one when its own is older. Rejects with
   * `certificate_unavailable` when it has none and says why, in `retryAfterMs` also when to ask again,
   * or with `tailscaled_unavailable`.
   */
  async certificate(
    domain: string,
    { minValidityMs }: { readonly minValidityMs?: number } = {},
  ): Promise<CertificatePair> {
    const what = `the certificate of ${quote(domain)}`
    const query = new URLSearchParams({
      type: 'pair',
      ...(minValidityMs !== undefined && { min_validity: `${Math.ceil(minValidityMs / 1000)}s` }),
    })
    const path = `/localapi/v0/cert/${encodeURIComponent(domain)}?${query.toString()}`
    const raw = await this.#ask(what, path, this.#certificates, this.#times.certificate)
    if (raw.statusCode !== 200) throw this.#withoutCertificate(what, raw)
    const pair = splitPair(raw.text)
    if (pair) return pair
    throw this.#garbage(what, 'is not one key and a chain of certificates')
  }

  /**
   * Calls `onNotify` for every line of the daemon's bus until `signal` aborts, and resolves then, or
   * when the daemon ends the stream. Rejects with `tailscaled_unavailable` when it cannot be asked or
   * reports something else. There is no heartbeat: a frozen daemon is silent.
   */
  async watch(onNotify: (line: BusLine) => void, signal: AbortSignal): Promise<void> {
    const what = 'the bus'
    // A connection of its own, without the bounds of an answer: the stream has no end.
    const pool = new Pool(ORIGIN, { socketPath: this.path, connections: 1, ...noTimes })
    try {
      const version = capabilityOf(await this.#ask(what, STATUS))
      const mask = version >= TELLS_PEERS ? BUS_MASK | BUS_PEERS : BUS_MASK
      const begun = deadline(this.#times.answer, signal)
      const answer = await pool
        .request({
          path: `/localapi/v0/watch-ipn-bus?mask=${mask}`,
          method: 'GET',
          signal: begun.signal,
        })
        .finally(() => begun.clear())
      // The body of a refusal may have no end, either.
      if (answer.statusCode !== 200) throw this.#refused(what, { ...answer, text: '' })
      const lines = new Lines(onNotify)
      for await (const chunk of answer.body) lines.add(chunk as Buffer)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof BadLine) throw this.#garbage(what, error.message)
      throw this.#failed(what, error, this.#times.answer)
    } finally {
      await pool.destroy()
    }
  }

  /** Lets go of all connections; what is under way is rejected. */
  async close(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#certificates.destroy()])
  }

  async #ask(
    what: string,
    path: string,
    pool: Pool = this.#pool,
    waitMs: number = this.#times.answer,
  ): Promise<Raw> {
    const bound = deadline(waitMs)
    try {
      return await requestOn(pool, path, bound.signal)
    } catch (error) {
      throw this.#failed(what, error, waitMs)
    } finally {
      bound.clear()
    }
  }

  #understood<S extends z.ZodType>(what: string, schema: S, text: string): z.output<S> {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      throw this.#garbage(what, 'is not JSON')
    }
    const result = schema.safeParse(value)
    if (result.success) return result.data
    const issue = result.error.issues[0]
    throw this.#garbage(
      what,
      `is wrong at ${quote(issue?.path.join('.') ?? '')}: ${issue?.message}`,
    )
  }

  #garbage(what: string, problem: string): SottoError {
    return new SottoError(
      'tailscaled_unavailable',
      `What tailscaled at ${quote(this.path)} answered to ${what} ${problem}`,
      { hint: 'Check that the socket is tailscaled’s, and its version with `tailscale version`.' },
    )
  }

  #refused(what: string, { statusCode, text }: Pick<Raw, 'statusCode' | 'text'>): SottoError {
    return this.#unavailable(`refused ${what} with ${statusCode}: ${said(text)}`, {
      hint: 'Check it with `tailscale status`.',
    })
  }

  #withoutCertificate(what: string, { statusCode, text, headers }: Raw): SottoError {
    const retry = headers['retry-after']
    const wait = typeof retry === 'string' ? `; try again after ${quote(retry)} seconds` : ''
    const error = new SottoError(
      'certificate_unavailable',
      `tailscaled at ${quote(this.path)} gave no answer to ${what}, but ${statusCode}: ${said(text)}${wait}`,
      {
        hint:
          statusCode === 403
            ? 'Set TS_PERMIT_CERT_UID to the user of the server in the environment of tailscaled (/etc/default/tailscaled) and restart it.'
            : 'Check that HTTPS is on for the tailnet and the name is the node’s own, or give certificate files of your own.',
      },
    )
    const retryAfterMs = Number(retry) * 1000
    return retryAfterMs > 0 ? Object.assign(error, { retryAfterMs }) : error
  }

  #failed(what: string, error: unknown, waitMs: number): SottoError {
    if (error instanceof SottoError) return error
    const stopped = notRunning(this.path, error)
    if (stopped) return stopped
    const [problem, hint] = explain(error, waitMs)
    return this.#unavailable(`${problem} when asked for ${what}`, { hint, cause: error })
  }

  #unavailable(problem: string, options: { hint: string; cause?: unknown }): SottoError {
    const message = `tailscaled at ${quote(this.path)} ${problem}`
    return new SottoError('tailscaled_unavailable', message, options)
  }
}

/**
 * The error that nobody can be asked at the socket `path`, where a connection to it ended with `cause`; undefined where
 * somebody took the connection.
 */
export function notRunning(path: string, cause: unknown): SottoError | undefined {
  const code = errorCode(cause)
  const socket = quote(path)
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    const why = code === 'ENOENT' ? `there is no socket ${socket}` : `nothing listens on ${socket}`
    return new SottoError('tailscaled_unavailable', `tailscaled is not running: ${why}`, {
      cause,
      hint: 'Start it: `sudo systemctl start tailscaled`, and `sudo tailscale up` where the node is new. If it runs with another socket, give that with --tailscaled-socket.',
    })
  }
  if (code !== 'EACCES' && code !== 'EPERM') return undefined
  const message = `Cannot tell whether tailscaled is running: this user may not use its socket ${socket}`
  return new SottoError('tailscaled_unavailable', message, {
    cause,
    hint: '`systemctl status tailscaled` says so, and `sudo systemctl start tailscaled` starts it. The user of the server must be let into the directory of the socket.',
  })
}

const noTimes = { headersTimeout: 0, bodyTimeout: 0 }

function poolOf(socketPath: string, connections: number): Pool {
  return new Pool(ORIGIN, {
    socketPath,
    connections,
    ...noTimes,
    maxResponseSize: MAX_ANSWER_BYTES,
  })
}

async function requestOn(pool: Pool, path: string, signal: AbortSignal): Promise<Raw> {
  try {
    return await requestOnce(pool, path, signal)
  } catch (error) {
    // A daemon that was restarted has closed the connections that were kept.
    if (!wasClosed(error) || signal.aborted) throw error
    return requestOnce(pool, path, signal)
  }
}

async function requestOnce(pool: Pool, path: string, signal: AbortSignal): Promise<Raw> {
  const { statusCode, headers, body } = await pool.request({ path, method: 'GET', signal })
  return { statusCode, headers, text: await body.text() }
}

/** A signal that aborts after `ms`, or with `other`, until it is cleared. */
function deadline(ms: number, other?: AbortSignal): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Late()), ms)
  const signal = other ? AbortSignal.any([controller.signal, other]) : controller.signal
  return { signal, clear: () => clearTimeout(timer) }
}

/** The time is up. */
class Late extends Error {}

function wasClosed(error: unknown): boolean {
  const code = errorCode(error)
  return error instanceof errors.SocketError || code === 'ECONNRESET' || code === 'EPIPE'
}

function explain(error: unknown, waitMs: number): [problem: string, hint: string] {
  if (error instanceof Late) {
    return [
      `did not answer within ${waitMs} ms`,
      'It may be overloaded or stopped: check it with `tailscale status`.',
    ]
  }
  if (error instanceof errors.ResponseExceededMaxSizeError) {
    return [
      `answered more than ${MAX_ANSWER_BYTES} bytes`,
      'Check that the socket is tailscaled’s.',
    ]
  }
  if (error instanceof errors.HTTPParserError) {
    return ['did not answer in HTTP', 'Check that the socket is tailscaled’s.']
  }
  const reason = error instanceof Error ? error.message : 'unknown'
  return [`closed the connection (${reason})`, 'It may be restarting: check `tailscale status`.']
}

/** The daemon's capability version; NaN when it does not report one. */
function capabilityOf({ headers }: Raw): number {
  return Number(headers['tailscale-cap'] ?? Number.NaN)
}
