/** `sotto help error CODE`: what an error means, and what to do. docs/reference/errors.md has the same words. */
import { type ErrorCode, errorTable, quote, SottoError } from '../client/api/errors.ts'
import { nearest } from '../client/api/nearest.ts'
import { cures } from './cures.ts'
import { definitions, filled } from './terminal/layout.ts'

/** Every code, in the order of the table, with what it means. */
export const errorMeanings: readonly (readonly [code: string, meaning: string])[] = Object.entries(
  errorTable,
).map(([code, { meaning }]) => [code, meaning])

/** What is said of an error code, or, without one, of all of them. Throws `usage` for one that is not in the table. */
export function helpForError(code: string | undefined, width: number): string {
  if (code === undefined) {
    return `Usage: sotto help error CODE

Codes, which \`-o json\` prints and the header Sotto-Error has:
${definitions(errorMeanings, width)}`
  }
  if (!isCode(code)) throw unknownCode(code)
  return `${code}: ${looksOf(code)}

${filled(errorTable[code].meaning, width)}
${filled(cures[code], width)}
`
}

/** How an error looks from outside, such as `HTTP 403 "access denied", exit code 4`. */
function looksOf(code: ErrorCode): string {
  const { status, text, exit } = errorTable[code]
  const http = status === 0 ? '' : `HTTP ${status}${text === '' ? '' : ` ${quote(text)}`}, `
  return `${http}exit code ${exit}`
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

function unknownCode(code: string): SottoError {
  const meant = nearest(code, Object.keys(errorTable))
  const hint =
    meant === undefined ? 'Run `sotto help error` for the list.' : `Did you mean ${quote(meant)}?`
  return new SottoError('usage', `There is no error ${quote(code)}`, { hint })
}
