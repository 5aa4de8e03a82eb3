/** What another service said, as messages pass it on. */
import { quote } from '../../client/api/errors.ts'

/** Maximum length, in characters. */
const MAX_SAID = 400

/** `text` on one line, bounded and in quotes. Nothing in it moves a terminal or hides from a reader. */
export function said(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, ' ')
  const bounded = line.length > MAX_SAID ? `${line.slice(0, MAX_SAID)}…` : line
  return quote(bounded).replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`,
  )
}
