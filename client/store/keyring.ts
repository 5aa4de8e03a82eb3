/** All versions of one secret, as a program needs them that verifies with old keys and signs with the active one. */
import { quote, SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import type { CallOptions, Client } from '../client.ts'

/** The versions of a secret that were read. `openKeyring` makes one. */
export interface Keyring {
  readonly name: string
  /** The version that was active at the last update. */
  active(): SecretValue
  /** The value of a version; undefined for one that was not there at the last update. */
  get(version: number): Uint8Array | undefined
  /** The numbers of the versions that are held, ascending. */
  versions(): number[]
  /**
   * Reads what is new, and forgets what was deleted. Rejects as `openKeyring`; then nothing changes.
   */
  update(options?: CallOptions): Promise<void>
}

/** Reads all versions of `name`. Rejects as `Client.info` and `Client.getVersion`. Permission: `info` and `get`. */
export async function openKeyring(
  client: Pick<Client, 'info' | 'getVersion'>,
  name: string,
  options: CallOptions = {},
): Promise<Keyring> {
  let held = new Map<number, Uint8Array>()
  let active = 0
  const update = async (how: CallOptions = {}): Promise<void> => {
    const { Versions, ActiveVersion } = await client.info(name, how)
    const read = await Promise.all(
      Versions.map(async (version) => {
        const value = held.get(version) ?? (await client.getVersion(name, version, how)).Value
        return [version, value] as const
      }),
    )
    // A server between two releases of a secret could answer so.
    if (!Versions.includes(ActiveVersion)) {
      throw new SottoError('not_found', `${quote(name)} has no active version`)
    }
    held = new Map(read)
    active = ActiveVersion
  }
  await update(options)
  const copy = (version: number): Uint8Array | undefined => {
    const value = held.get(version)
    return value && Uint8Array.from(value)
  }
  return {
    name,
    active: () => ({ Value: copy(active) as Uint8Array, Version: active }),
    get: copy,
    versions: () => [...held.keys()],
    update,
  }
}
