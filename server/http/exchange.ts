/** One request from its arrival until its answer was taken: its id, what it holds, its answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { Peer } from '../identity/identity.ts'
import { type Answer, headOf } from './answer.ts'
import type { Load, AddressUsage } from './load.ts'
import type { Outcome, Subject } from './metrics.ts'
import { subjectOf, type Traffic } from './traffic.ts'
import { nextRequestId } from '../platform/request-id.ts'

/** Bytes of a body or an answer that are not counted: the number of requests bounds them. */
export const UNCOUNTED_BYTES = 16 * 1024

/** What a request needs of its connection. */
export interface ExchangeConnection {
  readonly load: Load
  readonly traffic: Traffic
  /** The address that it came from. */
  readonly usage: AddressUsage
  /** Where a request on the connection came from. */
  peerOf(incoming: IncomingMessage): Peer
  /** Holds the connection to the node that it was first named after. Throws `unidentified` for another. */
  pin(caller: Caller): void
  /** Whether the connection ends after the answer of `exchange`. */
  isLast(exchange: Exchange): boolean
  /** Reads nothing for a while. */
  rest(): void
  /** Counts the end of an exchange. */
  leave(): void
  /** Calls `then` once the peer took `outgoing`, or cannot any more. */
  whenTaken(outgoing: ServerResponse, then: () => void): void
}

/** A request that is being served. */
export class Exchange {
  /** Names the run of the server and counts within it. The answer and the audit record have it. */
  readonly id: string = nextRequestId()
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** What the request is for; whoever serves it says so. */
  subject: Subject | undefined
  readonly #connection: ExchangeConnection
  /** By `performance.now()`. */
  readonly #since: number = performance.now()
  #counted = false
  #held = 0
  #ended = false
  /** Why the body will not come to its end, once that is known, and who is told. */
  #fault: SottoError | undefined
  #onFault: ((error: SottoError) => void) | undefined

  constructor(connection: ExchangeConnection, incoming: IncomingMessage, outgoing: ServerResponse) {
    this.#connection = connection
    this.incoming = incoming
    this.outgoing = outgoing
  }

  /** The address that it came from. */
  get usage(): AddressUsage {
    return this.#connection.usage
  }

  /** Where it came from, for the network to say who that is. */
  get peer(): Peer {
    return this.#connection.peerOf(this.incoming)
  }

  /** Holds the connection to `caller`. Throws `unidentified` when it was another node's before. */
  pin(caller: Caller): void {
    this.#connection.pin(caller)
  }

  /** Counts the request, or throws `overloaded` or `shutting_down`. */
  enter(): void {
    try {
      this.#connection.load.enter(this.usage)
    } catch (error) {
      this.#connection.rest()
      throw error
    }
    this.#counted = true
  }

  /** Counts bytes that the request keeps until its answer was taken, or throws `overloaded`. */
  hold(bytes: number): void {
    this.#connection.load.hold(this.#connection.usage, bytes)
    this.#held += bytes
  }

  /** Tells whoever reads the body, or will, that it does not come to its end. */
  failBody(error: SottoError): void {
    this.#fault = error
    this.#onFault?.(error)
  }

  /** Calls `then` when the body does not come to its end: at once, if that is known. */
  whenBodyFails(then: (error: SottoError) => void): void {
    this.#onFault = then
    if (this.#fault) then(this.#fault)
  }

  /** Whether the answer is written. */
  get answered(): boolean {
    return this.#ended
  }

  /** Writes the answer and ends the exchange. Throws `overloaded` when a long one cannot be held. */
  answer(answer: Answer): void {
    const { outgoing } = this
    if (!outgoing.destroyed && !outgoing.headersSent) {
      if (answer.body.length > UNCOUNTED_BYTES) this.hold(answer.body.length)
      const head = headOf(this.id, answer)
      // What comes after a refusal, Node reads and drops until the request's time is up.
      if (this.#connection.isLast(this)) head.push('Connection', 'close')
      outgoing.writeHead(answer.status, head)
      outgoing.end(answer.body)
    }
    this.end(answer.code)
  }

  /** Ends the exchange: nothing more is written, and what was has to be taken. It is counted as `code`. */
  end(code: Outcome): void {
    if (this.#ended) return
    this.#ended = true
    const subject = this.subject ?? subjectOf(this.incoming.url ?? '')
    this.#connection.traffic.note(subject, code, (performance.now() - this.#since) / 1000)
    if (this.outgoing.writableLength === 0) this.#leave()
    else this.#connection.whenTaken(this.outgoing, () => this.#leave())
  }

  #leave(): void {
    const { load, usage } = this.#connection
    if (this.#held > 0) load.release(usage, this.#held)
    if (this.#counted) load.leave(usage)
    this.#connection.leave()
  }
}
