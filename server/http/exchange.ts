/** One request from its arrival until its answer was taken: its id, what it holds, its answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { AnyPeer } from '../identity/identity.ts'
import { nextRequestId } from '../platform/request-id.ts'
import { type Answer, bytesOf, commonHead, headOf, type Refusal } from './answer.ts'
import type { AddressUsage, Load } from './load.ts'
import type { Outcome, Subject } from './metrics.ts'
import { subjectOf, type Traffic } from './traffic.ts'

/** Bytes of a body or an answer that are not counted: the number of requests bounds them. */
export const UNCOUNTED_BYTES = 16 * 1024

/** What a request needs of its connection. */
export interface ExchangeConnection {
  /** What the address that a request came from has in use. */
  usageOf(incoming: IncomingMessage): AddressUsage
  /** Where a request on the connection came from, for the network to say who that is. */
  peerOf(incoming: IncomingMessage): AnyPeer
  /** Holds the connection to the node that it was first named after. Throws `unidentified` for another. */
  pin(caller: Caller): void
  /** Whether the connection ends after the answer of `exchange`. */
  isLast(exchange: Exchange): boolean
  /** Reads nothing for a while. */
  rest(): void
  /** Ends at once: what comes on it costs more than to refuse it. */
  cut(): void
  /** Ends an exchange: calls `then` once the peer took `outgoing`, or cannot any more. */
  whenTaken(outgoing: ServerResponse, then: () => void): void
}

/** What requests are counted in, and how they are refused. */
export interface ExchangeParts {
  readonly load: Load
  readonly traffic: Traffic
  readonly refusal: Refusal
}

/** A request that is being served. */
export class Exchange {
  /** Names the run of the server and counts within it. The answer and the audit record have it. */
  readonly id: string = nextRequestId()
  readonly connection: ExchangeConnection
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** What the address that it came from has in use. */
  readonly usage: AddressUsage
  /** What the request is for; its handler sets it. */
  subject: Subject | undefined
  readonly #parts: ExchangeParts
  /** By `performance.now()`. */
  readonly #since: number = performance.now()
  #counted = false
  #held = 0
  #ended = false
  #streams = false
  /** Why the body cannot be read to its end, once that is known, and what is called then. */
  #fault: SottoError | undefined
  #onFault: ((error: SottoError) => void) | undefined

  constructor(
    connection: ExchangeConnection,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    parts: ExchangeParts,
  ) {
    this.connection = connection
    this.incoming = incoming
    this.outgoing = outgoing
    this.usage = connection.usageOf(incoming)
    this.#parts = parts
  }

  /** Counts the request, or throws `overloaded` or `shutting_down`. */
  enter(): void {
    try {
      this.#parts.load.enter(this.usage)
    } catch (error) {
      this.connection.rest()
      throw error
    }
    this.#counted = true
  }

  /** Counts bytes that the request keeps until its answer was taken, or throws `overloaded`. */
  hold(bytes: number): void {
    this.#parts.load.hold(this.usage, bytes)
    this.#held += bytes
  }

  /** Reports that the body cannot be read to its end, to whatever reads it now or later. */
  failBody(error: SottoError): void {
    this.#fault = error
    this.#onFault?.(error)
  }

  /** Calls `then` when the body cannot be read to its end: at once, if that is known. */
  whenBodyFails(then: (error: SottoError) => void): void {
    this.#onFault = then
    if (this.#fault) then(this.#fault)
  }

  /**
   * Counts the request no more, though its answer is still to come: it waits for something, and what it waits in has
   * limits of its own.
   */
  release(): void {
    const { load } = this.#parts
    if (this.#held > 0) load.release(this.usage, this.#held)
    if (this.#counted) load.leave(this.usage)
    this.#held = 0
    this.#counted = false
  }

  /**
   * Begins an answer that goes on for as long as its handler likes, and counts it as `ok`. The connection ends after it.
   * False where the peer is gone, which ends the exchange. Otherwise `endStream` is to be called when the last of it is written, or the peer is gone.
   */
  beginStream(type: string, headers: readonly string[]): boolean {
    const { outgoing } = this
    if (this.#ended || outgoing.destroyed) {
      this.end('ok')
      return false
    }
    this.release()
    this.#streams = true
    outgoing.writeHead(200, [...commonHead(this.id, type), ...headers, 'Connection', 'close'])
    this.#note('ok')
    return true
  }

  /** From here on the peer has a limited time to take what was written. */
  endStream(): void {
    if (this.#ended) return
    this.#ended = true
    this.connection.whenTaken(this.outgoing, () => {})
  }

  /** What an error looks like to who asked. */
  get refusal(): Refusal {
    return this.#parts.refusal
  }

  /** Whether the answer is written. */
  get answered(): boolean {
    return this.#ended
  }

  /** Writes the answer and ends the exchange. Throws `overloaded` when a long one cannot be held. */
  answer(answer: Answer): void {
    const { outgoing } = this
    if (!outgoing.destroyed && !outgoing.headersSent) {
      const bytes = typeof answer.body === 'string' ? answer.body.length : bytesOf(answer.body)
      if (bytes > UNCOUNTED_BYTES) this.hold(bytes)
      const head = headOf(this.id, answer)
      // Without it Node reads and drops what comes after a refusal until the request's time is up.
      if (this.connection.isLast(this)) head.push('Connection', 'close')
      outgoing.writeHead(answer.status, head)
      if (typeof answer.body === 'string') outgoing.end(answer.body)
      else {
        // Before bytes Node would put the head in front of a `100 Continue` that still waits for its turn.
        outgoing.flushHeaders()
        // A piece when the one before has left: the system may take much time for many at once.
        Readable.from(answer.body).pipe(outgoing)
      }
    }
    this.end(answer.code)
  }

  /**
   * Ends the exchange: nothing more is written, and what was has to be taken. It is counted as `code`. Does nothing
   * while a stream is written.
   */
  end(code: Outcome): void {
    if (this.#ended || this.#streams) return
    this.#ended = true
    this.#note(code)
    this.connection.whenTaken(this.outgoing, () => this.release())
  }

  #note(code: Outcome): void {
    const subject = this.subject ?? subjectOf(this.incoming.url ?? '')
    this.#parts.traffic.note(subject, code, (performance.now() - this.#since) / 1000)
  }
}
