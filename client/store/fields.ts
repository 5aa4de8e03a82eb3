/** Several secrets at once, each read as what it is: a text, bytes, JSON of a known shape. */
import { quote, SottoError } from '../api/errors.ts'
import type { Secret } from './secret.ts'
import type { Store } from './store.ts'

/** Reads a value. Throws a SottoError without any of the value where it cannot. */
export interface Field<T> {
  readonly read: (value: Uint8Array) => T
}

/** A schema of zod, as far as it is used: the package itself is not loaded. */
interface Schema<T> {
  safeParse(input: unknown): {
    readonly success: boolean
    readonly data?: T
    readonly error?: { readonly issues: readonly { readonly code?: string }[] }
  }
}

/** What each key is: a field, or a schema that is given the text. */
export type Shape = Readonly<Record<string, Field<unknown> | Schema<unknown>>>

/** What a shape reads. */
export type Fields<S extends Shape> = {
  readonly [K in keyof S]: S[K] extends Field<infer T> | Schema<infer T> ? T : never
}

/** The value as it is. */
export const bytes: Field<Uint8Array> = { read: (value) => value }

/** The value as text in UTF-8. */
export const text: Field<string> = { read: textOf }

/** The value as JSON, checked by a schema of zod where there is one. */
export function json<T = unknown>(schema?: Schema<T>): Field<T> {
  return {
    read: (value) => {
      const parsed = parseJson(textOf(value))
      return schema ? checked(schema, parsed) : (parsed as T)
    },
  }
}

/**
 * Reads the secret named `prefix` and the key for each key of `shape`, as they are now. Secrets that the store does not hold are looked
 * up, where it takes lookups. Rejects with the first failure of a lookup, and with `usage` for what cannot be read: it
 * names all of those, and nothing of a value.
 */
export async function fields<S extends Shape>(
  store: Store,
  shape: S,
  { prefix = '' }: { readonly prefix?: string } = {},
): Promise<Fields<S>> {
  const handles = await Promise.all(
    Object.keys(shape).map(async (key) => [key, await handleOf(store, prefix + key)] as const),
  )
  const faults: string[] = []
  const read = handles.flatMap(([key, handle]) => {
    try {
      return [[key, readAs(shape[key] as Shape[string], handle.bytes())] as const]
    } catch (error) {
      // What a field of the program throws may repeat the value.
      const why = error instanceof SottoError ? error.message : 'it cannot be read'
      faults.push(`${quote(handle.name)}: ${why}`)
      return []
    }
  })
  if (faults.length > 0) {
    throw new SottoError('usage', `Cannot read the secrets as they should be: ${faults.join('; ')}`)
  }
  return Object.fromEntries(read) as Fields<S>
}

function handleOf(store: Store, name: string): Secret | Promise<Secret> {
  return store.takesLookups ? store.lookup(name) : store.secret(name)
}

function readAs(field: Shape[string], value: Uint8Array): unknown {
  return 'read' in field ? field.read(value) : checked(field, textOf(value))
}

function checked<T>(schema: Schema<T>, input: unknown): T {
  const result = schema.safeParse(input)
  if (result.success) return result.data as T
  // The words of an issue may repeat the value, and so may its path: the keys of a record are data.
  const codes = new Set(result.error?.issues.map(({ code = 'custom' }) => code))
  throw new SottoError('usage', `it does not fit its schema (${[...codes].join(', ')})`)
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    throw new SottoError('usage', 'it is not JSON')
  }
}

function textOf(value: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch {
    throw new SottoError('usage', 'it is not text in UTF-8')
  }
}
