/** What a store keeps of keys: the keyring, and the root key as key providers wrapped it. */
import type { Principal } from '../../client/api/types.ts'
import type { AuditMark } from './head.ts'
import type { PlacedVersion, VersionPlace } from './secrets.ts'

/** A keyring entry as it is stored: sealed under the root key. */
export interface StoredKey {
  readonly id: number
  readonly createdAt: string
  readonly state: 'active' | 'retiring'
  readonly sealed: Uint8Array
}

/** The root key as one key provider wrapped it. */
export interface StoredWrap {
  /** The provider's name, such as `local`. */
  readonly provider: string
  /** Names the provider's key, so that a wrong one is recognised. */
  readonly fingerprint: string
  readonly createdAt: string
  /** When the root key was last recovered from it; absent where it never was. UTC. */
  readonly provenAt?: string
  readonly wrapped: Uint8Array
}

/** A key that outlives the root key, sealed under it. */
export interface StoredLasting {
  readonly purpose: string
  readonly number: number
  readonly createdAt: string
  readonly sealed: Uint8Array
}

/** What is known of the root key, in addition to its wraps. */
export interface StoredRoot {
  /** 1, then one more for each root key that replaced another. */
  readonly number: number
  /** The sealed key of MACs that the root key before gave; absent once all are replaced. */
  readonly previous?: Uint8Array
}

/** All keys of a store. */
export interface StoredKeys {
  /** The keyring. */
  readonly keys: StoredKey[]
  /** The root key, in the order in which the wraps were added. */
  readonly wraps: StoredWrap[]
  readonly lasting: StoredLasting[]
  readonly root: StoredRoot
}

/** What a change of the keys carries. */
export interface KeyChange {
  /** The durable record of the intent. No two changes share one, whatever they change. */
  readonly intent: AuditMark
  /** A caller, or else who works on the files of the store. */
  readonly by: Principal | string
  /** UTC. */
  readonly at: string
}

/** A version, as far as its wrapped data key is concerned. */
export interface WrappedVersion extends Omit<PlacedVersion, 'sealed' | 'backend'> {
  /** Where it is among all versions: the cursor of the next page. */
  readonly cursor: number
}

/** The data key of a version, re-wrapped. */
export interface MovedKey extends VersionPlace {
  /** Replaces `expected`. */
  readonly wrappedKey: Uint8Array
  readonly expected: Uint8Array
}

/** All keys of a store, sealed under a new root key. */
export interface NewRoot extends Omit<StoredKeys, 'root'> {
  readonly root: Required<StoredRoot>
}

/** What has a MAC by the root key. */
export type MacOwner = 'secret' | 'backend' | 'rotation'

/** A MAC of a record under the current root key, which replaces another. */
export interface RemadeMac {
  /** Of the secret, the backend, or the rotation. */
  readonly name: string
  /** Replaces `expected`. */
  readonly mac: Uint8Array
  readonly expected: Uint8Array
}

/** The outcome of moving data keys to another entry. */
export interface Moved {
  readonly revision: number
  /** How many were moved; the others had been removed or moved meanwhile. */
  readonly count: number
}

/** The verbs of a store about keys, as the contract says. */
export interface KeyStore {
  /** All keys, as of one moment. */
  keys(): Promise<StoredKeys>

  /** How many versions have their data key wrapped by each entry; an entry that wraps none is absent. */
  keyUse(): Promise<Map<number, number>>

  /**
   * Versions whose data keys the entry `keyId` wraps, in the order in which they were added: the first
   * `limit` of those after `cursor` (0: from the first on).
   */
  wrappedBy(keyId: number, cursor: number, limit: number): Promise<WrappedVersion[]>

  /**
   * Adds a wrap of the root key, whose number is `root`. Resolves with the new revision. Rejects with `conflict`
   * when the provider's key of that fingerprint has a wrap already, and when the root key was replaced meanwhile.
   */
  addWrap(change: KeyChange, wrap: StoredWrap, root: number): Promise<number>

  /**
   * Erases the wrap of a provider's key. Resolves with the new revision. Rejects with `conflict` when
   * there is no such wrap, with `internal` when it is the last one.
   */
  removeWrap(change: KeyChange, provider: string, fingerprint: string): Promise<number>

  /**
   * Stores `wrap` in place of the wrap `expected` of the same provider's key. Resolves with the new
   * revision. Rejects with `conflict` when that is not the stored one.
   */
  replaceWrap(change: KeyChange, wrap: StoredWrap, expected: Uint8Array): Promise<number>

  /** Notes when the root key was recovered from a wrap. Nothing happens where there is no such wrap. */
  noteProven(provider: string, fingerprint: string, at: string): Promise<void>

  /**
   * Adds `added` as the active entry of the keyring, and stores `retired` in place of the one that was
   * active. Resolves with the new revision. Rejects with `conflict` when `retired` is not the active entry,
   * with `internal` when the states of the two are wrong, or the id of `added` is not above all others.
   */
  addKey(change: KeyChange, added: StoredKey, retired: StoredKey): Promise<number>

  /**
   * Replaces data keys by those that the entry `keyId` wraps; what is gone, or not as expected, is
   * skipped. Rejects with `conflict` when `keyId` is not the active entry.
   */
  moveKeys(change: KeyChange, keyId: number, moved: readonly MovedKey[]): Promise<Moved>

  /**
   * Erases the entry `keyId` of the keyring, after the changes that were called before. Resolves with the
   * new revision. Rejects with `conflict` when it is not a retiring entry, or still wraps the data key of a
   * version.
   */
  eraseKey(change: KeyChange, keyId: number): Promise<number>

  /**
   * Stores `next` in place of `expected`: the same wraps, remade; every entry, retiring, and a new one
   * that is active; and the lasting keys. Resolves with the new revision. Rejects with `conflict` when
   * `expected` is not what is stored, or MACs are still to be replaced; with `internal` when `next` does
   * not follow from it.
   */
  rotateRoot(change: KeyChange, next: NewRoot, expected: StoredKeys): Promise<number>

  /** Replaces MACs of secrets, backends or rotations; what is gone, or not as expected, is skipped. */
  remakeMacs(of: MacOwner, remade: readonly RemadeMac[]): Promise<void>

  /**
   * Erases the key of the MACs that the root key before `number` gave, once all are replaced. Resolves with
   * the new revision. Rejects with `conflict` when there is none, or an entry is retiring.
   */
  settleRoot(change: KeyChange, number: number): Promise<number>
}
