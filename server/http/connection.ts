/** One connection: which requests it still has to answer, and how it ends. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { AnyPeer, OperatorPeer } from '../identity/identity.ts'
import { canonicalAddress } from '../identity/tailscale/addresses.ts'
import { nextRequestId } from '../platform/request-id.ts'
import { rawAnswer } from './answer.ts'
import { Exchange, type ExchangeConnection, type ExchangeParts } from './exchange.ts'
import type { AddressUsage } from './load.ts'
import { onLastAnswer } from './node-socket.ts'
import { Pin } from './pin.ts'

/** Requests that may be sent ahead of their answers. */
const MAX_AHEAD = 16
/** How long a peer that is refused may take to read the reason, in milliseconds. */
const LINGER_MS = 1000
/** How long what comes after the last answer is read and dropped, in milliseconds. */
const DRAIN_MS = 5000
/** How long nothing is read after a 503, whose Retry-After says as much, in milliseconds. */
export const REST_MS = 1000

/** In place of the usage of an address that has too many connections: nothing more can be counted in it. */
const full: AddressUsage = {
  address: '',
  connections: Number.POSITIVE_INFINITY,
  requests: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  resting: false,
}

/** What a connection needs of the server. */
export interface ConnectionParts extends ExchangeParts {
  /** Milliseconds within which the peer must take an answer. */
  readonly answerTimeout: number
  /** Called when the connection was cut because of what was sent on it. */
  readonly cut: (connection: Connection) => void
  /** Whether a connection has one request alone. */
  readonly single: boolean
}

/** A connection to the server. */
export class Connection implements ExchangeConnection {
  readonly usage: AddressUsage
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  /** Sends what is written, and closes. */
  readonly #sendAndClose: () => void
  readonly #pin = new Pin()
  /** Both ends, or the operator; undefined for the socket of a proxy, whose requests come from many. */
  readonly #ends: AnyPeer | undefined
  /** Requests whose answers were not taken yet. */
  #open = 0
  #latest: Exchange | undefined
  /** No request is served after the latest one. */
  #ending = false
  /** What is sent at the end, where no answer to a request says it. */
  #lastWord: SottoError | undefined
  #resting = false
  /** What still comes is read and dropped, until the peer ends too. */
  #draining = false
  /** Requests that came after the last one that is served. */
  #dropped = 0
  #closed = false
  /** Called once the peer took an answer. */
  readonly #untaken = new Set<() => void>()

