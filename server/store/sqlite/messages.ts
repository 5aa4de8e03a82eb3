/** What passes between the thread of the server and the two of the store: its writer and its reader. */
import type { PlainError } from '../../platform/thread.ts'
import type { Snapshot } from '../contract.ts'
import type { Verb } from './changes.ts'
import type { LookUp, Walk } from './lookups.ts'

/** What the writer is started with. */
export interface WriterData {
  /** Absolute. */
  readonly path: string
  /** Bytes that the database file may grow to; absent for no bound but the disk's. */
  readonly maxBytes: number | undefined
}

/** One verb for the writer. */
export interface Op {
  readonly verb: Verb
  readonly args: readonly unknown[]
}

/** The outcome of one op. */
export type OpResult = { readonly value: unknown } | { readonly error: PlainError }

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

/** To the reader: reads to do, one that nobody waits for any more, that the slice before was taken, or to close the files. */
export type ToReader = readonly ReadOp[] | { readonly over: number } | 'more' | 'close'

/** From the reader: the answer to a look-up, a slice of a walk, or why a read failed. */
export type ReadAnswer = { readonly id: number } & (
  | { readonly value: unknown }
  | { readonly slice: readonly unknown[]; readonly last: boolean }
  | { readonly error: PlainError }
)

/** What the copier is started with. */
export interface CopierData extends Pick<WriterData, 'path'> {
  /** The file that is made. */
  readonly copy: string
}

/** What a copy has. */
export type Copied = Pick<Snapshot, 'head' | 'schema' | 'counts' | 'keys' | 'wraps' | 'rootNumber'>

/** From the copier: how far it is, what the copy has, or why there is none, as its last word. */
export type FromCopier =
  | { readonly done: number; readonly total: number }
  | { readonly copied: Copied }
  | { readonly refused: PlainError }
