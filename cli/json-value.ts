/** Values of secrets that are JSON. Numbers stay as they are spelled. Nothing of a value is in an error. */
import { quote, SottoError } from '../client/api/errors.ts'

/** What stands for a number of JSON text, so that none loses digits. */
interface RawJson {
  readonly rawJSON: string
}

/** JSON as ECMAScript has it since 2025, which the types do not know. */
const json = JSON as unknown as {
  parse(
    text: string,
    revive: (key: string, value: unknown, context: { readonly source: string }) => unknown,
  ): unknown
  rawJSON(text: string): RawJson
  isRawJSON(value: unknown): value is RawJson
}

/**
 * What `value` is as JSON; undefined where it is not JSON. `ignoreBOM` takes a mark of the byte order at its begin for a part
 * of the text, which no JSON has.
 */
export function parsedJson(
  value: Uint8Array,
  ignoreBOM = true,
): { readonly value: unknown } | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM }).decode(value)
    const keep = (_: string, each: unknown, { source }: { readonly source: string }): unknown =>
      typeof each === 'number' ? json.rawJSON(source) : each
    return { value: json.parse(text, keep) }
  } catch {
    return undefined
  }
}

/** A number in what was parsed, as it was spelled; undefined for anything else. */
export function numberIn(value: unknown): string | undefined {
  return json.isRawJSON(value) ? value.rawJSON : undefined
}

/** The fields of `value` where that is a JSON object; undefined otherwise. */
export function jsonFields(value: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  const parsed = parsedJson(value)?.value
  return typeof parsed === 'object' && parsed !== null && typeOf(parsed) === 'object'
    ? new Map(Object.entries(parsed))
    : undefined
}

/** What kind of JSON a value is. */
export function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return json.isRawJSON(value) ? 'number' : typeof value
}

/**
 * One field of a value that is a JSON object: a string as it is, others as JSON. Throws `local` where it is none, and
 * `not_found` where it has no such field.
 */
export function fieldOf(value: Uint8Array, name: string, field: string): Uint8Array {
  const fields = jsonFields(value)
  if (!fields) {
    throw new SottoError(
      'local',
      `Cannot read a field of ${quote(name)}: its value is not a JSON object`,
    )
  }
  if (!fields.has(field)) {
    throw new SottoError('not_found', `There is no field ${quote(field)} in ${quote(name)}`, {
      hint: 'Fields are those of the JSON object itself, not of objects in it.',
    })
  }
  const found = fields.get(field)
  return Buffer.from(typeof found === 'string' ? found : JSON.stringify(found))
}
