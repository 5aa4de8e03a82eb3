/**
 * What a storage engine does: whole verbs on sealed bytes. Each verb is atomic and durable when its
 * promise resolves, each change is a compare-and-set on one secret. An engine never sees a value in
 * the clear and never imports crypto; `mac` and `sealed` are bytes to it.
 */
import type { BackendStore } from './backends.ts'
import type {
  AuditMark,
  RevisionMac,
  Sign,
  ChangeRows,
  NewestChange,
  NewestStates,
  StandingChange,
  StoredChange,
  StoredStanding,
  StoreHead,
} from './head.ts'
import type { KeyStore, StoredKey, StoredLasting, StoredWrap } from './keys.ts'
import type { MirrorStore } from './mirrors.ts'
import type { RotationStore } from './rotations.ts'
import type { SecretStore } from './secrets.ts'

export type * from './backends.ts'
export type * from './head.ts'
export type * from './keys.ts'
export type * from './mirrors.ts'
export type * from './rotations.ts'
export type * from './secrets.ts'

/**
 * What a store is, as it was opened. `former` and what is above it are fixed; the rest is as of then, and
 * changes with `started` and `adopt`.
 */
export interface StoreIdentity {
  /** 32 hex digits, random. */
  readonly id: string
  /** Made by `--dev`, and usable only so. */
  readonly development: boolean
  /** UTC. */
  readonly createdAt: string
  /** 16 hex digits, random, given when it was made and at each restore; zeros in one of an early release. */
  readonly branch: string
  /** The branches that it was before its restores, each once. */
  readonly former: readonly string[]
  /** Whether it may change what is outside of it: not after a restore, until an operator adopts it. */
  readonly adopted: boolean
  /** How many servers have started on it. */
  readonly starts: number
  /** Names where the last of them ran, or where it was adopted; empty before the first. */
  readonly host: string
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
  /** The revision that the restore is. */
  readonly revision: number
  /** Who restored it: a user of the machine. */
  readonly by: string
  /** UTC. */
  readonly at: string
  /**
   * Numbers up to this one may have been given, after the backup was taken, to a name that the store does
   * not know.
   */
  readonly floor: number
  /** The branch that it began. */
  readonly branch: string
  /** The branch that the backup was of. */
  readonly former: string
}

/** How much a store holds. */
export interface StoreMeasure extends Pick<StoreCounts, 'secrets' | 'versions'> {
  /** Bytes of its file. */
  readonly databaseBytes: number
  /** Bytes of its log of changes; 0 where there is none. */
  readonly logBytes: number
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

/** What a new store is made with. No server has started on it. */
export interface StoreSeed {
  readonly identity: Omit<StoreIdentity, 'former' | 'adopted' | 'starts' | 'host' | 'restored'>
  /** What it is, authenticated; absent: that is made when it is first opened. */
  readonly standing?: StoredStanding
  readonly keys: readonly StoredKey[]
  readonly wraps: readonly StoredWrap[]
  /** Absent in stores as earlier releases made them. */
  readonly lasting?: readonly StoredLasting[]
}

/** How a snapshot is taken. */
export interface SnapshotOptions {
  /** Stops it. */
  readonly signal?: AbortSignal
  /** Called now and then with how many bytes of how many were copied. */
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
  /** The number of its root key. */
  readonly rootNumber: number
}

/**
 * An open store. What a verb is given is taken over when it is called, and what it resolves with is
 * the caller's own, bytes included. A read sees every change that had resolved when it was called.
 *
 * Every verb may reject with SottoError `store_unavailable` when the engine fails or does not answer
 * within its bound, and with `store_damaged`. A change that was rejected with `store_unavailable` may
 * still have been committed, or be committed later: `committed` settles which. Other
 * rejections of a change mean that nothing was changed: `conflict` when `expected` is not the stored
 * MAC, `internal` when `next` does not follow from the stored state by the change (a number would be
 * given twice, or the states disagree), `overloaded` when too many changes wait already, and
 * `invalid_name` for a name that is not well-formed Unicode. Names are otherwise any text, compared
 * by their bytes in UTF-8.
 */
export interface Store extends SecretStore, KeyStore, BackendStore, MirrorStore, RotationStore {
  readonly identity: StoreIdentity

  /** The committed revision and the newest audit record that the store has. */
  head(): Promise<StoreHead>

  /** How much there is: each number was so at some moment since the call. */
  measure(): Promise<StoreMeasure>

  /**
   * Which of the given intents (audit record ids) were committed. Answers after every change that
   * was called before, so that an intent which is not in the answer never will be, unless a change
   * is called with it again.
   */
  committed(intents: readonly number[]): Promise<Set<number>>

  /** Keeps `mark` as the newest audit record known. Older than the one known: nothing happens. */
  remember(mark: AuditMark): Promise<void>

  /** How it came back from backups, oldest first. */
  restores(): Promise<Restored[]>

  /** What of its identity changes, as it is now. */
  standing(): Promise<StoredStanding>

  /** The changes after the revision `after`, in order: a page, empty at the end. */
  changes(after: number): Promise<StoredChange[]>

  /** The rows of the changes after the revision `after` up to `until`, in order: a page. */
  changeRows(after: number, until: number): Promise<ChangeRows>

  /** What the secrets after that place are, and their newest changes: a page. */
  newestStates(after: number): Promise<NewestStates>

  /**
   * How many secrets have changes, the newest change of each backend and of each rotation, by id, and the newest that
   * says what the keys are.
   */
  newest(): Promise<{
    readonly secrets: number
    readonly backends: ReadonlyMap<number, NewestChange>
    readonly rotations: ReadonlyMap<number, NewestChange>
    readonly keys?: NewestChange
  }>

  /** Has what is changed from now on authenticated by `sign`. */
  authenticate(sign: Sign): void

  /** Stores MACs of changes that have none. */
  signChanges(macs: readonly RevisionMac[]): Promise<void>

  /** Stores what authenticates the store itself. */
  signStore(standing: StoredStanding): Promise<void>

  /** Notes the start of a server at `host`. Resolves with its number: 1 for the first, then one more. */
  started(change: StandingChange, host: string): Promise<number>

  /** Whether `started` noted the start whose record has that id and hash, with a blank between them. */
  isOwnStart(record: string): Promise<boolean>

  /** Notes that an operator lets the store at `host` change what is outside of it. */
  adopt(change: StandingChange, host: string): Promise<void>

  /**
   * Copies everything that is committed, as of one moment after the call, into a file that only its
   * owner can read and that the engine opens as a store. It has no bytes that were erased before.
   * Changes go on meanwhile. What a crash leaves of the file goes when the store is opened again.
   * Rejects with `local` when it was stopped, and leaves nothing.
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
