/**
 * Goes through a log in order and checks every link of its chain: what the reader, the verifier
 * and the recovery after a crash stand on. docs/internals/audit-format.md states the rules.
 */
import { Batches, type BatchKeys, type Read, type Unproven } from './batches.ts'
import { type Damage, hasHole, type Located } from './damage.ts'
import { type FileSystem, nodeFiles, type ReadableFile } from './files.ts'
import { Folder, type SegmentFile } from './folder.ts'
import { beginning, decodeLine, hashBare, hashLine, MAX_WRITE_BYTES } from './line.ts'
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
  /** Verify the MACs of batches; absent: that there are some is all that is looked at. */
  readonly keys?: BatchKeys
  /** The record from which on every batch has a MAC, where that is known. */
  readonly macsFrom?: number
  /** Ends the walk: it then throws the reason of the signal. */
  readonly signal?: AbortSignal | undefined
  /** Called at the end of the log, with whether a batch has no end yet: true when there may be more by now. */
  readonly more?: (isOpen: boolean) => Promise<boolean>
}

/** The last step of a walk that came to the end of the log. */
export interface WalkEnd {
  /** Bytes at the end of the log that are no whole record: a write cut short, or one in flight. */
  readonly torn: number
  /** Records at the end that are in no batch with a MAC: of a write cut short, or in flight, or not the server's. */
  readonly unproven?: Unproven
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

  const batches = new Batches(options.keys, options.macsFrom)

  const more = async (): Promise<boolean> => {
    if (options.more === undefined || !(await options.more(batches.isOpen))) return false
    await folder.refresh()
    return true
  }

  for (let index = folder.indexOf(from); ; index++) {
    while (index >= folder.segments.length && (await more()));
    const segment = folder.segments[index]
    if (segment === undefined) break
    const { after = Number.POSITIVE_INFINITY } = (await folder.header(index + 1)) ?? {}
    const file = await folder.openSegment(segment)
    try {
      const steps = new SegmentWalk(file, segment, folder, trail)
      for (;;) {
        options.signal?.throwIfAborted()
        const step = await steps.next()
        if (step === undefined) {
          const growing = !steps.ended && index + 1 >= folder.segments.length
          if (growing && (await more())) continue
          break
        }
        for (const out of 'damage' in step ? [step] : batches.take(step)) {
          yield isUnconfirmed(out, after) ? { ...out, unconfirmed: true } : out
          if ('damage' in out && !lenient) return
        }
      }
      await steps.finish()
    } finally {
      await file.close()
    }
    yield* batches.end()
  }
  const { loose } = trail
  const { unproven } = batches
  if (loose !== undefined && loose.bytes > MAX_WRITE_BYTES) {
    const message = `${loose.bytes} bytes at the end are not a record, more than one write leaves`
    yield { ...loose, damage: 'unreadable', message }
    if (!lenient) return
  }
  yield { torn: loose?.bytes ?? 0, ...(unproven && { unproven }) }
}

/** Whether a record stands after the one that the next segment follows. */
function isUnconfirmed(step: Located | Damage, after: number): step is Located {
  return 'record' in step && step.record.id > after
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
  #held: Read | undefined
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
  async next(): Promise<Read | Damage | undefined> {
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
    const { mac } = record
    const bare = mac === undefined ? undefined : hashBare(line.bytes, mac)
    const bytes = line.bytes.byteLength
    const { segment, line: number } = at
    const found = {
      segment,
      line: number,
      record,
      hash,
      bytes,
      ...(bare !== undefined && { bare }),
    }
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
