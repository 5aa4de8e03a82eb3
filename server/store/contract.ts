/**
 * What a storage engine does: whole verbs on sealed bytes. Each verb is atomic and durable when its
 * promise resolves, each change is a compare-and-set on one secret. An engine never sees a value in
 * the clear and never imports crypto; `mac` and `sealed` are bytes to it.
 */
import type { BackendStore } from './backends.ts'
import type { AuditMark, StoreHead } from './head.ts'
import type { KeyStore, StoredKey, StoredWrap } from './keys.ts'
import type { MirrorStore } from './mirrors.ts'
import type { SecretStore } from './secrets.ts'

export type * from './backends.ts'
export type * from './head.ts'
export type * from './keys.ts'
export type * from './mirrors.ts'
export type * from './secrets.ts'

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
   * Numbers up to this one may have been given, after the backup was taken, to a name that the store does
   * not know.
   */
  readonly floor: number
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

/** What a new store is made with. */
export interface StoreSeed {
  readonly identity: StoreIdentity
  readonly keys: readonly StoredKey[]
  readonly wraps: readonly StoredWrap[]
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
export interface Store extends SecretStore, KeyStore, BackendStore, MirrorStore {
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
