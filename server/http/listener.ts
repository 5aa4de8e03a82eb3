/** The HTTP server on Node: limits of time and size, the front door, and an end that finishes work. */
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { MAX_BODY_BYTES } from '../../client/api/types.ts'
import type { AnyPeer, Gone, Identity, OperatorPeer } from '../identity/identity.ts'
import type { Operators } from '../identity/operators.ts'
import { answerFor, type Refusal } from './answer.ts'
import { type Address, addressText, bind, bindUnix } from './bind.ts'
import { announcedBytes } from './body.ts'
import type { Certificates } from './certificates/certificates.ts'
import { Connection, type ConnectionParts, REST_MS } from './connection.ts'
import { type Fault, ErrorLog } from './error-log.ts'
import type { Gate } from '../gate/gate.ts'
import { firstRequest } from './first-request.ts'
import { refuse } from './handle.ts'
import { checkHost, type IsOwnName } from './hosts.ts'
import { Handshakes } from './handshakes.ts'
import type { Load, AddressUsage } from './load.ts'
import { nextRequestId } from '../platform/request-id.ts'
import type { RequestMetrics } from './metrics.ts'
import { type NodeLimits, nodeServer } from './node-server.ts'
import { FairQueue } from './fair-queue.ts'
import { Traffic } from './traffic.ts'
import type { Exchange } from './exchange.ts'

/** Limits of the listener. Times are in milliseconds. */
export interface ListenerLimits extends NodeLimits {
  /** How long a peer may take to take an answer. */
  readonly answerTimeout: number
  /** How long a stop waits for requests that were accepted. */
  readonly stopTimeout: number
}

/** The limits of a server that is given no others. */
export const listenerLimits: ListenerLimits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 75_000,
  answerTimeout: 30_000,
  maxHeaderSize: 16_384,
  stopTimeout: 10_000,
}

/** What answers the requests of a listener. */
export interface Front {
  /** Has a request answered. Never throws. */
  serve(exchange: Exchange): void
  /** What an error looks like. Absent: as the API has it. */
  readonly refusal?: Refusal
  /**
   * A method that Node's parser does not know, which is served where it is the first on a connection. A connection has one
   * request alone then, so that it always is. Absent: none.
   */
  readonly method?: string
  /** Told when callers have left. */
  gone?(who: Gone): void
  /** Ends what goes on for as long as it likes. */
  stop?(): void
}

/** What a listener is made of. */
export interface ListenerParts {
  readonly load: Load
  readonly identity: Identity<AnyPeer>
  readonly gate: Gate
  /** Makes what answers; it gets the log of errors whose reason the caller does not see. */
  readonly front: (errorLog: ErrorLog) => Front
  /** By which names callers may reach it, in addition to addresses and `localhost`. Default: by none. */
  readonly isOwnName?: IsOwnName
  /** What answers are noted in. */
  readonly requests: RequestMetrics
  /** Gets the errors whose reason the caller does not see, a few of each kind a minute. */
  readonly logFault: (fault: Fault) => void
}

/** Connections past the limit that are answered 503; the rest are closed without an answer. */
const REFUSED_CONNECTIONS = 256

/** Serves HTTP on one or more addresses. */
export class Listener {
  readonly #load: Load
  readonly #connectionParts: ConnectionParts
  readonly #errorLog: ErrorLog
  readonly #limits: ListenerLimits
  readonly #isOwnName: IsOwnName
  /** By what they listen on. */
  readonly #servers = new Map<string, Server | TlsServer>()
  readonly #handshakes = new Set<Handshakes>()
  readonly #connections = new Map<Socket, Connection>()
  readonly #operators = new WeakMap<Socket, OperatorPeer>()
  readonly #gate: ListenerParts['gate']
  readonly #queue: FairQueue<Exchange>
  readonly #front: Front

