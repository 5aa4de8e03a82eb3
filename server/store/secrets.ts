/** What a store keeps of secrets: states, sealed versions, and the history of both. */
import type { Principal } from '../../client/api/types.ts'
import type { AuditMark } from './head.ts'

/** Everything about a secret but its values; what the MAC covers. */
export interface SecretState {
  readonly name: string
  /** 1 when the name was first used, one more each time it is used again after a delete. */
  readonly incarnation: number
  /** The active version; 0 while the secret is deleted. */
  readonly active: number
  /** The highest version number ever given to the name. */
  readonly highest: number
  /** Versions that have a value, ascending; none while the secret is deleted. */
  readonly versions: readonly number[]
  /** Tombstones: numbers that once had a value, of any incarnation, ascending. */
  readonly removed: readonly number[]
  /** What the secret is set to, as canonical bytes; absent where it is set to nothing. */
  readonly settings?: Uint8Array
}

/** A state with the MAC that its writer computed over it. */
export interface SecretRow extends SecretState {
  readonly mac: Uint8Array
}

/** A version's sealed bytes. */
export interface SealedVersion {
  readonly version: number
  /** The keyring entry that wraps its data key. */
  readonly keyId: number
  readonly wrappedKey: Uint8Array
  /** The value, or a reference to it where it is kept in a backend. */
  readonly sealed: Uint8Array
  /** The id of the backend that keeps the value; absent: the store itself does. */
  readonly backend?: number
  /** The sealed value that the store keeps besides the reference; its data key is in the reference. */
  readonly kept?: Uint8Array
}

/** What `read` finds: the state of the secret, and the version if it has a value. */
export interface ReadResult {
  readonly secret: SecretRow
  readonly version?: SealedVersion
}

/** What every change carries. */
export interface Change {
  /** The durable record of the intent. No two changes share one. */
  readonly intent: AuditMark
  readonly by: Principal
  /** UTC. */
  readonly at: string
  /** The MAC of the state that the change was computed from; null where the name was never used. */
  readonly expected: Uint8Array | null
  /** The state after the change. */
  readonly next: SecretRow
}

/** One line of a secret's history. */
export interface HistoryItem {
  readonly revision: number
  readonly verb:
    | 'append'
    | 'activate'
    | 'remove-version'
    | 'remove'
    /** A number was taken for a value that goes to a backend; `fill` says that it arrived. */
    | 'reserve'
    | 'fill'
    /** The values are kept elsewhere from then on. */
    | 'rehome'
  readonly incarnation: number
  /** Absent for `remove` and `rehome`. */
  readonly version?: number
  readonly by: Principal
  readonly at: string
  /** The id of the audit record of the intent. */
  readonly audit: number
  /** A digest of the shape of the secret after it, in hex; absent where that is not told. */
  readonly state?: string
}

/** When a secret was last changed. */
export interface LastChange {
  readonly name: string
  /** UTC; absent where no change of it is known. */
  readonly at?: string
}

/** Where a version is: the cursor of a page, which begins after it. */
export interface VersionPlace {
  readonly name: string
  readonly version: number
}

/** A version's sealed bytes, with all that they are bound to. */
export interface PlacedVersion extends SealedVersion {
  readonly name: string
  readonly incarnation: number
}

/** The verbs of a store about secrets, as the contract says. */
export interface SecretStore {
  /** The state of `name`, also when it is deleted; undefined where the name was never used. */
  find(name: string): Promise<SecretRow | undefined>

  /**
   * In one snapshot, the state of `name` and the sealed bytes of `version` (0: of the active one).
   * Undefined where the name was never used; `version` is absent where it has no value.
   */
  read(name: string, version: number): Promise<ReadResult | undefined>

  /** In one snapshot, every secret that has versions, by name in byte order. */
  list(): Promise<SecretRow[]>

  /** In one snapshot, when each secret that has versions was last changed, by name in byte order. */
  lastChanges(): Promise<LastChange[]>

  /** The state of each name that was ever used, in byte order, after `after`: a page, empty at the end. */
  states(after: string | undefined): Promise<SecretRow[]>

  /**
   * The sealed bytes of each version that has a value, by name in byte order and number, after
   * `after`: a page of at most some hundred and about a MiB, empty at the end.
   */
  versions(after: VersionPlace | undefined): Promise<PlacedVersion[]>

  /** Changes of `name`, oldest first; empty where the name was never used. */
  history(name: string): Promise<HistoryItem[]>

  /** Adds `added` and stores `next`. Resolves with the new revision. */
  append(change: Change, added: SealedVersion): Promise<number>

  /** Stores `next`, which has another version active. Resolves with the new revision. */
  activate(change: Change): Promise<number>

  /** Erases the bytes of `version` and stores `next`. Resolves with the new revision. */
  removeVersion(change: Change, version: number): Promise<number>

  /** Erases the bytes of every version and stores `next`. Resolves with the new revision. */
  remove(change: Change): Promise<number>

  /**
   * Takes `version` for a value that is about to be written to `backend`: stores `next`, which has it
   * among the removed ones, and counts the place as an orphan until `fill`. Resolves with the new revision.
   */
  reserve(change: Change, version: number, backend: number): Promise<number>

  /**
   * Adds `added`, whose number was taken by `reserve` and whose value is in its backend now, and stores
   * `next`, which has it among the versions again. Resolves with the new revision.
   */
  fill(change: Change, added: SealedVersion): Promise<number>

  /**
   * Stores `versions`, every version of the secret, and erases what was there; `next`
   * is the stored state. Where they were kept in another backend before, its places are orphans; with
   * `keepSource` only once their versions are removed. Where the store itself kept them, it keeps the sealed
   * values besides with `keepSource`, until the secret moves back to it, or again to where it is and without
   * `keepSource`. `kept` of what is given is not looked at. Resolves with the new revision.
   */
  rehome(change: Change, versions: readonly SealedVersion[], keepSource: boolean): Promise<number>
}
