/** What passes between the thread of the server and the two of the store: its writer and its reader. */
import { quote } from '../../../client/api/errors.ts'
import type {
  AuditMark,
  HistoryItem,
  Orphan,
  Moved,
  MovedKey,
  SavedBackend,
  SealedVersion,
  Snapshot,
  StoredKey,
  StoredWrap,
} from '../contract.ts'
import type { Mirrored, MirrorHead } from '../mirrors.ts'
import type { LookUp, Walk } from './lookups.ts'
import { type PlainError } from '../../platform/thread.ts'

/** What the writer is started with. */
export interface WriterData {
  /** Absolute. */
  readonly path: string
  /** Bytes that the database file may grow to; absent for no bound but the disk's. */
  readonly maxBytes: number | undefined
}

/** The columns of a secret that a change sets; version numbers as runs. */
export interface SecretColumns {
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: string
  readonly removed: string
}

/** A compare-and-set on one secret. */
export interface ChangeOp {
  readonly kind: 'change'
  readonly verb: HistoryItem['verb']
  readonly name: string
  /** The version that is added, activated or erased; null for `remove`. */
  readonly version: number | null
  readonly intent: AuditMark
  /** The principal as JSON. */
  readonly by: string
  readonly at: string
  readonly expected: Uint8Array | null
  readonly next: SecretColumns
  readonly mac: Uint8Array
  /** For `append` and `fill`. */
  readonly added?: SealedVersion
  /** For `reserve`: where the value is about to be written. */
  readonly backend?: number
  /** For `rehome`: every version, as it is kept from now on. */
  readonly moved?: readonly SealedVersion[]
  readonly keepSource?: boolean
}

/** Stores or erases a backend. */
export type BackendOp = {
  readonly kind: 'backend'
  readonly intent: AuditMark
  /** The principal as JSON. */
  readonly by: string
  readonly at: string
} & (
  | {
      readonly verb: 'save'
      readonly saved: SavedBackend
      readonly demoted: SavedBackend | undefined
    }
  | { readonly verb: 'erase-backend'; readonly id: number; readonly expected: Uint8Array }
)

/** Notes places in backends that are about to be written to, or were cleared. */
interface OrphanOp {
  readonly kind: 'orphans'
  readonly places: readonly Orphan[]
  readonly cleared: boolean
}

/** Changes what a mirror shows, or how far it is. */
export type MirrorOp = {
  readonly kind: 'mirror'
  /** The id of the backend. */
  readonly backend: number
} & (
  | {
      readonly verb: 'take-up'
      readonly head: MirrorHead
      readonly due: readonly string[]
      readonly at: string
    }
  | { readonly verb: 'save-mirrored'; readonly mirrored: Mirrored }
  | { readonly verb: 'drop-mirrored'; readonly name: string }
)

/** Adds, erases or replaces a wrap of the root key. */
export interface WrapOp {
  readonly kind: 'wrap'
  readonly verb: 'add' | 'remove' | 'rewrap'
  readonly intent: AuditMark
  readonly by: string
  readonly at: string
  readonly provider: string
  readonly fingerprint: string
  /** For `add` and `rewrap`. */
  readonly added?: StoredWrap
  /** For `rewrap`: the bytes that are replaced. */
  readonly expected?: Uint8Array
}

/** Changes the keyring, or moves data keys from one of its entries to the active one. */
export type KeyringOp = {
  readonly kind: 'keyring'
  readonly intent: AuditMark
  /** The principal as JSON, or text. */
  readonly by: string
  readonly at: string
} & (
  | { readonly verb: 'add'; readonly added: StoredKey; readonly retired: StoredKey }
  | { readonly verb: 'move'; readonly keyId: number; readonly moved: readonly MovedKey[] }
  | { readonly verb: 'erase'; readonly keyId: number }
)

/** Notes when a wrap was proven. */
interface ProvenOp {
  readonly kind: 'proven'
  readonly provider: string
  readonly fingerprint: string
  readonly at: string
}

