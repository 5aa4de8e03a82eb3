/**
 * What a walk remembers of the records before, and the judgement of the next one: does it
 * follow? Looks past a record, through `Ahead`, only once something is wrong.
 */
import type { Damage, DamageKind, Position } from './damage.ts'
import { FORMAT, MAX_WRITE_BYTES, MIN_LINE_BYTES } from './line.ts'
import type { AuditRecord, Receipt, SegmentEntry, Stamp } from './record.ts'
import { segmentName } from './segment.ts'

/** The file that a record was found in, and the others. */
export interface Place extends Position {
  /** The first id of the segment, as its file is named; undefined where it has no such name. */
  readonly named: number | undefined
  /** Whether the log has a segment of this first id. */
  has(id: number): boolean
}

/** What follows the record that is judged. */
export interface Ahead {
  /** Whether the next record follows this one as it stands; undefined where there is no next. */
  intact(): Promise<boolean | undefined>
  /** Whether a record of this id comes later in the segment. */
  contains(id: number): Promise<boolean>
}

/** Bytes after the last record that are none: where they begin, and the id expected there. */
export interface Loose extends Position {
  readonly id: number
  readonly bytes: number
}

type Header = Stamp & SegmentEntry

/** No more records than this fit into one write, so as many may follow a header's `after`. */
const RECENT = MAX_WRITE_BYTES / MIN_LINE_BYTES

/** The records that a walk has passed. */
export class Trail {
  /** The record before; undefined where none is known and any record may come. */
  #last: Receipt | undefined
  /** The header of the segment that the record before is in, and the file. */
  #header: Header | undefined
  #segment = ''
  /** Hashes of the last records of that segment, by id modulo their number. */
  readonly #recent: string[] = Array<string>(RECENT).fill('')
  #loose: Loose | undefined
  /** Whether the next header can be compared with what is before it. */
  #linked: boolean

  /** Begins after the record `start`; undefined: somewhere in a log. */
  constructor(start: Receipt | undefined) {
    this.#last = start
    this.#linked = start !== undefined
  }

  /** Bytes after the last record that are none. */
  get loose(): Loose | undefined {
    return this.#loose
  }

  /** Takes a record as the last one, whatever was wrong with it. */
  follow(record: AuditRecord, hash: string, at: Position): void {
    if (at.line === 1) {
      this.#header = record.kind === 'segment' ? record : undefined
      this.#segment = at.segment
      this.#loose = undefined
      this.#linked = this.#header !== undefined
    }
    this.#last = { id: record.id, hash }
    this.#recent[record.id % RECENT] = hash
  }

  /** Skips a line that is not a record: what comes next cannot be compared with it. */
  skip(): void {
    this.#last = undefined
    this.#linked = false
  }

  /** Adds bytes that are no record, found at the end of a segment. */
  addLoose(bytes: number, at: Position): void {
    if (bytes === 0) return
    const first = this.#loose ?? { ...at, id: (this.#last?.id ?? -1) + 1, bytes: 0 }
    this.#loose = { ...first, bytes: first.bytes + bytes }
  }

  /** What is wrong with a line that is not a record. */
  unreadable(at: Place): Damage {
    const id = at.line === 1 ? (at.named ?? 0) : (this.#last?.id ?? -1) + 1
    return damage('unreadable', at, id, 'the line is not a record')
  }

  /** Whether a record that is not the first of its segment is the one that comes next. */
  follows({ id, prev }: AuditRecord, at: Position): boolean {
    const last = this.#last
    if (at.line === 1) return false
    return last === undefined || (id === last.id + 1 && prev === last.hash)
  }

  /** What is wrong with a record that comes next; undefined where nothing is. */
  async judge(record: AuditRecord, at: Place, ahead: Ahead): Promise<Damage | undefined> {
    if (at.line === 1) return this.#judgeHeader(record, at, ahead)
    const last = this.#last
    if (last === undefined) return undefined
    const expected = last.id + 1
    const { id, prev } = record
    if (prev === last.hash) {
      if (id === expected) return undefined
      return damage('altered', at, expected, `record ${expected} was altered: its id reads ${id}`)
    }
    if (id === expected) {
      if ((await ahead.intact()) === false) {
        return damage('altered', at, id, `record ${id} was altered`)
      }
      const text = `record ${last.id} was altered: record ${id} does not follow from it`
      return damage('altered', { segment: at.segment, line: at.line - 1 }, last.id, text)
    }
    if (id < expected) return damage('repeated', at, id, `record ${id} stands here again`)
    if (await ahead.contains(expected)) {
      return damage('reordered', at, expected, `record ${id} stands before record ${expected}`)
    }
    const text = `records from ${expected} on are missing: record ${id} follows record ${last.id}`
    return damage('missing', at, expected, text)
  }

  async #judgeHeader(record: AuditRecord, at: Place, ahead: Ahead): Promise<Damage | undefined> {
    if (record.kind !== 'segment') {
      return damage('missing', at, at.named ?? 0, 'the first record of the segment is missing')
    }
    const format: number = record.format
    if (format !== FORMAT) {
      const text = `the segment has format ${format}, and format ${FORMAT} is known`
      return damage('unknown-format', at, record.id, text)
    }
    const found = this.#ownProblem(record, at) ?? this.#linkProblem(record, at)
    if (found === undefined || (await ahead.intact()) !== false) return found
    return damage('altered', at, at.named ?? record.id, `record ${record.id} was altered`)
  }

