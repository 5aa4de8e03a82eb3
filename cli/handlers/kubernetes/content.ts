/** The content of a Secret, made of what Sotto says. */
import { contentOf } from '../../../server/backends/content.ts'
import type { Definition, Entry } from './definition.ts'
import type { Known } from './values.ts'

/** What became of one key. */
export type Made =
  | { readonly state: 'value'; readonly base64: string; readonly version: number }
  | { readonly state: 'denied' | 'missing' | 'unknown' }
  /** There is a value, and not what is asked for of it; `why` has nothing of it. */
  | { readonly state: 'unfit'; readonly why: string }

/** What became of each key, in their order. */
export type Content = ReadonlyMap<string, Made>

/** The content that a definition asks for. */
export function contentFor({ entries }: Definition, find: (entry: Entry) => Known): Content {
  return new Map(entries.map((entry) => [entry.key, made(entry, find(entry))]))
}

function made({ field, isBase64 }: Entry, known: Known): Made {
  if (known.state !== 'value') return known
  const { version } = known
  let bytes: Uint8Array = known.bytes
  if (field !== undefined) {
    const { fields, bytes: spelled } = contentOf(bytes)
    spelled.fill(0)
    if (!Object.hasOwn(fields, field))
      return { state: 'unfit', why: `it has no field ${JSON.stringify(field)}` }
    bytes = Buffer.from(String(fields[field]))
  }
  if (!isBase64) return { state: 'value', base64: Buffer.from(bytes).toString('base64'), version }
  const text = Buffer.from(bytes).toString('latin1').trim()
  const decoded = Buffer.from(text, 'base64')
  // Node decodes what is not Base64, too.
  if (decoded.toString('base64') !== text) return { state: 'unfit', why: 'it is not Base64' }
  return { state: 'value', base64: text, version }
}
