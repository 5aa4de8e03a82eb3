/**
 * The one way of a request: load, method, content type, browser guard, body, identity, decoding, the
 * service, the answer. Every method of the API is served by it.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asSottoError, errorTable, SottoError } from '../../client/api/errors.ts'
import { decodeRequest, type MethodName, type Request } from '../../client/api/wire.ts'
import type { Identity } from '../identity/identity.ts'
import type { Call, Gate } from '../secrets/gate.ts'
import { readBody } from './body.ts'
import { type Answer, answerFor } from './errors.ts'
import type { Load } from './load.ts'

/** Does what a method is for and resolves with its answer as JSON text, or undefined for a 304. */
export type Act<M extends MethodName> = (
  call: Call,
  request: Request<M>,
) => Promise<string | undefined>

/** Serves one request on Node's own objects. */
export type Handler = (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>

/** What every request needs. */
export interface HandlerParts {
  readonly identity: Identity
  readonly gate: Gate
  readonly load: Load
  /** Told of every fault whose reason the caller is not told. */
  readonly logFault: (fault: { request: string; code: string; message: string }) => void
}

const JSON_TYPES = new Set(['application/json', 'application/json; charset=utf-8'])

/** Makes the handler of one method. */
export function handlerOf<M extends MethodName>(
  parts: HandlerParts,
  method: M,
  act: Act<M>,
): Handler {
  return async function handle(incoming, outgoing) {
    const id = nextRequestId()
    const address = incoming.socket.remoteAddress ?? ''
    let entered = false
    try {
      parts.load.enter(address)
      entered = true
      checkHead(incoming)
      const text = await readBody(incoming)
      const caller = await identify(parts, id, incoming)
      const body = await act({ caller, request: id }, decodeRequest(method, text))
      write(parts, outgoing, id, body === undefined ? unchanged : ok(body))
    } catch (error) {
      const known = asSottoError(error)
      if (errorTable[known.code].status >= 500) parts.logFault(faultOf(id, known))
      write(parts, outgoing, id, answerFor(known))
    } finally {
      if (entered) parts.load.leave(address)
    }
  }
}

const unchanged: Answer = { status: 304, type: 'application/json', body: '' }

function ok(body: string): Answer {
  return { status: 200, type: 'application/json', body }
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

async function identify(parts: HandlerParts, id: string, { socket }: IncomingMessage) {
  const { remoteAddress = '', localPort = 0 } = socket
  try {
    return await parts.identity.identify({ remoteAddress, localPort })
  } catch (error) {
    await parts.gate.unidentified(id, remoteAddress, asSottoError(error).message)
    throw error
  }
}

function write(
  parts: HandlerParts,
  outgoing: ServerResponse,
  id: string,
  { status, type, body, headers = [] }: Answer,
): void {
  if (outgoing.destroyed) return
  const head = ['Content-Type', type, 'Cache-Control', 'no-store', 'X-Request-Id', id, ...headers]
  if (status !== 304) head.push('Content-Length', String(Buffer.byteLength(body)))
  // What comes after a refusal, Node reads and drops until the request's time is up.
  if (parts.load.closing) head.push('Connection', 'close')
  outgoing.writeHead(status, head)
  outgoing.end(body)
}

function faultOf(request: string, error: SottoError): Parameters<HandlerParts['logFault']>[0] {
  const { cause } = error
  const under = cause instanceof Error ? `: ${cause.name}: ${cause.message}` : ''
  return { request, code: error.code, message: `${error.message}${under}` }
}

const boot = randomBytes(6).toString('hex')
let requests = 0

/** Request ids name the run of the server and count within it. */
function nextRequestId(): string {
  requests++
  return `${boot}-${requests.toString(36)}`
}
