/** How a secret is referred to: `prod/app/key#field@3`. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { MAX_VERSION } from '../../client/api/types.ts'
import { numberIn, parsedJson } from '../json-value.ts'

/** A secret, or a part of one. */
export interface Reference {
  readonly secret: string
  /** The keys that lead to a part of its JSON; none for the whole value. */
  readonly field: readonly string[]
  /** 0 is the active version. */
  readonly version: number
}

/** What a reference in a file begins with. */
export const SCHEME = 'sotto://'

/** Reads `text`, without the scheme. `where` begins the error, as `Cannot use -e "DB_URL"` does. Throws `usage`. */
export function parseReference(text: string, where: string): Reference {
  const [, name = '', field, digits] = /^([^#]*?)(?:#(.*?))?(?:@(\d+))?$/s.exec(text) ?? []
  const version = Number(digits ?? 0)
  if (name === '') throw new SottoError('usage', `${where}: it names no secret`)
  if (field === '') throw new SottoError('usage', `${where}: no field follows #`)
  if (digits !== undefined && (version < 1 || version > MAX_VERSION)) {
    throw new SottoError('usage', `${where}: expected a version from 1 to ${MAX_VERSION} after @`)
  }
  return {
    secret: unescaped(name, where),
    field: field?.split('.').map((key) => unescaped(key, where)) ?? [],
    version,
  }
}

/** Whether two references are the same. */
export function isSame(a: Reference, b: Reference): boolean {
  return (
    a.secret === b.secret && a.version === b.version && a.field.join('\0') === b.field.join('\0')
  )
}

/** What the field of a value says, as bytes. Throws `usage` without any of the value. */
export function fieldOf(value: Uint8Array, { secret, field }: Reference): Uint8Array {
  if (field.length === 0) return value
  const fault = (why: string): SottoError =>
    new SottoError(
      'usage',
      `Cannot use the field ${quote(field.join('.'))} of ${quote(secret)}: ${why}`,
    )
  const parsed = parsedJson(value, false)
  if (!parsed) throw fault('the value is not JSON')
  let at = parsed.value
  for (const key of field) {
    const isHolder = typeof at === 'object' && at !== null && numberIn(at) === undefined
    if (!isHolder || !Object.hasOwn(at as object, key)) throw fault('there is no such field')
    at = (at as Record<string, unknown>)[key]
  }
  const digits = numberIn(at)
  if (digits !== undefined) return Buffer.from(digits)
  if (typeof at === 'string' && at.isWellFormed()) return Buffer.from(at)
  if (typeof at === 'boolean') return Buffer.from(String(at))
  throw fault(
    at === null
      ? 'it is null'
      : typeof at === 'string'
        ? 'it is not text'
        : 'it has fields of its own',
  )
}

function unescaped(text: string, where: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new SottoError('usage', `${where}: % is not followed by two digits of a character`, {
      hint: 'Write %25 for a % in a name.',
    })
  }
}
