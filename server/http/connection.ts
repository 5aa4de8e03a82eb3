/** One connection: what it still owes an answer to, and how it ends. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { Peer } from '../identity/identity.ts'
import { answerFor, rawAnswer } from './answer.ts'
import type { Load, AddressUsage } from './load.ts'
import { Pin } from './pin.ts'
import type { Traffic } from './traffic.ts'
import { type ExchangeConnection, Exchange } from './exchange.ts'
import { nextRequestId } from '../platform/request-id.ts'

/** Requests that may be sent ahead of their answers. */
const MAX_AHEAD = 16
/** How long a peer that is refused may take to read why, in milliseconds. */
const LINGER_MS = 1000
/** How long what comes after the last answer is read and dropped, in milliseconds. */
const DRAIN_MS = 5000
/** How long nothing is read after a 503, whose Retry-After says as much, in milliseconds. */
export const REST_MS = 1000

/** Stands for the address of a connection that is one too many: it can take nothing. */
const nobody: AddressUsage = {
  address: '',
  connections: Number.POSITIVE_INFINITY,
  requests: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  resting: false,
}

/** What a connection needs of the server. */
export interface ConnectionParts {
  readonly load: Load
  /** Counts the answers. */
  readonly traffic: Traffic
  /** The address, where the connection was counted before. */
  readonly usage?: AddressUsage | undefined
  /** Milliseconds within which the peer must take an answer. */
  readonly answerTimeout: number
  /** Told that the connection was cut because too much was sent ahead. */
  readonly cut: (connection: Connection) => void
}

/** A connection to the server. */
export class Connection implements ExchangeConnection {
  readonly load: Load
  readonly traffic: Traffic
  readonly usage: AddressUsage
  readonly #socket: Socket
  readonly #pin = new Pin()
  /** Both ends, or undefined for a unix socket, whose requests come from many. */
  readonly #ends: Peer | undefined
  readonly #answerTimeout: number
  readonly #cut: (connection: Connection) => void
  /** Requests whose answers were not taken yet. */
  #open = 0
  #latest: Exchange | undefined
  /** No request is served after the latest one. */
  #ending = false
  /** What is said at the end, where no answer to a request says it. */
  #lastWord: SottoError | undefined
  #resting = false
  /** What still comes is read and dropped, until the peer ends too. */
  #draining = false
  /** Requests that came after the last that is served. */
  #dropped = 0
  #closed = false
  /** What waits for the peer to take an answer. */
  readonly #untaken = new Set<() => void>()

