/**
 * What a storage engine does: whole verbs on sealed bytes. Each verb is atomic and durable when its
 * promise resolves, each change is a compare-and-set on one secret. An engine never sees a value in
 * the clear and never imports crypto; `mac` and `sealed` are bytes to it.
 */
import type { Principal } from '../../client/api/types.ts'
import type { MirrorStore } from './mirrors.ts'

/** What a store is, fixed when it was made. */
export interface StoreIdentity {
  /** 32 hex digits, random. */
  readonly id: string
  /** Made by `--dev`, and usable only so. */
  readonly development: boolean
  /** UTC. */
  readonly createdAt: string
  /** How it came back from a backup, the last time; absent where it never did. */
  readonly restored?: Restored
}

/** How a store came back from a backup. */
export interface Restored {
  /** The name of the backup. */
  readonly backup: string
  /** When the backup was taken. UTC. */
  readonly takenAt: string
  /** The revision that the backup has. */
  readonly takenRevision: number
  /** Who restored it: a user of the machine. */
  readonly by: string
  /** UTC. */
  readonly at: string
  /**
   * Numbers up to this one may have been given to a name that the store does not know, in a time of
   * which the backup tells nothing.
   */
  readonly floor: number
}

/** An audit record that the store knows about. */
export interface AuditMark {
  readonly id: number
  readonly hash: string
}

/** How far a store is. */
export interface StoreHead {
  /** Counts committed changes: 0 in a new store, then one more for each. */
  readonly revision: number
  /** The newest of the intents of committed changes and of the records that `remember` named. */
  readonly audit: AuditMark | null
}

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
    /** A number was taken for a value that goes to a backend, and `fill` tells that it got there. */
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
}

/** A backend, where values can be kept instead of the store. */
export interface StoredBackend {
  /** 1 or more, and never given again. */
  readonly id: number
  readonly name: string
  readonly type: string
  readonly description: string
  /** Whether new secrets are kept there. At most one is; where none is, the store itself keeps them. */
  readonly isDefault: boolean
  /** What the type needs, as JSON. Holds no credential. */
  readonly config: string
  /** UTC. */
  readonly createdAt: string
  /** Covers all of the above; computed by the writer. */
  readonly mac: Uint8Array
}

/** A backend with what points at it. */
export interface BackendInUse extends StoredBackend {
  /** How many secrets are kept there. */
  readonly secrets: number
  /** How many places of it may hold a value that should not be there. */
  readonly orphans: number
}

/** A backend to be stored, and the MAC of the row that it takes the place of; null for a new one. */
export interface SavedBackend {
  readonly backend: StoredBackend
  readonly expected: Uint8Array | null
}

/** What a change of the backends carries. */
export interface BackendChange {
  /** The durable record of the intent. No two changes share one, whatever they change. */
  readonly intent: AuditMark
  readonly by: Principal
  /** UTC. */
  readonly at: string
}

/** A place in a backend that may hold a value which should not be there. */
export interface Orphan {
  /** The id of the backend. */
  readonly backend: number
  readonly name: string
  readonly incarnation: number
  readonly version: number
}

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
  /** Names the provider's key, so that a wrong one can be told. */
  readonly fingerprint: string
  readonly createdAt: string
  /** When the root key was last got back from it; absent where it never was. UTC. */
  readonly provenAt?: string
  readonly wrapped: Uint8Array
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
export interface WrappedVersion {
  readonly name: string
  readonly incarnation: number
  readonly version: number
  /** The keyring entry that wraps its data key. */
  readonly keyId: number
  readonly wrappedKey: Uint8Array
  /** Where it stands among all versions: the cursor behind it. */
  readonly cursor: number
}

/** The data key of a version, wrapped anew. */
export interface MovedKey {
  readonly name: string
  readonly version: number
  /** The wrapped key that takes the place of `expected`. */
  readonly wrappedKey: Uint8Array
  readonly expected: Uint8Array
}

/** What came of moving data keys to another entry. */
export interface Moved {
  readonly revision: number
  /** How many were moved; the others had been removed or moved meanwhile. */
  readonly count: number
}

/** How much a store holds. */
export interface StoreMeasure {
  /** Secrets that have versions. */
  readonly secrets: number
  /** Versions that have a value. */
  readonly versions: number
  /** Bytes of its file. */
  readonly databaseBytes: number
  /** Bytes of the log of changes beside it; 0 where there is none. */
  readonly logBytes: number
}

/** What a new store is made with. */
export interface StoreSeed {
  readonly identity: StoreIdentity
  readonly keys: readonly StoredKey[]
  readonly wraps: readonly StoredWrap[]
}

