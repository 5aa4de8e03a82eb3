/** The states of secrets in a store: each verified, and counted. */
import type { Keyring } from '../crypto/keyring.ts'
import type { Store } from '../store/contract.ts'
import type { Manifest } from './manifest.ts'

/** Counts what `store` holds. Throws `store_damaged` for a state that does not verify. */
export async function countStates(
  store: Store,
  keyring: Keyring,
): Promise<Manifest['store']['counts']> {
  const counts = { names: 0, secrets: 0, versions: 0, tombstones: 0 }
  for (let page = await store.states(undefined); page.length > 0; ) {
    for (const row of page) {
      keyring.verify(row, row.mac)
      counts.names++
      if (row.active > 0) counts.secrets++
      counts.versions += row.versions.length
      counts.tombstones += row.removed.length
    }
    page = await store.states(page.at(-1)?.name)
  }
  return counts
}
