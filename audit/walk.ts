/**
 * Goes through a log in order and checks every link of its chain: what the reader, the verifier
 * and the recovery after a crash stand on. docs/audit-format.md states the rules.
 */
import { type Damage, hasHole, type Located } from './damage.ts'
import { type FileSystem, nodeFiles, type ReadableFile } from './files.ts'
import { Folder, type SegmentFile } from './folder.ts'
import { beginning, decodeLine, hashLine, MAX_WRITE_BYTES } from './line.ts'
import { endOf, type Line, LineReader } from './line-reader.ts'
import type { Receipt } from './record.ts'
import { type Ahead, type Place, Trail } from './trail.ts'

/** How to go through a log. */
export interface WalkOptions {
  readonly files?: FileSystem
  /** Begins with the segment that holds this id, whose link to what is before is not checked. */
  readonly from?: number
  /** The record that the log begins after, where an older part of it was moved away. */
  readonly after?: Receipt
  /** Continues after damage instead of ending there. */
  readonly lenient?: boolean
  /** Called at the end of the log: true when there may be more by now, false to end. */
  readonly more?: () => Promise<boolean>
}

/** The last step of a walk that came to the end of the log. */
export interface WalkEnd {
  /** Bytes at the end of the log that are no whole record: a write cut short, or one in flight. */
  readonly torn: number
}

/**
 * The records of the log at `path`, a folder or a single segment, in order, and damage where it
 * shows; the walk ends there unless it is lenient. Throws SottoError `local` when the log cannot
 * be read.
 */
export async function* walk(
  path: string,
  options: WalkOptions = {},
): AsyncGenerator<Located | Damage | WalkEnd> {
  const { from = 0, lenient = false } = options
  const folder = await Folder.open(options.files ?? nodeFiles, path)
  const trail = new Trail(folder.single || from > 0 ? undefined : (options.after ?? beginning))

  const more = async (): Promise<boolean> => {
    if (options.more === undefined || !(await options.more())) return false
    await folder.refresh()
    return true
  }

  for (let index = firstIndex(folder, from); ; index++) {
    while (index >= folder.segments.length && (await more()));
    const segment = folder.segments[index]
    if (segment === undefined) break
    const file = await folder.openSegment(segment)
    try {
      const steps = new SegmentWalk(file, segment, folder, trail)
      for (;;) {
        const step = await steps.next()
        if (step === undefined) {
          const growing = !steps.ended && index + 1 >= folder.segments.length
          if (growing && (await more())) continue
          break
        }
        yield step
        if ('damage' in step && !lenient) return
      }
      await steps.finish()
    } finally {
      await file.close()
    }
  }
  const { loose } = trail
  if (loose !== undefined && loose.bytes > MAX_WRITE_BYTES) {
    const message = `${loose.bytes} bytes at the end are not a record, more than one write leaves`
    yield { ...loose, damage: 'unreadable', message }
    if (!lenient) return
  }
  yield { torn: loose?.bytes ?? 0 }
}

/** The segment that a walk from the record `from` begins with: the last that begins no later. */
function firstIndex(folder: Folder, from: number): number {
  const later = folder.segments.findIndex(({ id }) => id !== undefined && id > from)
  const index = later < 0 ? folder.segments.length - 1 : later - 1
  return Math.max(index, 0)
}

/** The steps through one segment. */
class SegmentWalk {
  readonly #file: ReadableFile
  readonly #segment: SegmentFile
  readonly #folder: Folder
  readonly #trail: Trail
  readonly #lines: LineReader
  #line = 0
  /** A record whose damage was told first. */
  #held: Located | undefined
  /** Where bytes begin that a crash left instead of records. */
  #looseFrom: number | undefined

  constructor(file: ReadableFile, segment: SegmentFile, folder: Folder, trail: Trail) {
    this.#file = file
    this.#segment = segment
    this.#folder = folder
    this.#trail = trail
    this.#lines = new LineReader(file)
  }

  /** Whether nothing that is added to the file could be a record any more. */
  get ended(): boolean {
    return this.#looseFrom !== undefined
  }

  /** The next record, or damage; undefined at the end of the file. */
  async next(): Promise<Located | Damage | undefined> {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) return held
    const line = this.ended ? undefined : await this.#lines.next()
    if (line === undefined) return undefined
    const record = decodeLine(line.bytes)
    if (record === undefined && (await this.#isLoose(line))) {
      this.#looseFrom = line.offset
      return undefined
    }
    this.#line++
    const at = this.#place()
    if (record === undefined) {
      const damage = this.#trail.unreadable(at)
      this.#trail.skip()
      return damage
    }
    const hash = hashLine(line.bytes)
    const damage = this.#trail.follows(record, at)
      ? undefined
      : await this.#trail.judge(record, at, aheadOf(this.#file, line, hash))
    const found = { segment: at.segment, line: at.line, record, hash }
    this.#trail.follow(record, hash, at)
    if (damage !== undefined) this.#held = found
    return damage ?? found
  }

  /** Gives the trail what the segment ended with. */
  async finish(): Promise<void> {
    const from = this.#looseFrom
    // A second look would also count what was written since the last read.
    const bytes = from === undefined ? this.#lines.rest : (await endOf(this.#file, from)) - from
    this.#line++
    this.#trail.addLoose(bytes, this.#place())
  }

  #place(): Place {
    const { name, id } = this.#segment
    return { segment: name, line: this.#line, named: id, has: (other) => this.#folder.has(other) }
  }

  /** Whether a line that is not a record can be what a crash left of a write. */
  async #isLoose({ bytes, offset }: Line): Promise<boolean> {
    if (this.#line > 0) return hasHole(bytes, offset)
    // Nothing is written to a segment before its first line is durable.
    const behind = offset + bytes.byteLength + 1
    return (await endOf(this.#file, behind)) === behind
  }
}

/** What follows a line. */
function aheadOf(file: ReadableFile, { offset, bytes }: Line, hash: string): Ahead {
  const lines = () => new LineReader(file, offset + bytes.byteLength + 1)
  return {
    async intact() {
      const next = await lines().next()
      const record = next && decodeLine(next.bytes)
      return record && record.prev === hash
    },
    async contains(id) {
      const rest = lines()
      for (;;) {
        const next = await rest.next()
        if (next === undefined) return false
        if (decodeLine(next.bytes)?.id === id) return true
      }
    },
  }
}
