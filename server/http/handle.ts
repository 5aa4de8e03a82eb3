/**
 * The one way of a request: method, content type, browser guard, body, identity, decoding, the
 * service, the answer. Every method of the API is served by it.
 */
import type { IncomingMessage } from 'node:http'
import { asSottoError, errorTable, SottoError } from '../../client/api/errors.ts'
import { isLabel } from '../../client/api/names.ts'
import type { Rule } from '../../client/api/types.ts'
import type { Caller } from '../access.ts'
import type { AnyPeer, Identity } from '../identity/identity.ts'
import type { Call, Gate } from '../gate/gate.ts'
import { type Answer, ok } from './answer.ts'
import { type Body, readBody, textOf } from './body.ts'
import type { ErrorLog } from './error-log.ts'
import type { SerialQueue } from './fair-queue.ts'
import { turns } from '../platform/turns.ts'
import type { Subject } from './metrics.ts'
import type { Exchange } from './exchange.ts'
import { isJson } from './media-type.ts'

/** In place of an answer: the handler writes it by itself. */
export const streaming = Symbol('streaming')

/** Does what a method is for and resolves with its answer, whole or as JSON text. */
export type Act<R> = (
  call: Call,
  request: R,
  exchange: Exchange,
) => Promise<Answer | Answer['body'] | typeof streaming>

/** What one method does with a request. */
export interface Verb<R> {
  /** Rejects with `denied` where that can be said before the body, of so many bytes, is decoded. */
  readonly demand?: (call: Call, bytes: number) => Promise<unknown>
  /** Reads a body, or throws; yields where it may rest. */
  readonly decode: (text: string) => Generator<void, R>
  readonly act: Act<R>
}

/** Serves one request on Node's own objects. Never rejects. */
export type Handler = (exchange: Exchange) => Promise<void>

/** What every request needs. */
export interface HandlerParts {
  readonly identity: Identity<AnyPeer>
  readonly gate: Gate
  /** Gets every error whose reason the caller does not see. */
  readonly errorLog: ErrorLog
  /** Where bodies wait that take long to decode. */
  readonly decoding: SerialQueue
}

/** A body of more bytes is decoded in parts. */
const LONG_BODY_BYTES = 64 * 1024

/** Makes the handler of one method. */
export function handlerOf<R>(
  parts: HandlerParts,
  subject: Subject,
  { demand, decode, act }: Verb<R>,
): Handler {
  return async function handle(exchange) {
    const { id, incoming } = exchange
    exchange.subject = subject
    let call: Call | undefined
    try {
      checkHead(incoming)
      const read = await readBody(exchange)
      const caller = await identify(parts, exchange)
      call = { caller, request: id, client: labelOf(incoming) }
      if (demand) await demand(call, read.bytes)
      const decoded =
        read.bytes > LONG_BODY_BYTES
          ? await parts.decoding.run(exchange.usage.address, () =>
              turns.finish(decodingOf(read, decode)),
            )
          : atOnce(decode(textOf(read)))
      const answer = await act(call, decoded, exchange)
      if (answer === streaming) return
      exchange.answer(typeof answer === 'object' && 'status' in answer ? answer : ok(answer))
    } catch (error) {
      if (call) await parts.gate.failed(call, error)
      refuse(parts.errorLog, exchange, error, call?.caller.rules)
    }
  }
}

function* decodingOf<R>(body: Body, decode: Verb<R>['decode']): Generator<void, R> {
  const text = textOf(body)
  yield
  return yield* decode(text)
}

function atOnce<R>(work: Generator<void, R>): R {
  let step = work.next()
  while (step.done !== true) step = work.next()
  return step.value
}

/** Answers that the request failed with `error`; a caller has `rules`. */
export function refuse(
  errorLog: ErrorLog,
  exchange: Exchange,
  error: unknown,
  rules?: readonly Rule[],
): void {
  const known = asSottoError(error)
  if (errorTable[known.code].status >= 500) errorLog.note(exchange.id, known)
  exchange.answer(exchange.refusal(known, rules))
}

function checkHead({ method, headers }: IncomingMessage): void {
  if (method !== 'POST') {
    throw new SottoError('not_post', `The API answers to POST, and this is ${method}`)
  }
  if (!isJson(headers['content-type'] ?? '')) {
    throw new SottoError('content_type', 'The Content-Type header must be application/json')
  }
  // Code that runs in a browser cannot set a header whose name begins with Sec-.
  if (headers['sec-x-tailscale-no-browsers'] !== 'setec') {
    throw new SottoError('browser', 'The header Sec-X-Tailscale-No-Browsers is missing or wrong', {
      callerHint: 'This API needs the header `Sec-X-Tailscale-No-Browsers: setec`.',
    })
  }
}

/** What the program says of itself; undefined where it says nothing that is a label. */
function labelOf({ headers }: IncomingMessage): string | undefined {
  const given = headers['sotto-client']
  return typeof given === 'string' && isLabel(given) ? given : undefined
}

/**
 * Names the caller by where the request came from. Rejects with `unidentified`, which is then
 * recorded in the audit log, or with `overloaded`.
 */
export async function identify(
  parts: Pick<HandlerParts, 'identity' | 'gate'>,
  exchange: Exchange,
): Promise<Caller> {
  const { id, connection, incoming } = exchange
  const peer = connection.peerOf(incoming)
  try {
    const caller = await parts.identity.identify(peer)
    connection.pin(caller)
    return caller
  } catch (error) {
    const address = 'remoteAddress' in peer ? peer.remoteAddress : exchange.usage.address
    await parts.gate.unidentified(id, address, asSottoError(error).message)
    throw error
  }
}