  constructor(
    { load, identity, gate, front, isOwnName = () => false, requests, logFault }: ListenerParts,
    limits: Partial<ListenerLimits> = {},
  ) {
    this.#load = load
    this.#isOwnName = isOwnName
    this.#gate = gate
    this.#errorLog = new ErrorLog(logFault)
    this.#limits = { ...listenerLimits, ...limits }
    this.#front = front(this.#errorLog)
    this.#connectionParts = {
      load,
      traffic: new Traffic(requests),
      answerTimeout: this.#limits.answerTimeout,
      cut: ({ usage }) => this.#restAll(usage),
      refusal: this.#front.refusal ?? answerFor,
      single: this.#front.method !== undefined,
    }
    this.#queue = new FairQueue((exchange) => this.#front.serve(exchange))
    identity.watch?.((who) => {
      this.#hangUp(who)
      this.#front.gone?.(who)
    })
  }

  /**
   * Listens on `address` too, with `certificates` for HTTPS, and resolves with the port. Rejects with
   * `unsafe` for a wildcard, and with `local` when it cannot listen.
   */
  async listen(address: Address, certificates?: Certificates): Promise<number> {
    const server = this.#server(certificates)
    const port = await bind(server, address)
    this.#servers.set(addressText({ ...address, port }), server)
    return port
  }

  /**
   * Listens on a unix socket too, for the proxy of `tailscale serve`. Rejects with `unsafe` when
   * others could reach it, and with `local` when it cannot listen.
   */
  async listenUnix(path: string): Promise<void> {
    const server = this.#server(undefined)
    await bindUnix(server, path)
    this.#servers.set(path, server)
  }

  /** As `listenUnix`, for operators of the host, whose connections are served once they have proved who they are. */
  async listenOperators(path: string, operators: Operators): Promise<void> {
    const server = this.#server(undefined)
    const serve = server.listeners('connection')
    server.removeAllListeners('connection')
    const admit = async (socket: Socket): Promise<void> => {
      try {
        this.#operators.set(socket, await operators.prove(socket))
      } catch (error) {
        return this.#gate.unidentified(nextRequestId(), '', asSottoError(error).message)
      }
      for (const each of serve) each.call(server, socket)
      socket.resume()
    }
    server.on('connection', (socket: Socket) => void admit(socket))
    await bindUnix(server, path)
    this.#servers.set(path, server)
  }

  /** Stops listening on `address` and cuts its connections: it no longer belongs to this node. */
  unlisten(address: Address): void {
    const server = this.#servers.get(addressText(address))
    this.#servers.delete(addressText(address))
    server?.close()
    server?.closeAllConnections()
  }

  /** Takes nothing new, finishes what was accepted, and ends within the limit. */
  async close(): Promise<void> {
    this.#load.close()
    const servers = [...this.#servers.values()]
    const closed = servers.map((server) => once(server, 'close'))
    for (const server of servers) server.close()
    for (const handshakes of this.#handshakes) handshakes.close()
    this.#front.stop?.()
    for (const connection of this.#connections.values()) connection.endIfIdle()
    const late = setTimeout(() => {
      for (const server of servers) server.closeAllConnections()
    }, this.#limits.stopTimeout)
    await Promise.all(closed)
    clearTimeout(late)
    this.#errorLog.flush()
  }

  #server(certificates: Certificates | undefined): Server | TlsServer {
    const server = nodeServer(this.#limits, certificates)
    // A caller that says it sends nothing more still waits for its answers.
    Object.assign(server, { httpAllowHalfOpen: true })
    server.maxConnections = this.#load.limits.connections + REFUSED_CONNECTIONS
    server.on('drop', () => this.#load.metrics.refused.add())
    if (certificates) {
      const handshakes = new Handshakes(this.#load)
      server.on('connection', (raw) => handshakes.begin(raw))
      server.on('secureConnection', (socket: Socket) =>
        this.#connect(socket, handshakes.finish(socket)),
      )
      this.#handshakes.add(handshakes)
      server.once('close', () => this.#handshakes.delete(handshakes))
    } else server.on('connection', (socket) => this.#connect(socket))
    server.on('request', (incoming, outgoing) => this.#serve(incoming, outgoing))
    server.on('checkContinue', (incoming, outgoing) => {
      if (announcedBytes(incoming) <= MAX_BODY_BYTES) outgoing.writeContinue()
      this.#serve(incoming, outgoing)
    })
    server.on('checkExpectation', (incoming, outgoing) => this.#serve(incoming, outgoing))
    server.on('connect', (_, socket) => {
      const error = new SottoError('not_post', 'The API answers to POST, and this is CONNECT')
      this.#connections.get(socket as Socket)?.refuse(error)
    })
    server.on('clientError', (error, socket) => {
      const connection = this.#connections.get(socket as Socket)
      // A handshake that failed: no answer can be sent.
      if (!connection) socket.destroy()
      else if (!this.#unknown(connection, socket as Socket, error)) connection.fail(faultOf(error))
    })
    return server
  }

  /** Whether what Node's parser refuses is the method that the front knows: then it is served. */
  #unknown(connection: Connection, socket: Socket, error: ParseError): boolean {
    const { method } = this.#front
    const { code, rawPacket } = error
    if (method === undefined || code !== 'HPE_INVALID_METHOD' || !rawPacket) return false
    if (rawPacket.length > this.#limits.maxHeaderSize) return false
    const request = connection.isFirst(rawPacket) && firstRequest(socket, rawPacket, method)
    if (!request) return false
    this.#serve(...request)
    return true
  }

  #connect(socket: Socket, counted?: AddressUsage): void {
    const connection = new Connection(
      socket,
      this.#connectionParts,
      counted,
      this.#operators.get(socket),
    )
    this.#connections.set(socket, connection)
    socket.once('close', () => this.#connections.delete(socket))
  }

  /** Cuts the connections of callers that have left; their requests are not answered. */
  #hangUp(who: Gone): void {
    const nodes = who === 'everybody' ? undefined : new Set(who.nodes)
    for (const connection of this.#connections.values()) {
      if (nodes) connection.destroyIfOf(nodes)
      // Requests that wait are refused by themselves, since no caller can be named.
      else connection.finish()
    }
  }

  /** A client that sends too much on one connection may do the same on the others. */
  #restAll(usage: AddressUsage): void {
    if (usage.resting) return
    this.#load.rest(usage, REST_MS)
    for (const connection of this.#connections.values()) {
      if (connection.usage === usage) connection.rest()
    }
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const exchange = this.#connections.get(incoming.socket)?.exchange(incoming, outgoing)
    if (!exchange) return
    try {
      exchange.enter()
      checkVersion(incoming)
      checkHost(incoming, this.#isOwnName)
    } catch (error) {
      return refuse(this.#errorLog, exchange, error)
    }
    this.#queue.add(exchange.usage, exchange)
  }
}

/** HTTP/1.1 has a server refuse what names no host; a line without a version is HTTP/0.9. */
function checkVersion({ headers, httpVersionMajor, httpVersionMinor }: IncomingMessage): void {
  if (httpVersionMajor !== 1) throw new SottoError('bad_request', 'The request is not HTTP/1')
  if (headers.host !== undefined || httpVersionMinor === 0) return
  throw new SottoError('bad_request', 'The Host header is missing')
}

/** What Node's parser says of what it refuses. */
type ParseError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

function faultOf({ code }: ParseError): SottoError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new SottoError('head_too_large', 'The request line and headers are too large')
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new SottoError('timeout', 'The request did not arrive in time')
  }
  return new SottoError('bad_request', 'The request is not HTTP, or it ended half-way')
}
