/** What a golden backup must give back. */
import type { Manifest } from '../../../server/backup/manifest.ts'
import type { HistoryItem, Store } from '../../../server/store/contract.ts'

/** The file `expect.json`. */
export interface Golden {
  readonly name: string
  readonly manifest: Manifest
  /** Entries of the keyring. */
  readonly keys: number
  readonly secrets: readonly ToldSecret[]
}

/** All that a store says of a secret but its values, and its highest number, which a restore raises. */
export interface ToldSecret {
  readonly name: string
  readonly incarnation: number
  readonly active: number
  readonly versions: readonly number[]
  readonly removed: readonly number[]
  readonly history: readonly HistoryItem[]
}

/** What `store` says of every name that was ever used. */
export async function tellSecrets(store: Store): Promise<ToldSecret[]> {
  const told: ToldSecret[] = []
  for (let page = await store.states(undefined); page.length > 0; ) {
    for (const { name, incarnation, active, versions, removed } of page) {
      const changes = await store.history(name)
      const history = changes.map(({ state: _state, ...change }) => change)
      told.push({ name, incarnation, active, versions, removed, history })
    }
    page = await store.states(page.at(-1)?.name)
  }
  return told
}