/** Where a version is; pages go on behind it. */
export interface VersionPlace {
  readonly name: string
  readonly version: number
}

/** A version's sealed bytes, with all that they are bound to. */
export interface PlacedVersion extends SealedVersion {
  readonly name: string
  readonly incarnation: number
}

/** How many there are of what a store keeps. */
export interface StoreCounts {
  /** Names that were ever used. */
  readonly names: number
  /** Secrets that have versions. */
  readonly secrets: number
  /** Versions that have a value. */
  readonly versions: number
  /** Versions whose value was erased. */
  readonly tombstones: number
}

/** How a snapshot is taken. */
export interface SnapshotOptions {
  /** Breaks it off. */
  readonly signal?: AbortSignal
  /** Told now and then how many bytes of how many were copied. */
  readonly progress?: (done: number, total: number) => void
}

/** A copy of a store as of one moment, in a file of the engine, which goes when it is disposed of. */
export interface Snapshot extends AsyncDisposable {
  readonly path: string
  /** Of the file. */
  readonly bytes: number
  readonly head: StoreHead
  /** The number of its schema. */
  readonly schema: number
  readonly counts: StoreCounts
  readonly keys: readonly StoredKey[]
  readonly wraps: readonly StoredWrap[]
}

/**
 * An open store. What a verb is given is taken over when it is called, and what it resolves with is
 * the caller's own, bytes included. A read sees every change that had resolved when it was called.
 *
 * Every verb may reject with SottoError `store_unavailable` when the engine fails or does not answer
 * within its bound, and with `store_damaged`. A change that was rejected with `store_unavailable` may
 * still have been committed, or be committed later, which `committed` tells for good. Other
 * rejections of a change mean that nothing was changed: `conflict` when `expected` is not the stored
 * MAC, `internal` when `next` does not follow from the stored state by the change (a number would be
 * given twice, or the states disagree), `overloaded` when too many changes wait already, and
 * `invalid_name` for a name that is no well-formed Unicode. Names are otherwise any text, compared
 * by their bytes in UTF-8.
 */
export interface Store extends MirrorStore {
  readonly identity: StoreIdentity

  /** The committed revision and the newest audit record that the store knows of. */
  head(): Promise<StoreHead>

  /** In one snapshot, every secret that has versions, by name in byte order. */
  list(): Promise<SecretRow[]>

  /** The state of `name`, also when it is deleted; undefined where the name was never used. */
  find(name: string): Promise<SecretRow | undefined>

  /**
   * In one snapshot, the state of `name` and the sealed bytes of `version` (0: of the active one).
   * Undefined where the name was never used; `version` is absent where it has no value.
   */
  read(name: string, version: number): Promise<ReadResult | undefined>

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
   * among the removed ones, and counts the place as left over until `fill`. Resolves with the new revision.
   */
  reserve(change: Change, version: number, backend: number): Promise<number>

  /**
   * Adds `added`, whose number was taken by `reserve` and whose value is in its backend now, and stores
   * `next`, which has it among the versions again. Resolves with the new revision.
   */
  fill(change: Change, added: SealedVersion): Promise<number>

  /**
   * Stores `versions`, every version of the secret, in the place of what is there, and erases that; `next`
   * is the stored state. Where they were kept in a backend before, its places are left over, with
   * `keepSource` not before their versions are removed. Resolves with the new revision.
   */
  rehome(change: Change, versions: readonly SealedVersion[], keepSource: boolean): Promise<number>

  /** The names of the secrets that `backend` keeps (null: the store itself), in byte order. */
  homed(backend: number | null): Promise<string[]>

  /** Every backend in the order of their ids, and the id that the next one gets. */
  backends(): Promise<{ backends: BackendInUse[]; nextId: number }>

  /**
   * Stores a backend, and with it the one that is no longer the default. Resolves with the new revision.
   * Rejects with `conflict` when a row is not as expected, or the name is another one's.
   */
  saveBackend(change: BackendChange, saved: SavedBackend, demoted?: SavedBackend): Promise<number>

  /**
   * Erases a backend, and what is known of its orphans. Resolves with the new revision. Rejects with
   * `conflict` when it is not as expected, or keeps a secret.
   */
  removeBackend(change: BackendChange, id: number, expected: Uint8Array): Promise<number>

  /** The first `limit` places behind `cursor` (0: from the first on) that are to be cleared, oldest first. */
  orphans(cursor: number, limit: number): Promise<(Orphan & { readonly cursor: number })[]>

