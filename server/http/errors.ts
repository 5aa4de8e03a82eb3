/** What an error looks like on the wire. */
import { errorTable, type SottoError } from '../../client/api/errors.ts'

/** An HTTP answer before it is written. */
export interface Answer {
  readonly status: number
  readonly type: string
  /** Empty for an answer without a body. */
  readonly body: string
  /** Further header names and values, one after another. */
  readonly headers?: readonly string[]
}

/** Bytes that the `Sotto-Detail` header may have. */
const DETAIL_LIMIT = 1024

/**
 * The answer for `error`: status and text from the table, the code in `Sotto-Error`, and for errors
 * whose reason the caller may know, the message in `Sotto-Detail` as JSON in ASCII.
 */
export function answerFor(error: SottoError): Answer {
  // An error that was never meant for the wire must not become an HTTP status of 0.
  const known = errorTable[error.code].status === 0 ? errorTable.internal : errorTable[error.code]
  const headers = ['Sotto-Error', error.code, 'X-Content-Type-Options', 'nosniff']
  if (known.open) headers.push('Sotto-Detail', asciiJson(error.message).slice(0, DETAIL_LIMIT))
  if (known.status === 503) headers.push('Retry-After', '1')
  return {
    status: known.status,
    type: 'text/plain; charset=utf-8',
    body: `${known.text}\n`,
    headers,
  }
}

function asciiJson(message: string): string {
  return JSON.stringify(message).replace(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
