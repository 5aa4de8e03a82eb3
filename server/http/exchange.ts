/** One request from its arrival until its answer was taken: its id, what it holds, its answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { Peer } from '../identity/identity.ts'
import { nextRequestId } from '../platform/request-id.ts'
import { type Answer, headOf } from './answer.ts'
import type { AddressUsage, Load } from './load.ts'
import type { Outcome, Subject } from './metrics.ts'
import { subjectOf, type Traffic } from './traffic.ts'

/** Bytes of a body or an answer that are not counted: the number of requests bounds them. */
export const UNCOUNTED_BYTES = 16 * 1024

/** What a request needs of its connection. */
export interface ExchangeConnection {
  /** What the address that it came from has in use. */
  readonly usage: AddressUsage
  /** Where a request on the connection came from, for the network to say who that is. */
  peerOf(incoming: IncomingMessage): Peer
  /** Holds the connection to the node that it was first named after. Throws `unidentified` for another. */
  pin(caller: Caller): void
  /** Whether the connection ends after the answer of `exchange`. */
  isLast(exchange: Exchange): boolean
  /** Reads nothing for a while. */
  rest(): void
  /** Ends an exchange: calls `then` once the peer took `outgoing`, or cannot any more. */
  whenTaken(outgoing: ServerResponse, then: () => void): void
}

/** What requests are counted in. */
export interface ExchangeParts {
  readonly load: Load
  readonly traffic: Traffic
}

/** A request that is being served. */
export class Exchange {
  /** Names the run of the server and counts within it. The answer and the audit record have it. */
  readonly id: string = nextRequestId()
  readonly connection: ExchangeConnection
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** What the request is for; its handler sets it. */
  subject: Subject | undefined
  readonly #parts: ExchangeParts
  /** By `performance.now()`. */
  readonly #since: number = performance.now()
  #counted = false
  #held = 0
  #ended = false
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
    this.#parts = parts
  }

  /** Counts the request, or throws `overloaded` or `shutting_down`. */
  enter(): void {
    try {
      this.#parts.load.enter(this.connection.usage)
    } catch (error) {
      this.connection.rest()
      throw error
    }
    this.#counted = true
  }

  /** Counts bytes that the request keeps until its answer was taken, or throws `overloaded`. */
  hold(bytes: number): void {
    this.#parts.load.hold(this.connection.usage, bytes)
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
      // Without it Node reads and drops what comes after a refusal until the request's time is up.
      if (this.connection.isLast(this)) head.push('Connection', 'close')
      outgoing.writeHead(answer.status, head)
      outgoing.end(answer.body)
    }
    this.end(answer.code)
  }

  /** Ends the exchange: nothing more is written, and what was has to be taken. It is counted as `code`. */
  end(code: Outcome): void {
    if (this.#ended) return
    this.#ended = true
    const { load, traffic } = this.#parts
    const subject = this.subject ?? subjectOf(this.incoming.url ?? '')
    traffic.note(subject, code, (performance.now() - this.#since) / 1000)
    this.connection.whenTaken(this.outgoing, () => {
      const { usage } = this.connection
      if (this.#held > 0) load.release(usage, this.#held)
      if (this.#counted) load.leave(usage)
    })
  }
}