  /**
   * Notes places that values are about to be written to, which a later attempt may find there. They are
   * left over once their version is removed; `rehome` to that backend strikes them off.
   */
  noteWritten(places: readonly Orphan[]): Promise<void>

  /** Strikes off a place that was cleared. */
  forgetOrphan(place: Orphan): Promise<void>

  /**
   * Which of the given intents (audit record ids) were committed. Answers after every change that
   * was called before, so that an intent which is not in the answer never will be, unless a change
   * is called with it again.
   */
  committed(intents: readonly number[]): Promise<Set<number>>

  /** Keeps `mark` as the newest audit record known. Older than the one known: nothing happens. */
  remember(mark: AuditMark): Promise<void>

  /** Changes of `name`, oldest first; empty where the name was never used. */
  history(name: string): Promise<HistoryItem[]>

  /** The keyring and the wraps of the root key, in the order in which they were added. */
  keys(): Promise<{ keys: StoredKey[]; wraps: StoredWrap[] }>

  /**
   * Adds a wrap of the root key. Resolves with the new revision. Rejects with `conflict` when the
   * provider's key of that fingerprint has a wrap already.
   */
  addWrap(change: KeyChange, wrap: StoredWrap): Promise<number>

  /**
   * Erases the wrap of a provider's key. Resolves with the new revision. Rejects with `conflict` when
   * there is no such wrap, with `internal` when it is the last one.
   */
  removeWrap(change: KeyChange, provider: string, fingerprint: string): Promise<number>

  /**
   * Stores `wrap` in the place of the wrap `expected` of the same provider's key. Resolves with the new
   * revision. Rejects with `conflict` when that is not the stored one.
   */
  replaceWrap(change: KeyChange, wrap: StoredWrap, expected: Uint8Array): Promise<number>

  /** Notes when the root key was got back from a wrap. Nothing happens where there is no such wrap. */
  noteProven(provider: string, fingerprint: string, at: string): Promise<void>

  /**
   * Adds `added` as the active entry of the keyring, and stores `retired` in the place of the one that is
   * active so far. Resolves with the new revision. Rejects with `conflict` when another entry is active
   * than the one that `retired` names, with `internal` when the states of the two are others, and when
   * the id of `added` is not above all others.
   */
  addKey(change: KeyChange, added: StoredKey, retired: StoredKey): Promise<number>

  /** How many versions have their data key wrapped by each entry; an entry that wraps none is absent. */
  keyUse(): Promise<Map<number, number>>

  /**
   * Versions whose data keys the entry `keyId` wraps, in the order in which they were added: the first
   * `limit` of those behind `cursor` (0: from the first on).
   */
  wrappedBy(keyId: number, cursor: number, limit: number): Promise<WrappedVersion[]>

  /**
   * Stores data keys that the entry `keyId` wraps in the place of those that are expected; what is not
   * there any more, or not as expected, is passed over. Rejects with `conflict` when `keyId` is not the
   * active entry.
   */
  moveKeys(change: KeyChange, keyId: number, moved: readonly MovedKey[]): Promise<Moved>

  /**
   * Erases the entry `keyId` of the keyring, behind the changes that were called before. Resolves with the
   * new revision. Rejects with `conflict` when it is no retiring entry, or still wraps the data key of a
   * version.
   */
  eraseKey(change: KeyChange, keyId: number): Promise<number>

  /** How much there is: each number was so at some moment since the call. */
  measure(): Promise<StoreMeasure>

  /** The state of each name that was ever used, in byte order, behind `after`: a page, empty at the end. */
  states(after: string | undefined): Promise<SecretRow[]>

  /**
   * The sealed bytes of each version that has a value, by name in byte order and number, behind
   * `after`: a page of at most some hundred and about a MiB, empty at the end.
   */
  versions(after: VersionPlace | undefined): Promise<PlacedVersion[]>

  /**
   * Copies everything that is committed, as of one moment after the call, into a file that only its
   * owner can read and that the engine opens as a store. It has no bytes that were erased before.
   * Changes go on meanwhile. What a crash leaves of the file goes when the store is opened again.
   * Rejects with `local` when it was broken off, and leaves nothing.
   */
  snapshot(options?: SnapshotOptions): Promise<Snapshot>

  /** Resolves when the store can be read and its writer answers; rejects with what is wrong. */
  check(): Promise<void>

  /**
   * Finishes what was accepted and lets go of the files. Every other verb rejects from then on.
   * Calling it again waits for the same.
   */
  close(): Promise<void>
}
