/** What leaves the server: answers of methods, and what an error looks like on the wire. */
import { STATUS_CODES } from 'node:http'
import { type ErrorCode, errorTable, type SottoError } from '../../client/api/errors.ts'
import { operatorActions, type Rule } from '../../client/api/types.ts'
import { allows } from '../access.ts'
import type { Outcome } from './metrics.ts'

/** An HTTP answer before it is written. */
export interface Answer {
  readonly status: number
  /** What it is counted as. */
  readonly code: Outcome
  readonly type: string
  /** In pieces where it is long; empty for an answer without a body. */
  readonly body: string | readonly Buffer[]
  /** Further header names and values, one after another. */
  readonly headers?: readonly string[]
}

/** What an error looks like on the wire, to a caller with `rules`. */
export type Refusal = (error: SottoError, rules?: readonly Rule[]) => Answer

/** Characters that the headers `Sotto-Detail` and `Sotto-Hint` may have. */
const DETAIL_LIMIT = 1024

/** The answer to a conditional get that finds nothing new. */
export const unchanged: Answer = { ...ok(''), status: 304, code: 'unchanged' }

/** The answer that a method succeeded, with its result as JSON text. */
export function ok(body: Answer['body']): Answer {
  return { status: 200, code: 'ok', type: 'application/json', body }
}

/**
 * The answer for `error` to a caller with `rules`: status and text from the table, the code in
 * `Sotto-Error`, and for errors whose reason the caller may know, the message in `Sotto-Detail` as JSON
 * in ASCII. `Sotto-Hint` says what to do: to operators, or where the hint is for every caller.
 */
export function answerFor(error: SottoError, rules: readonly Rule[] = []): Answer {
  const code = codeOf(error)
  const { status, text, open } = errorTable[code]
  const headers = ['Sotto-Error', code]
  const known = error.onlyFor === undefined || allows(rules, error.onlyFor, '')
  if (open && known) headers.push('Sotto-Detail', headerOf(error.message))
  const hint = error.callerHint ?? (open && known && isOperator(rules) ? error.hint : undefined)
  if (hint !== undefined) headers.push('Sotto-Hint', headerOf(hint))
  if (status === 503) headers.push('Retry-After', '1')
  return { status, code, type: 'text/plain; charset=utf-8', body: `${text}\n`, headers }
}

/** The code that a caller is told. */
export function codeOf({ code }: SottoError): ErrorCode {
  // An error that was never meant for the wire must not become an HTTP status of 0.
  return errorTable[code].status === 0 ? 'internal' : code
}

function isOperator(rules: readonly Rule[]): boolean {
  return operatorActions.some((action) => allows(rules, action, ''))
}

/** The headers of `answer` to the request `id`, names and values one after another. */
export function headOf(id: string, { status, type, body, headers = [] }: Answer): string[] {
  const head = commonHead(id, type)
  head.push(...headers)
  if (status !== 304 && status !== 204) head.push('Content-Length', String(bytesOf(body)))
  return head
}

/** The headers that every answer has. */
export function commonHead(id: string, type: string): string[] {
  const head = ['Content-Type', type, 'Cache-Control', 'no-store', 'X-Request-Id', id]
  head.push('X-Content-Type-Options', 'nosniff')
  return head
}

/** How many bytes `body` has. */
export function bytesOf(body: Answer['body']): number {
  if (typeof body === 'string') return Buffer.byteLength(body)
  return body.reduce((bytes, piece) => bytes + piece.length, 0)
}

/** `answer` as it is sent where Node has no request to answer; ends the connection. */
export function rawAnswer(id: string, answer: Answer): string {
  const head = [...headOf(id, answer), 'Connection', 'close']
  let text = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n`
  for (let at = 0; at < head.length; at += 2) text += `${head[at]}: ${head[at + 1]}\r\n`
  return `${text}\r\n${answer.body as string}`
}

/** `text` as JSON in ASCII, cut short with an ellipsis where it is too long. */
function headerOf(text: string): string {
  // A name may have as many characters as a body has.
  const whole = text.length <= DETAIL_LIMIT ? asciiJson(text) : undefined
  if (whole !== undefined && whole.length <= DETAIL_LIMIT) return whole
  const end = '\\u2026"'
  let short = '"'
  for (const character of text) {
    const piece = asciiJson(character).slice(1, -1)
    if (short.length + piece.length + end.length > DETAIL_LIMIT) break
    short += piece
  }
  return short + end
}

function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
