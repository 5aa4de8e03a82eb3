/** What leaves the server: answers of methods, and what an error looks like on the wire. */
import { STATUS_CODES } from 'node:http'
import { errorTable, type SottoError } from '../../client/api/errors.ts'
import type { Outcome } from './metrics.ts'

/** An HTTP answer before it is written. */
export interface Answer {
  readonly status: number
  /** What it is counted as. */
  readonly code: Outcome
  readonly type: string
  /** Empty for an answer without a body. */
  readonly body: string
  /** Further header names and values, one after another. */
  readonly headers?: readonly string[]
}

/** Characters that the `Sotto-Detail` header may have. */
const DETAIL_LIMIT = 1024

/** The answer to a conditional get that finds nothing new. */
export const unchanged: Answer = { ...ok(''), status: 304, code: 'unchanged' }

/** The answer that a method succeeded, with its result as JSON text. */
export function ok(body: string): Answer {
  return { status: 200, code: 'ok', type: 'application/json', body }
}

/**
 * The answer for `error`: status and text from the table, the code in `Sotto-Error`, and for errors
 * whose reason the caller may know, the message in `Sotto-Detail` as JSON in ASCII.
 */
export function answerFor(error: SottoError): Answer {
  // An error that was never meant for the wire must not become an HTTP status of 0.
  const code = errorTable[error.code].status === 0 ? 'internal' : error.code
  const { status, text, open } = errorTable[code]
  const headers = ['Sotto-Error', code]
  if (open) headers.push('Sotto-Detail', detailOf(error.message))
  if (status === 503) headers.push('Retry-After', '1')
  return { status, code, type: 'text/plain; charset=utf-8', body: `${text}\n`, headers }
}

/** The headers of `answer` to the request `id`, names and values one after another. */
export function headOf(id: string, { status, type, body, headers = [] }: Answer): string[] {
  const head = ['Content-Type', type, 'Cache-Control', 'no-store', 'X-Request-Id', id]
  head.push('X-Content-Type-Options', 'nosniff', ...headers)
  if (status !== 304) head.push('Content-Length', String(Buffer.byteLength(body)))
  return head
}

/** `answer` as it is sent where Node has no request to answer; ends the connection. */
export function rawAnswer(id: string, answer: Answer): string {
  const head = [...headOf(id, answer), 'Connection', 'close']
  let text = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n`
  for (let at = 0; at < head.length; at += 2) text += `${head[at]}: ${head[at + 1]}\r\n`
  return `${text}\r\n${answer.body}`
}

/** `message` as JSON in ASCII, cut short with an ellipsis where it is too long. */
function detailOf(message: string): string {
  const whole = asciiJson(message)
  if (whole.length <= DETAIL_LIMIT) return whole
  const end = '\\u2026"'
  let short = '"'
  for (const character of message) {
    const piece = asciiJson(character).slice(1, -1)
    if (short.length + piece.length + end.length > DETAIL_LIMIT) break
    short += piece
  }
  return short + end
}

function asciiJson(message: string): string {
  return JSON.stringify(message).replace(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
