/**
 * Where backups are kept: whole objects by name. A target does not know what is in them. Every
 * verb may reject with `target_unavailable`, which names the target and what it was asked for.
 */
import type { S3Place } from './s3-place.ts'

/** Where backups are kept, as plain data: another thread opens it with `targetAt`. */
export type BackupPlace =
  | { readonly kind: 'directory'; readonly path: string }
  | ({ readonly kind: 's3' } & S3Place)

/** Reports how far a long task is. */
export type Progress = (step: string, done: number, total: number) => void

/** An object that is there whole. */
export interface TargetObject {
  readonly name: string
  /** In bytes. */
  readonly size: number
  /** Another one once the bytes were replaced. */
  readonly version?: string | undefined
}

/** What is put: the bytes, and how many there are. */
export interface Upload {
  readonly name: string
  readonly size: number
  readonly content: AsyncIterable<Uint8Array>
  /** Breaks it off. */
  readonly signal?: AbortSignal
}

/** A place that keeps backups. Names have letters, digits, dots and hyphens, and begin with a letter. */
export interface BackupTarget {
  /** Names it for people and for the audit log, such as `/mnt/backups`. Never a credential. */
  readonly description: string
  readonly place: BackupPlace

  /**
   * Every object that is there whole, by name in byte order. What is still being put is not there. `skip` hears of
   * entries that cannot be looked at, in words, and `folder` of the folders there, which may have backups of their own.
   */
  list(skip?: (words: string) => void, folder?: (name: string) => void): Promise<TargetObject[]>

  /**
   * Keeps an object under a name that is not taken. It is there whole and durable when this
   * resolves; when it rejects, or the process ends first, it is not there. Rejects with what the
   * content rejects with, and with `target_unavailable` where the name is taken or the content has
   * another number of bytes than was said.
   */
  put(upload: Upload): Promise<void>

  /** The bytes of an object, in pieces; a caller may stop early. Rejects with `no_backup` for none. */
  get(name: string): Promise<AsyncIterable<Uint8Array>>

  /** Removes an object. Nothing happens where there is none. */
  delete(name: string): Promise<void>
}
