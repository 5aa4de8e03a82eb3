/**
 * What a store keeps between runs of a program, so that it starts while no server answers. A cache is a copy of secrets:
 * there is none unless the program asks for it.
 */
import { decoders, isObject } from '../answer.ts'
import { base64 } from '../api/base64.ts'
import type { SecretValue } from '../api/types.ts'

/** A secret as a cache has it. Times are in whole seconds since 1970. */
export interface CachedSecret {
  readonly name: string
  readonly value: SecretValue
  /** When the program last used it. */
  readonly lastAccess: number
  /** When the server last said that this version is the active one; undefined where the cache does not say. */
  readonly checked: number | undefined
  /** The branch of the server's store that it is of; absent where nobody knows. */
  readonly branch?: string | undefined
}

/** What a cache gave back. */
export interface CacheContent {
  readonly secrets: readonly CachedSecret[]
  /** What had to be left out, in words that name no value. */
  readonly faults: readonly string[]
}

/** Keeps the secrets of one store. */
export interface Cache {
  /** What the person who runs the program should know of it, once, when it is opened. */
  readonly notice?: string
  /**
   * What was last written for `server`; nothing where nothing was. Rejects with a SottoError, `key_exposed` or `local`,
   * for a file that cannot be used.
   */
  read(server: string): Promise<CacheContent>
  /** Replaces all of it. Rejects with a SottoError; then what was there before is still there. */
  write(server: string, secrets: readonly CachedSecret[]): Promise<void>
}

/** A cache in memory, which outlives a store and not the program. `text` is in the format of `encodeCache`. */
export function memoryCache(text = '{}'): Cache & { readonly text: () => string } {
  let kept = text
  return {
    text: () => kept,
    read: async () => decodeCache(kept),
    write: async (_, secrets) => {
      kept = encodeCache(secrets)
    },
  }
}

/**
 * In setec's format, `{"NAME": {"secret": {"Value", "Version"}, "lastAccess"}}`, with two fields more, `checked` and `branch`,
 * which its clients do not read. Times are texts, as Go writes a number that is marked as one.
 */
export function encodeCache(secrets: readonly CachedSecret[]): string {
  const entries = secrets.map(({ name, value, lastAccess, checked, branch }) => {
    const secret = { Value: base64(value.Value), Version: value.Version }
    const times = { lastAccess: String(lastAccess) }
    return [
      name,
      {
        secret,
        ...times,
        ...(checked !== undefined && { checked: String(checked) }),
        ...(branch !== undefined && { branch }),
      },
    ] as const
  })
  return JSON.stringify(Object.fromEntries(entries))
}

/**
 * Reads what `encodeCache` or a client of setec wrote. A damaged entry is left out, and the others are kept. What setec
 * keeps of a secret of which it has given versions alone is not damaged, and not used.
 */
export function decodeCache(text: string): CacheContent {
  const entries = readEntries(text)
  if (entries === undefined) return { secrets: [], faults: ['it is not a cache of secrets'] }
  const secrets: CachedSecret[] = []
  const faults: string[] = []
  for (const [name, entry] of entries) {
    const value = readValue(entry['secret'])
    if (name !== '' && value) {
      const lastAccess = readSeconds(entry['lastAccess']) ?? 0
      const checked = readSeconds(entry['checked'])
      secrets.push({ name, value, lastAccess, checked, ...readBranch(entry) })
    } else if (entry['secret'] !== null || !isObject(entry['versions']))
      faults.push(`its entry ${JSON.stringify(name)} is damaged`)
  }
  return { secrets, faults }
}

/** The entries of a JSON object of objects; undefined for anything else. What is not an object counts as empty. */
export function readEntries(text: string): [name: string, Record<string, unknown>][] | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(parsed)) return undefined
  return Object.entries(parsed).map(([name, entry]) => [name, isObject(entry) ? entry : {}])
}

/** Whole seconds since 1970, as a number or as text; undefined for anything else. */
export function readSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return Number.isSafeInteger(seconds) && (seconds as number) >= 0 ? (seconds as number) : undefined
}

/** The branch of an entry, if it has one. */
export function readBranch({ branch }: Readonly<Record<string, unknown>>): { branch?: string } {
  return typeof branch === 'string' ? { branch } : {}
}

/** `{"Value", "Version"}` with standard base64; undefined for anything else, and for version 0. */
export function readValue(secret: unknown): SecretValue | undefined {
  if (!isObject(secret) || typeof secret['Value'] !== 'string') return undefined
  const value = decoders.get(secret)
  return value && value.Version > 0 ? value : undefined
}
