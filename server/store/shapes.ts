/**
 * What secrets and keys of a store look like, as texts that no others have: what led to them is authenticated by
 * these. An engine gives those of many secrets at once, and so makes them itself.
 */
import type { SecretState, StoredKeys } from './contract.ts'
import { formatNumbers } from './numbers.ts'

/** What a secret looks like, but for the highest number. */
export function secretShape({
  name,
  incarnation,
  active,
  versions,
  removed,
  settings = new Uint8Array(),
}: SecretState): string {
  const set = Buffer.from(settings).toString('hex')
  return [incarnation, active, formatNumbers(versions), formatNumbers(removed), set, name].join(' ')
}

/** What the keyring and the root key look like, but for the bytes of the keys. */
export function keysShape({ keys, root }: Pick<StoredKeys, 'keys' | 'root'>): string {
  const entries = keys.map(({ id, createdAt, state }) => [id, createdAt, state])
  return JSON.stringify(['keys', root.number, root.previous !== undefined, entries])
}