  /** Counts the connection, unless `counted` says where it was counted. One too many has its first request refused. */
  constructor(
    socket: Socket,
    parts: ConnectionParts,
    counted?: AddressUsage,
    operator?: OperatorPeer,
  ) {
    const usage = counted ?? parts.load.connect(socket.remoteAddress ?? '')
    this.#socket = socket
    this.#parts = parts
    this.#ends = operator ?? endsOf(socket)
    this.usage = usage ?? full
    if (!usage) setTimeout(() => socket.destroy(), LINGER_MS).unref()
    // Node begins to read after it has announced the connection.
    else if (usage.resting) process.nextTick(() => this.rest())
    this.#sendAndClose = onLastAnswer(socket, () => this.#endSoon())
    socket.once('end', () => this.#checkWhole())
    socket.once('close', () => this.#close())
  }

  /** Begins the exchange of a request; undefined when no further one is served. */
  exchange(incoming: IncomingMessage, outgoing: ServerResponse): Exchange | undefined {
    if (this.#ending || this.#pin.broken) {
      incoming.resume()
      // Node makes a response for each of them, and keeps it until the connection ends.
      if (++this.#dropped > MAX_AHEAD) this.#socket.destroy()
      return undefined
    }
    // Node makes requests of everything that it has read, so that a pause comes too late for these.
    if (this.#open >= MAX_AHEAD || this.#resting) {
      this.cut()
      return undefined
    }
    this.#open++
    this.#latest = new Exchange(this, incoming, outgoing, this.#parts)
    if (this.#parts.single) this.#ending = true
    return this.#latest
  }

  /** Whether nothing has come on it but `packet`. */
  isFirst(packet: Buffer): boolean {
    return !this.#latest && !this.#ending && this.#socket.bytesRead === packet.length
  }

  /** What the address that a request came from has in use: through a proxy, the one that it speaks for. */
  usageOf(incoming: IncomingMessage): AddressUsage {
    const peer = this.peerOf(incoming)
    const address = 'unix' in peer && canonicalAddress(peer.forwardedFor ?? '')
    return address ? this.#parts.load.of(address) : this.usage
  }

  /** Where a request on the connection came from. */
  peerOf(incoming: IncomingMessage): AnyPeer {
    // Node makes these maps when they are asked for.
    if (this.#ends) return this.#ends
    const [first, ...more] = incoming.headersDistinct['x-forwarded-for'] ?? []
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

  /** Ends at once, and has the address rest: too much was sent ahead, or in too many pieces. */
  cut(): void {
    if (!this.#socket.destroyed) this.#parts.load.metrics.cut.add()
    this.#socket.destroy()
    this.#parts.cut(this)
  }

  /** Whether the connection ends after the answer of `exchange`. */
  isLast(exchange: Exchange): boolean {
    if (this.#pin.broken) return true
    if (this.#latest !== exchange) return false
    // Node drops what came right after a request to change the protocol.
    if (exchange.incoming.headers.upgrade !== undefined) return true
    return (this.#ending && !this.#lastWord) || this.#parts.load.closing || this.usage === full
  }

  /** Reads nothing for a while: a client that tries again at once costs as much as the request that is refused. */
  rest(): void {
    // A proxy sends the next request of anybody on it.
    if (this.#resting || !this.#ends) return
    this.#resting = true
    const socket = this.#socket
    // Node resumes a socket when it is done with a request.
    const stay = (): void => void socket.pause()
    stay()
    socket.on('resume', stay)
    const wake = (): void => {
      socket.off('resume', stay)
      this.#resting = false
      if (this.usage.resting) this.rest()
      else socket.resume()
    }
    // Not all at the same moment: they would have to be refused again.
    setTimeout(wake, REST_MS * (1 + Math.random())).unref()
  }

  /** Ends an exchange: calls `then` once the peer took `outgoing`, or cannot any more. */
  whenTaken(outgoing: ServerResponse, then: () => void): void {
    const leave = (): void => {
      then()
      this.#open--
      if (this.#lastWord && this.#open === 0) this.#end(this.#lastWord)
    }
    const isWritten = outgoing.writableEnded && outgoing.writableLength === 0
    if (this.#closed || isWritten) return leave()
    const late = setTimeout(() => this.#socket.destroy(), this.#parts.answerTimeout)
    const done = (): void => {
      if (!this.#untaken.delete(done)) return
      clearTimeout(late)
      leave()
    }
    this.#untaken.add(done)
    outgoing.once('finish', done)
  }

  /** Answers `error`, which says that what comes is not HTTP or does not come, and ends. */
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
      // After a timeout there is nothing to read and drop.
      return error.code === 'timeout' ? void this.#socket.destroy() : this.#endSoon()
    }
    this.#ending = true
    exchange.failBody(error)
  }

  /** Serves nothing more, and sends `error` after the answers that are still owed. */
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
    if (this.#open === 0) this.#endSoon()
  }

  #end(error: SottoError): void {
    const socket = this.#socket
    if (!socket.writable) return void socket.destroy()
    const answer = this.#parts.refusal(error)
    socket.write(rawAnswer(nextRequestId(), answer))
    this.#parts.traffic.note('other', answer.code)
    this.#drain()
  }

  /** Ends after the last answer. */
  #endSoon(): void {
    const isWhole = this.#latest?.incoming.complete ?? true
    // A stop does not wait for a peer that has its answer.
    if (this.#parts.load.closing && isWhole) this.#sendAndClose()
    else this.#drain()
  }

  /**
   * Sends nothing more, and drops what still comes until the peer ends too. When a socket is closed while
   * something is unread, the system resets the connection, and the peer may lose the last answer.
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

  /** Node does not check that the body is whole when the head asked for an upgrade. */
  #checkWhole(): void {
    if (!this.#latest || this.#latest.incoming.complete) return
    this.fail(new SottoError('bad_request', 'The request ended half-way'))
  }

  #close(): void {
    this.#closed = true
    this.#ending = true
    if (this.usage !== full) this.#parts.load.disconnect(this.usage)
    for (const done of this.#untaken) done()
  }
}

function endsOf(socket: Socket): AnyPeer | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || localAddress === undefined) return undefined
  return { remoteAddress, remotePort: remotePort ?? 0, localAddress, localPort: localPort ?? 0 }
}