/** What the writer can be asked for; each op of a batch is answered at the same index. */
export type Op =
  | ChangeOp
  | WrapOp
  | KeyringOp
  | ProvenOp
  | BackendOp
  | OrphanOp
  | MirrorOp
  | { readonly kind: 'remember'; readonly mark: AuditMark }
  | { readonly kind: 'committed'; readonly intents: readonly number[] }
  | { readonly kind: 'forget-stale-copies' }
  | { readonly kind: 'ping' }

/** The new revision of a change, the outcome of a move, the intents that were committed, or nothing. */
export type OpValue = number | Moved | readonly number[] | undefined

/** The outcome of one op. */
export type OpResult = { readonly value: OpValue } | { readonly error: PlainError }

/** To the writer: ops to do in one transaction, or to close the files. */
export type ToWriter = { readonly ops: readonly Op[] } | 'close'

/** From the writer: the results of each batch, or why it could not open the store, as its last word. */
export type FromWriter =
  | { readonly results: readonly OpResult[] }
  | { readonly refused: PlainError }

/** One read. */
export interface ReadOp {
  /** What answers name it by. */
  readonly id: number
  readonly verb: LookUp | Walk
  readonly args: readonly unknown[]
}

/** To the reader: reads to do, or to close the files. */
export type ToReader = readonly ReadOp[] | 'close'

/** From the reader: the answer to a look-up, a slice of a walk, or why a read failed. */
export type ReadAnswer = { readonly id: number } & (
  | { readonly value: unknown }
  | { readonly slice: readonly unknown[]; readonly last: boolean }
  | { readonly error: PlainError }
)

/** What the copier is started with. */
export interface CopierData {
  /** Absolute. */
  readonly path: string
  /** The file that is made. */
  readonly copy: string
}

/** What a copy has. */
export type Copied = Pick<Snapshot, 'head' | 'schema' | 'counts' | 'keys' | 'wraps'>

/** From the copier: how far it is, what the copy has, or why there is none, as its last word. */
export type FromCopier =
  | { readonly done: number; readonly total: number }
  | { readonly copied: Copied }
  | { readonly refused: PlainError }

/** What `op` is about, to follow "Cannot" in a message. */
export function attempted(op: Op): string {
  if (op.kind === 'change') return describeChange[op.verb](op.version, quote(op.name))
  if (op.kind === 'wrap') return `${op.verb} the wrap by ${op.provider} key ${op.fingerprint}`
  if (op.kind === 'keyring') return describeKeyring(op)
  if (op.kind === 'backend') return describeBackend(op)
  if (op.kind === 'mirror') return `note the state of the mirror in backend ${op.backend}`
  if (op.kind === 'orphans') return 'note places in backends'
  if (op.kind === 'forget-stale-copies') return 'note that copies in backends were reported'
  if (op.kind === 'proven') return `note the proof of ${op.provider} key ${op.fingerprint}`
  if (op.kind === 'remember') return `remember audit record ${op.mark.id}`
  return op.kind === 'committed' ? 'read which changes were committed' : 'check the store'
}

function describeBackend(op: BackendOp): string {
  if (op.verb === 'erase-backend') return `delete backend ${op.id}`
  return `save backend ${quote(op.saved.backend.name)}`
}

function describeKeyring(op: KeyringOp): string {
  if (op.verb === 'add') return `add keyring entry ${op.added.id}`
  if (op.verb === 'erase') return `erase keyring entry ${op.keyId}`
  return `move ${op.moved.length} data keys to keyring entry ${op.keyId}`
}

const describeChange: Record<ChangeOp['verb'], (version: number | null, name: string) => string> = {
  append: (version, name) => `append version ${version} of ${name}`,
  activate: (version, name) => `activate version ${version} of ${name}`,
  'remove-version': (version, name) => `remove version ${version} of ${name}`,
  remove: (_, name) => `remove ${name}`,
  reserve: (version, name) => `reserve version ${version} of ${name}`,
  fill: (version, name) => `append version ${version} of ${name}`,
  rehome: (_, name) => `move ${name}`,
}
