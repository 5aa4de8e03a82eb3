/** What a store keeps of backends: their settings, and the places in them that are to be cleared. */
import type { Principal } from '../../client/api/types.ts'
import type { AuditMark } from './head.ts'
import type { VersionPlace } from './secrets.ts'

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
  /** Of how many secrets it may have values besides, which stay while their versions are there. */
  readonly copies: number
}

/** A backend to be stored, and the MAC of the row that it replaces; null for a new one. */
export interface SavedBackend {
  readonly backend: StoredBackend
  readonly expected: Uint8Array | null
  /** Whether nothing may be kept there: that is why its caller was permitted to make the change. */
  readonly unused?: boolean
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
export interface Orphan extends VersionPlace {
  /** The id of the backend. */
  readonly backend: number
  readonly incarnation: number
}

/** The verbs of a store about backends, as the contract says. */
export interface BackendStore {
  /** Every backend in the order of their ids, and the id that the next one gets. */
  backends(): Promise<{ backends: BackendInUse[]; nextId: number }>

  /** The names of the secrets that `backend` keeps (null: the store itself), in byte order. */
  homed(backend: number | null): Promise<string[]>

  /**
   * The names of the secrets of which `backend` (null: the store itself) has values besides, while they are kept
   * elsewhere, in byte order; with `name`, that one or none.
   */
  copied(backend: number | null, name?: string): Promise<string[]>

  /** The first `limit` places after `cursor` (0: from the first on) that are to be cleared, oldest first. */
  orphans(cursor: number, limit: number): Promise<(Orphan & { readonly cursor: number })[]>

  /**
   * Stores a backend, and with it the one that is no longer the default. Resolves with the new revision.
   * Rejects with `conflict` when a row is not as expected, the name is another one's, or something is kept where
   * nothing may be.
   */
  saveBackend(change: BackendChange, saved: SavedBackend, demoted?: SavedBackend): Promise<number>

  /**
   * Erases a backend, and what is known of its orphans. Resolves with the new revision. Rejects with
   * `conflict` when it is not as expected, or keeps a secret.
   */
  removeBackend(change: BackendChange, id: number, expected: Uint8Array): Promise<number>

  /**
   * Notes places that values are about to be written to, which a later attempt may find there. They are
   * orphans once their version is removed; `rehome` to that backend removes them from the list.
   */
  noteWritten(places: readonly Orphan[]): Promise<void>

  /** Removes from the list a place that was cleared. */
  forgetOrphan(place: Orphan): Promise<void>
}
