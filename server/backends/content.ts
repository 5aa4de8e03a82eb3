/** What other readers see of a value: an object of fields, in one canonical spelling. */

/** A field that other readers may have by its name. */
type Scalar = string | number | boolean

/** What other readers see of a value. */
export interface Content {
  readonly fields: Readonly<Record<string, Scalar>>
  /** The fields as canonical JSON. The caller of `contentOf` zeroes them. */
  readonly bytes: Buffer
}

/**
 * The content of `value`: a JSON object of scalars as its fields, other UTF-8 as the field `value`, other
 * bytes in Base64 as the field `value_b64`. Order and spelling are lost on the way, so a value is never made
 * from its content. An object that is empty, or has `null` or a number that JavaScript would spell
 * differently, is text like any other.
 */
export function contentOf(value: Uint8Array): Content {
  const text = textOf(value)
  const fields =
    text === undefined
      ? { value_b64: Buffer.from(value).toString('base64') }
      : (fieldsIn(text) ?? { value: text })
  return { fields, bytes: canonical(fields) }
}

/** JSON with the keys of each object in the order of their UTF-16 units. The caller zeroes the result. */
export function canonical(value: unknown): Buffer {
  return Buffer.from(spelled(value))
}

function textOf(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch {
    return undefined
  }
}

function fieldsIn(text: string): Readonly<Record<string, Scalar>> | undefined {
  if (!text.trimStart().startsWith('{')) return undefined
  let exact = true
  try {
    const parsed = parseWithSource(text, (_key, value, context) => {
      // A number that is too large or too fine for JavaScript would become another one.
      if (typeof value === 'number') exact &&= context.source === String(value)
      return value
    })
    return exact && isFields(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** The types of the platform do not have `source` yet. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown

function isFields(value: unknown): value is Readonly<Record<string, Scalar>> {
  const entries = Object.entries(value as object)
  return entries.length > 0 && entries.every(([key, each]) => key !== '' && isScalar(each))
}

function isScalar(value: unknown): value is Scalar {
  if (typeof value === 'string') return value.isWellFormed()
  return typeof value === 'number' || typeof value === 'boolean'
}

function spelled(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spelled).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, each]) => `${JSON.stringify(key)}:${spelled(each)}`).join(',')}}`
}
