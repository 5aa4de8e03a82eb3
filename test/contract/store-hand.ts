/** Changes a store the way the service does: reads the state, computes the next one, names an intent. */
import type { Principal } from '../../client/api/types.ts'
import type {
  HistoryItem,
  SealedVersion,
  SecretRow,
  Store,
  StoreHead,
} from '../../server/store/contract.ts'
import {
  afterActivate,
  afterAppend,
  afterRemove,
  afterRemoveVersion,
  alice,
  changeTo,
  sealedVersion,
} from './store-states.ts'

/** How `Hand.append` differs from a plain put. */
export interface AppendOptions {
  readonly version?: number
  readonly activate?: boolean
  readonly sealed?: SealedVersion
  readonly by?: Principal
}

export class Hand {
  readonly store: Store
  /** The last intent that was used. */
  intent: number

  constructor(store: Store, intent = 0) {
    this.store = store
    this.intent = intent
  }

  async append(name: string, options: AppendOptions = {}): Promise<number> {
    const row = await this.store.find(name)
    const next = afterAppend(name, row, options.version, options.activate)
    const version = options.version ?? next.highest
    const sealed = options.sealed ?? sealedVersion(version)
    return this.store.append(changeTo(++this.intent, row, next, options.by), sealed)
  }

  async activate(name: string, version: number, by: Principal = alice): Promise<number> {
    const row = await this.#known(name)
    const next = afterActivate(row, version)
    return this.store.activate(changeTo(++this.intent, row, next, by))
  }

  async removeVersion(name: string, version: number): Promise<number> {
    const row = await this.#known(name)
    const next = afterRemoveVersion(row, version)
    return this.store.removeVersion(changeTo(++this.intent, row, next), version)
  }

  async remove(name: string): Promise<number> {
    const row = await this.#known(name)
    return this.store.remove(changeTo(++this.intent, row, afterRemove(row)))
  }

  async #known(name: string): Promise<SecretRow> {
    const row = await this.store.find(name)
    if (!row) throw new Error(`${name} was never used`)
    return row
  }
}

/** Everything that a store tells about `names`. */
export interface Everything {
  readonly head: StoreHead
  readonly list: readonly SecretRow[]
  readonly secrets: readonly {
    readonly row: SecretRow | undefined
    readonly values: readonly (SealedVersion | undefined)[]
    readonly history: readonly HistoryItem[]
  }[]
}

/** Reads all that there is to know of `names`, their erased versions included. */
export async function everything(store: Store, names: readonly string[]): Promise<Everything> {
  const secrets = []
  for (const name of names) {
    const row = await store.find(name)
    const values = []
    for (const version of [0, ...(row?.versions ?? []), ...(row?.removed ?? [])]) {
      values.push((await store.read(name, version))?.version)
    }
    secrets.push({ row, values, history: await store.history(name) })
  }
  return { head: await store.head(), list: await store.list(), secrets }
}
