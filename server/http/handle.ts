/**
 * The one way of a request: method, content type, browser guard, body, identity, decoding, the
 * service, the answer. Every method of the API is served by it.
 */
import type { IncomingMessage } from 'node:http'
import { asSottoError, errorTable, SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { Identity } from '../identity/identity.ts'
import type { Call, Gate } from '../gate/gate.ts'
import { answerFor, ok, unchanged } from './answer.ts'
import { readBody, textOf } from './body.ts'
import type { ErrorLog } from './error-log.ts'
import type { Subject } from './metrics.ts'
import type { Exchange } from './exchange.ts'

/** Does what a method is for and resolves with its answer as JSON text, or undefined for a 304. */
export type Act<R> = (call: Call, request: R) => Promise<string | undefined>

/** Serves one request on Node's own objects. Never rejects. */
export type Handler = (exchange: Exchange) => Promise<void>

/** What every request needs. */
export interface HandlerParts {
  readonly identity: Identity
  readonly gate: Gate
  /** Gets every error whose reason the caller does not see. */
  readonly errorLog: ErrorLog
}

const JSON_TYPES = new Set(['application/json', 'application/json; charset=utf-8'])

/** Makes the handler of one method, whose bodies `decode` reads or refuses. */
export function handlerOf<R>(
  parts: HandlerParts,
  subject: Subject,
  decode: (text: string) => R,
  act: Act<R>,
): Handler {
  return async function handle(exchange) {
    const { id, incoming } = exchange
    exchange.subject = subject
    try {
      checkHead(incoming)
      const bytes = await readBody(exchange)
      const caller = await identify(parts, exchange)
      const body = await act({ caller, request: id }, decode(textOf(bytes)))
      exchange.answer(body === undefined ? unchanged : ok(body))
    } catch (error) {
      refuse(parts.errorLog, exchange, error)
    }
  }
}

/** Answers that the request failed with `error`. */
export function refuse(errorLog: ErrorLog, exchange: Exchange, error: unknown): void {
  const known = asSottoError(error)
  if (errorTable[known.code].status >= 500) errorLog.note(exchange.id, known)
  exchange.answer(answerFor(known))
}

function checkHead({ method, headers }: IncomingMessage): void {
  if (method !== 'POST') {
    throw new SottoError('not_post', `The API answers to POST, and this is ${method}`)
  }
  if (!JSON_TYPES.has(headers['content-type'] ?? '')) {
    throw new SottoError('content_type', 'The Content-Type header must be application/json')
  }
  // Code that runs in a browser cannot set a header whose name begins with Sec-.
  if (headers['sec-x-tailscale-no-browsers'] !== 'setec') {
    throw new SottoError('browser', 'The header Sec-X-Tailscale-No-Browsers is missing or wrong')
  }
}

/**
 * Names the caller by where the request came from. Rejects with `unidentified`, which is then
 * recorded in the audit log, or with `overloaded`.
 */
export async function identify(parts: HandlerParts, exchange: Exchange): Promise<Caller> {
  const { id, connection, incoming } = exchange
  const peer = connection.peerOf(incoming)
  try {
    const caller = await parts.identity.identify(peer)
    connection.pin(caller)
    return caller
  } catch (error) {
    const address = 'unix' in peer ? (peer.forwardedFor ?? '') : peer.remoteAddress
    await parts.gate.unidentified(id, address, asSottoError(error).message)
    throw error
  }
}