  /** Counts the connection; one too many has its first request refused. */
  constructor(socket: Socket, { load, traffic, answerTimeout, cut, ...parts }: ConnectionParts) {
    const usage = parts.usage ?? load.connect(socket.remoteAddress ?? '')
    this.#socket = socket
    this.#ends = endsOf(socket)
    this.load = load
    this.traffic = traffic
    this.usage = usage ?? nobody
    this.#answerTimeout = answerTimeout
    this.#cut = cut
    if (!usage) setTimeout(() => socket.destroy(), LINGER_MS).unref()
    // Node begins to read after it has told of the connection.
    else if (usage.resting) process.nextTick(() => this.rest())
    const destroySoon = socket.destroySoon.bind(socket)
    socket.destroySoon = () => this.#endSoon(destroySoon)
    socket.once('end', () => this.#checkWhole())
    socket.once('close', () => this.#close())
  }

  /** Begins the exchange of a request; undefined when no further one is served. */
  exchange(incoming: IncomingMessage, outgoing: ServerResponse): Exchange | undefined {
    if (this.#ending || this.#pin.broken) {
      incoming.resume()
      // Node keeps an answer ready for each of them.
      if (++this.#dropped > MAX_AHEAD) this.#socket.destroy()
      return undefined
    }
    // Node makes requests of everything that it has read before anything can be done about it.
    if (this.#open >= MAX_AHEAD || this.#resting) {
      if (!this.#socket.destroyed) this.load.metrics.cut.add()
      this.#socket.destroy()
      this.#cut(this)
      return undefined
    }
    this.#open++
    this.#latest = new Exchange(this, incoming, outgoing)
    return this.#latest
  }

  /** Where a request on the connection came from. */
  peerOf({ headersDistinct }: IncomingMessage): Peer {
    if (this.#ends) return this.#ends
    const [first, ...more] = headersDistinct['x-forwarded-for'] ?? []
    return { unix: true, forwardedFor: more.length === 0 ? first : undefined }
  }

  /**
   * Holds the connection to the node that it was first named after. Throws `unidentified` when
   * `caller` is another one; then, and when its rights are gone, the next answer is the last.
   */
  pin(caller: Caller): void {
    if (this.#ends) this.#pin.hold(caller)
  }

  /** Ends at once, answers that are owed or not, if it is pinned to one of `nodes`. */
  destroyIfOf(nodes: ReadonlySet<string>): void {
    if (this.#pin.node !== undefined && nodes.has(this.#pin.node)) this.destroy()
  }

  /** Ends at once, answers that are owed or not. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Whether the connection ends after the answer of `exchange`. */
  isLast(exchange: Exchange): boolean {
    if (this.#pin.broken) return true
    if (this.#latest !== exchange) return false
    // Node drops what came right behind a request to speak another protocol.
    if (exchange.incoming.headers.upgrade !== undefined) return true
    return (this.#ending && !this.#lastWord) || this.load.closing || this.usage === nobody
  }

  /** Reads nothing for a while: who tries again at once would cost as much as what it is refused. */
  rest(): void {
    if (this.#resting) return
    this.#resting = true
    const socket = this.#socket
    // Node resumes a socket by itself when it is done with a request.
    const stay = (): void => void socket.pause()
    stay()
    socket.on('resume', stay)
    const wake = (): void => {
      socket.off('resume', stay)
      this.#resting = false
      if (this.usage.resting) this.rest()
      else socket.resume()
    }
    // Not all at the same time: those that come back at once would have to be refused at once.
    setTimeout(wake, REST_MS * (1 + Math.random())).unref()
  }

  /** Counts the end of a exchange. */
  leave(): void {
    this.#open--
    if (this.#lastWord && this.#open === 0) this.#end(this.#lastWord)
  }

  /** Calls `then` once the peer took `outgoing`, or cannot any more. */
  whenTaken(outgoing: ServerResponse, then: () => void): void {
    if (this.#closed) return then()
    const late = setTimeout(() => this.#socket.destroy(), this.#answerTimeout)
    const done = (): void => {
      if (!this.#untaken.delete(done)) return
      clearTimeout(late)
      then()
    }
    this.#untaken.add(done)
    outgoing.once('finish', done)
  }

  /** Tells that what comes is no HTTP, or does not come: answers that, and ends. */
  fail(error: SottoError): void {
    const exchange = this.#latest
    if (!exchange) return this.refuse(error)
    if (exchange.incoming.complete) {
      // What comes after the last request of a connection has no answer.
      if (exchange.outgoing.shouldKeepAlive) this.refuse(error)
      else this.#ending = true
      return
    }
    // The fault is in the body of the latest request, whose answer is the place to say so.
    if (exchange.answered) {
      // Of what does not come, nothing is on its way.
      return error.code === 'timeout' ? void this.#socket.destroy() : this.#socket.destroySoon()
    }
    this.#ending = true
    exchange.failBody(error)
  }

  /** Serves nothing more, and says why after the answers that are still owed. */
  refuse(error: SottoError): void {
    if (this.#ending) return
    this.#ending = true
    this.#lastWord = error
    this.#socket.pause()
    if (this.#open === 0) this.#end(error)
  }

  /** Serves nothing more: ends at once if nothing is owed, and after the answers that are otherwise. */
  finish(): void {
    this.#ending = true
    if (this.#open === 0) this.destroy()
  }

  /** Ends at once if nothing is owed. */
  endIfIdle(): void {
    if (this.#open === 0) this.#socket.destroySoon()
  }

  #end(error: SottoError): void {
    const socket = this.#socket
    if (!socket.writable) return void socket.destroy()
    const answer = answerFor(error)
    socket.write(rawAnswer(nextRequestId(), answer))
    this.traffic.note('other', answer.code)
    this.#drain()
  }

  /** In place of Node's way to end after the last answer, which is to close at once. */
  #endSoon(destroySoon: () => void): void {
    const isWhole = this.#latest?.incoming.complete ?? true
    // A stop waits for nobody who was answered in full.
    if (this.load.closing && isWhole) destroySoon()
    else this.#drain()
  }

  /**
   * Sends nothing more, and drops what still comes until the peer ends too. To close a socket while
   * something is unread has the system reset the connection, and the peer may lose the last answer.
   */
  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#ending = true
    const socket = this.#socket
    socket.end()
    this.#latest?.incoming.resume()
    socket.resume()
    const late = setTimeout(() => socket.destroy(), DRAIN_MS)
    socket.once('close', () => clearTimeout(late))
  }

  /** Node looks no more at whether the body is whole once the head asked for an upgrade. */
  #checkWhole(): void {
    if (!this.#latest || this.#latest.incoming.complete) return
    this.fail(new SottoError('bad_request', 'The request ended half-way'))
  }

  #close(): void {
    this.#closed = true
    this.#ending = true
    if (this.usage !== nobody) this.load.disconnect(this.usage)
    for (const done of this.#untaken) done()
  }
}

function endsOf(socket: Socket): Peer | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || localAddress === undefined) return undefined
  return { remoteAddress, remotePort: remotePort ?? 0, localAddress, localPort: localPort ?? 0 }
}
