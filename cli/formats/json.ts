/** One JSON object: for jq, and any program. */
import { type Entry, type Format, type FormatOptions, textOf } from './format.ts'
import { isUtf8 } from 'node:buffer'
import { base64 } from '../../client/api/base64.ts'

export const json: Format = {
  reader: 'jq and programs',
  refusal: documentRefusal,
  write: (entries, options) => {
    const fields = entries.map((each) => [each.variable, documentText(each, options)])
    return Buffer.from(`${JSON.stringify(Object.fromEntries(fields))}\n`)
  },
}

/** Why an entry cannot be in a document of text. */
export function documentRefusal(
  { value }: Entry,
  { base64: encoded = false }: FormatOptions,
): string | undefined {
  return encoded || isUtf8(value)
    ? undefined
    : 'it is not text in UTF-8: --base64 encodes all values'
}

/** The value as such a document has it. */
export function documentText(entry: Entry, { base64: encoded = false }: FormatOptions): string {
  return encoded ? base64(entry.value) : textOf(entry)
}
