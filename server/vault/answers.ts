/** What answers look like on the surface: the envelope, the errors and the spelling of OpenBao 2.4. */
import type { SottoError } from '../../client/api/errors.ts'
import type { Rule } from '../../client/api/types.ts'
import { canonical } from '../backends/content.ts'
import { type Answer, answerFor } from '../http/answer.ts'
import type { Outcome } from '../http/metrics.ts'

const DENIED = '1 error occurred:\n\t* permission denied\n\n'

/** What a caller without a right is told: of a secret, whether it exists or not. */
export const denied: Answer = errorsOf(403, 'denied', DENIED)

/** What is not there. It has no text, so that clients tell it from a wrong path. */
export const nothing: Answer = errorsOf(404, 'not_found')

/** An operation that a path does not have; here all that would write are among them. */
export const unsupported: Answer = errorsOf(
  405,
  'no_such_method',
  '1 error occurred:\n\t* unsupported operation\n\n',
)

/** As `unsupported`, of a path that is not in an engine. */
export const notAllowed: Answer = errorsOf(405, 'no_such_method')

/** The answer with `status` that has `errors`, counted as `code`. */
export function errorsOf(status: number, code: Outcome, ...errors: readonly string[]): Answer {
  return plain({ errors }, status, code)
}

/** The answer for `error` to a caller with `rules`: as the API has it, with a body as OpenBao's. */
export function refusalOf(error: SottoError, rules?: readonly Rule[]): Answer {
  const answer = answerFor(error, rules)
  const { status, code, headers = [] } = answer
  if (code === 'not_found') return { ...nothing, headers }
  if (code === 'denied') return { ...denied, headers }
  return { ...errorsOf(status, code, String(answer.body).trimEnd()), headers }
}

/** An answer that is `body` alone, without an envelope. */
export function plain(body: object, status = 200, code: Outcome = 'ok'): Answer {
  const text = `${spelled(JSON.stringify(body))}\n`
  return { status, code, type: 'application/json', body: text }
}

/** What an envelope is around; what is absent is null in it. */
export interface Enclosed {
  /** As JSON, where it is text. */
  readonly data?: object | string
  readonly auth?: object
  readonly warnings?: readonly string[]
}

/** The answer to the request `id`: an envelope around what it gives. */
export function envelope(id: string, { data = 'null', auth, warnings }: Enclosed): Answer {
  const fields = [
    `"request_id":"${id}"`,
    '"lease_id":"","renewable":false,"lease_duration":0',
    `"data":${typeof data === 'string' ? data : jsonOf(data)}`,
    '"wrap_info":null',
    `"warnings":${JSON.stringify(warnings ?? null)}`,
    `"auth":${JSON.stringify(auth ?? null)}`,
  ]
  const body = `${spelled(`{${fields.join(',')}}`)}\n`
  return { status: 200, code: 'ok', type: 'application/json', body }
}

/** JSON as Go has it of a map: with its keys in order. */
export function jsonOf(map: object): string {
  return canonical(map).toString()
}

/** An answer without a body. */
export const empty: Answer = { status: 204, code: 'ok', type: 'application/json', body: '' }

/** JSON as Go's encoder spells it. */
function spelled(json: string): string {
  return json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
