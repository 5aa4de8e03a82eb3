/** Reads the secrets of a mapping: all of them, or none. */
import type { CallOptions, Client } from '../../client/client.ts'
import type { SecretValue } from '../../client/api/types.ts'
import { atOnce } from '../../client/store/at-once.ts'
import type { Mapped } from './mapping.ts'
import { fieldOf } from './reference.ts'

/** A variable with its value. */
export interface Fetched extends Mapped {
  readonly value: Uint8Array
  /** The version of the secret; absent where the value was in a file. */
  readonly version?: number
}

/**
 * Reads each secret once, so that fields of one are of the same version. Throws as `Client.getVersion` does, for the first
 * that fails, and `usage` for a field that is not there. Permission: `get` on each.
 */
export async function fetchMapped(
  client: Client,
  mapped: readonly Mapped[],
  { signal }: CallOptions = {},
): Promise<Fetched[]> {
  const stop = new AbortController()
  const options = { signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal }
  const values = new Map<string, SecretValue>()
  const wanted = new Map(
    mapped.flatMap(({ from }) => ('literal' in from ? [] : [[keyOf(from), from] as const])),
  )
  try {
    await atOnce([...wanted], async ([key, { secret, version }]) => {
      values.set(key, await client.getVersion(secret, version, options))
    })
  } catch (error) {
    stop.abort()
    throw error
  }
  return mapped.map((each) => {
    const { from } = each
    if ('literal' in from) return { ...each, value: from.literal }
    const { Value, Version } = values.get(keyOf(from)) as SecretValue
    return { ...each, value: fieldOf(Value, from), version: Version }
  })
}

function keyOf({ secret, version }: { readonly secret: string; readonly version: number }): string {
  return `${version}\0${secret}`
}