  /** What is wrong with a header by itself. */
  #ownProblem({ id, log }: Header, at: Place): Damage | undefined {
    if (at.named !== undefined && id !== at.named) {
      return at.has(id)
        ? damage('repeated', at, id, `the segment of record ${id} stands here again`)
        : damage('reordered', at, at.named, `the segment of record ${id} has the name of another`)
    }
    if (this.#header === undefined || log === this.#header.log) return undefined
    return damage('foreign', at, id, `the segment belongs to log ${log}, not ${this.#header.log}`)
  }

  /** What is wrong between a header and the records before it. */
  #linkProblem(header: Header, at: Place): Damage | undefined {
    const last = this.#last
    if (!this.#linked || last === undefined) return undefined
    const { id, after, before, prev, torn } = header
    if (after > last.id) return this.#gap(header, last, at)
    const base = this.#base(header, last)
    if (base === undefined || before !== base.segment) {
      return damage('reordered', at, id, `record ${id} follows record ${after}, not ${last.id}`)
    }
    if (base.hash !== prev) {
      const held = base.segment === this.#header?.id
      const where = held ? this.#line(after) : at
      const text = `record ${after} was altered: record ${id} does not follow from it`
      return damage('altered', where, held ? after : id, text)
    }
    if (id <= last.id) {
      return damage('repeated', this.#line(id), id, `record ${id} stands in the next segment too`)
    }
    const loose = this.#loose
    if (loose === undefined || loose.bytes <= torn) return undefined
    const text = `${loose.bytes} bytes are not a record, and the next segment declares ${torn}`
    return damage('torn', loose, loose.id, text)
  }

  /** What is wrong where a header follows a record beyond the last one there is. */
  #gap({ id, after, before }: Header, last: Receipt, at: Place): Damage {
    const text = `record ${id} follows record ${after}, and record ${last.id} is the last before it`
    if (before <= (this.#header?.id ?? 0))
      return damage('cut', this.#line(last.id + 1), last.id + 1, text)
    const file = { segment: segmentName(before), line: 1 }
    if (!at.has(before)) return damage('segment-missing', file, before, text)
    return damage(this.#loose === undefined ? 'cut' : 'unreadable', file, before, text)
  }

  /** The hash of the record that a header names, and the segment it is in; undefined if neither. */
  #base({ after, before }: Header, last: Receipt): { hash: string; segment: number } | undefined {
    const held = this.#header
    // The log begins here: at its start, or where an older part was moved away.
    if (held === undefined)
      return after === last.id ? { hash: last.hash, segment: before } : undefined
    if (after >= held.id) {
      const hash = last.id - after < RECENT ? this.#recent[after % RECENT] : undefined
      return hash === undefined ? undefined : { hash, segment: held.id }
    }
    // The segment before was given up with its first record written, so this one follows the same.
    const givenUp = after === held.after && last.id === held.id
    return givenUp ? { hash: held.prev, segment: held.before } : undefined
  }

  /** Where the record `id` stands, or would stand, in the segment of the record before. */
  #line(id: number): Position {
    return { segment: this.#segment, line: id - (this.#header?.id ?? id) + 1 }
  }
}

function damage(kind: DamageKind, at: Position, id: number, message: string): Damage {
  return { damage: kind, segment: at.segment, line: at.line, id, message }
}
