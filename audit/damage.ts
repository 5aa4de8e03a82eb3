/** What can be wrong with a log, and what bytes a write that was cut short leaves. */
import type { AuditRecord } from './record.ts'

/** A kind of damage: one of a closed set. */
export type DamageKind =
  /** Bytes that are no record, where no crash can have left them. */
  | 'unreadable'
  /** A record is not what it was when the next one was written. */
  | 'altered'
  /** Records are not there, though others of the same segment before and after them are. */
  | 'missing'
  /** An id is in the log twice. */
  | 'repeated'
  /** A record or a segment is not in its place. */
  | 'reordered'
  /** A segment of another store's log. */
  | 'foreign'
  /** The end of a segment, or of the log, is not there. */
  | 'cut'
  /** A whole segment is not there. */
  | 'segment-missing'
  /** A segment in a format that this release does not know. */
  | 'unknown-format'
  /** More bytes after the last record of a segment than the next segment declares. */
  | 'torn'
  /** Records that the server did not write: their batch lacks the MAC that it should have. */
  | 'forged'

/** Where a record stands. */
export interface Position {
  /** The name of the segment's file. */
  readonly segment: string
  /** Counted from 1. */
  readonly line: number
}

/** A record and where it stands. */
export interface Located extends Position {
  readonly record: AuditRecord
  /** The SHA-256 of its line, in hex. */
  readonly hash: string
  /**
   * Whether nobody was answered on its strength: the log continues after an earlier record, or its batch has no
   * MAC, so that the server may not have written it.
   */
  readonly unconfirmed?: true
}

/** The record, for people and programs that do not look at where it stands: marked where it is unconfirmed. */
export function shown({ record, unconfirmed }: Located): AuditRecord {
  return unconfirmed ? { ...record, unconfirmed } : record
}

/** Something wrong with a log, and where. */
export interface Damage extends Position {
  readonly damage: DamageKind
  /** The id of the first record concerned; 0 where it cannot be told. */
  readonly id: number
  /** For people, half a sentence. */
  readonly message: string
}

/** What reaches a disk before a crash does so in units of this size, at multiples of it. */
const SECTOR_BYTES = 512

/**
 * Whether a line has a hole: zero bytes up to the end of a sector, where one did not reach the disk
 * before a crash. Records have no zero bytes; one somewhere in a line is not a hole.
 */
export function hasHole(bytes: Uint8Array, offset: number): boolean {
  let from = bytes.indexOf(0)
  while (from >= 0) {
    let to = from
    while (bytes[to] === 0) to++
    if ((offset + to) % SECTOR_BYTES === 0) return true
    from = bytes.indexOf(0, to)
  }
  return false
}
