/** The entries of a keyring: each holds a key that wraps data keys, sealed under a key that the root key gives. */
import type { KeyObject } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import { type Binding, type EntryHead, entryBinding } from './binding.ts'
import { deriveKey, fingerprint, takeKey } from './derive.ts'
import { openKey, type RandomSource, seal } from './envelope.ts'

/** A keyring entry as a store keeps it. */
export interface SealedEntry extends EntryHead {
  readonly sealed: Uint8Array
}

/** A keyring entry as an operator may see it. */
export interface EntryInfo extends EntryHead {
  /** Names the key in 16 hex digits. */
  readonly fingerprint: string
}

/** An open entry. */
export interface Entry {
  readonly info: EntryInfo
  /** Wraps data keys. */
  readonly key: KeyObject
}

/** Seals and opens the entries of one store. */
export class EntrySealer {
  readonly #storeId: string
  readonly #key: KeyObject
  readonly #random: RandomSource
  readonly #rootNumber: number

  constructor(storeId: string, root: KeyObject, random: RandomSource, rootNumber = 1) {
    this.#storeId = storeId
    this.#rootNumber = rootNumber
    this.#key = deriveKey(root, storeId, 'keyring-entry')
    this.#random = random
  }

  /** `raw` stays the caller's to overwrite. */
  seal(head: EntryHead, raw: Uint8Array): SealedEntry {
    const { id, createdAt, state } = head
    const sealed = seal(this.#key, this.#binding(head), raw, this.#random)
    return { id, createdAt, state, sealed }
  }

  /** What was sealed, which the caller overwrites. Throws `store_damaged` when it does not open. */
  unseal(stored: SealedEntry): Buffer {
    return openKey(this.#key, this.#binding(stored), stored.sealed)
  }

  /** Throws as `unseal`. */
  open(stored: SealedEntry): Entry {
    const { id, createdAt, state } = stored
    const raw = takeKey(this.unseal(stored))
    return {
      info: { id, createdAt, state, fingerprint: fingerprint(raw, this.#storeId) },
      key: deriveKey(raw, this.#storeId, 'data-key'),
    }
  }

  #binding(head: EntryHead): Binding {
    return entryBinding(this.#storeId, head, this.#rootNumber)
  }
}

/** The active one. Throws `store_damaged` when two have one id, and when not exactly one is active. */
export function activeOf(entries: readonly Entry[]): Entry {
  const ids = new Set(entries.map(({ info }) => info.id))
  const active = entries.filter(({ info }) => info.state === 'active')
  if (ids.size === entries.length && active.length === 1) return active[0] as Entry
  throw new SottoError(
    'store_damaged',
    ids.size === entries.length
      ? `Cannot open the keyring: ${active.length} of its ${entries.length} entries are active where one is due`
      : 'Cannot open the keyring: two of its entries have the same id',
    { hint: 'Restore the store from a backup.' },
  )
}
