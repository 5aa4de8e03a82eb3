/** A YAML mapping. Everything is in double quotes: else `no`, `1e3` and `~` are not texts. */
import { type Format, linesOf } from './format.ts'
import { documentRefusal, documentText } from './json.ts'

export const yaml: Format = {
  reader: 'readers of YAML',
  refusal: documentRefusal,
  write: (entries, options) =>
    entries.length === 0
      ? Buffer.from('{}\n')
      : linesOf(
          entries,
          (each) => `${quoted(each.variable)}: ${quoted(documentText(each, options))}`,
        ),
}

/** What a string of JSON may have as it is, and readers of YAML refuse or take for a line break. */
const unprintable = /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g

function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(
    unprintable,
    (each) => String.raw`\u` + each.charCodeAt(0).toString(16).padStart(4, '0'),
  )
}
