/** The end of a log that is being written: the segment in use, the last record, the next id. */
import type { FileSystem } from './files.ts'
import type { BatchMacs } from './batches.ts'
import {
  beginning,
  encodeEntry,
  encodeLine,
  FORMAT,
  hashLine,
  MAC_BYTES,
  MAX_WRITE_BYTES,
  macEnding,
} from './line.ts'
import type { Batch, Waiting } from './queue.ts'
import type { Receipt, Stamp } from './record.ts'
import { type Continuation, later } from './recovery.ts'
import { Segment } from './segment.ts'

/** What the end of a log is made with. */
interface TailOptions {
  readonly directory: string
  readonly logId: string
  readonly revision: () => number
  readonly clock: () => Date
  readonly files: FileSystem
  /** Bytes of room that a segment makes at once. */
  readonly roomBytes: number
  readonly salt: () => string | undefined
  readonly macs?: BatchMacs
}

/** Characters that the middle of a line may have, so that a write holds at least one line. */
export const MAX_MIDDLE_LENGTH: number = Math.floor(MAX_WRITE_BYTES / 4)

/** Where records are added. Its methods run one at a time. */
export class Tail {
  readonly #options: TailOptions
  /** Holds the lines of a batch: only one is written at once. */
  readonly #memory = Buffer.allocUnsafeSlow(MAX_WRITE_BYTES)
  readonly #room: Uint8Array
  #segment: Segment | undefined
  #head: Receipt
  /** The first id of the segment that holds `#head`. */
  #heldIn: number
  #nextId: number
  #revision: number
  /** The latest time of any record; empty where there is none. */
  #latest: string
  /** Bytes after `#head` that may be on the disk and are not a whole record. */
  #torn: number
  /** At most so many records after `#head` are on the disk and in no batch with a MAC. */
  #unproven: number
  /** The number of the key that the segment's batches have their MACs from; undefined where they have none. */
  #key: number | undefined
  /** Durable changes whose outcome is not known. */
  readonly open: Set<number>
  /** Records that could not be written, and that no segment declares yet. */
  lost = 0

  constructor(options: TailOptions, { recovered, nextId, heldIn, latest = '' }: Continuation) {
    this.#options = options
    this.#room = new Uint8Array(options.roomBytes)
    this.#head = recovered.last ?? beginning
    this.#heldIn = heldIn
    this.#nextId = nextId
    this.#revision = recovered.revision
    this.#latest = latest
    this.#torn = recovered.torn
    this.#unproven = recovered.unproven?.count ?? 0
    this.open = new Set(recovered.open.map(({ id }) => id))
  }

  /** The last durable record. */
  get head(): Receipt {
    return this.#head
  }

  /** The file in use and what was written to it; undefined before the first, and after a failure. */
  get segment(): Pick<Segment, 'path' | 'bytes' | 'length'> | undefined {
    return this.#segment
  }

  /** Whether there is a newer key than that of the segment in use. */
  get hasOldKey(): boolean {
    return this.#segment !== undefined && this.#key !== this.#options.macs?.keys.auditKeys[0]
  }

  /** Begins a new segment. Rejects with the system's error, and then there is none in use. */
  async begin(): Promise<void> {
    const { directory, logId, files, salt, macs } = this.#options
    const { lost } = this
    const latest = this.#latest
    void this.end()
    const stamp = this.#stamp()
    this.#key = macs?.keys.auditKeys[0]
    const ofMacs = macs &&
      this.#key !== undefined && {
        branch: macs.branch,
        key: this.#key,
        macsFrom: macs.from(),
        unproven: this.#unproven,
      }
    const entry = {
      kind: 'segment',
      format: FORMAT,
      log: logId,
      after: this.#head.id,
      before: this.#heldIn,
      torn: this.#torn,
      open: [...this.open].toSorted((a, b) => a - b),
      lost,
      // Else the time of this record says it.
      ...(latest > stamp.time && { latest }),
      ...ofMacs,
    } as const
    const bare = encodeLine(encodeEntry(entry, salt), stamp)
    const mac = this.#macOf([hashLine(bare)])
    const line = mac === undefined ? bare : bare.slice(0, -1) + macEnding(mac)
    const header = Buffer.from(`${line}\n`)
    this.#nextId++
    this.#torn += header.byteLength
    this.#unproven++
    this.#segment = await Segment.begin(files, directory, stamp.id, { header, room: this.#room })
    this.#torn = 0
    this.#unproven = 0
    this.#head = { id: stamp.id, hash: hashLine(line) }
    this.#heldIn = stamp.id
    this.lost -= lost
  }

  /**
   * Takes as many entries off the front of `queue` as fit into one write, and makes lines of them;
   * these must be written before the next are made.
   */
  build(queue: Waiting[]): Batch {
    const stamp = this.#stamp()
    let last = this.#head
    let used = 0
    let begin = 0
    const hashes: string[] = []
    for (const item of queue) {
      const line = encodeLine(item.middle, { ...stamp, id: this.#nextId, prev: last.hash })
      // No character takes more than three bytes of UTF-8.
      if (used + line.length * 3 + MAC_BYTES + 1 > MAX_WRITE_BYTES) break
      const end = used + this.#memory.write(line, used)
      last = { id: this.#nextId++, hash: hashLine(this.#memory.subarray(used, end)) }
      this.#memory[end] = 0x0a
      begin = used
      used = end + 1
      item.receipt = last
      hashes.push(last.hash)
    }
    const items = queue.splice(0, hashes.length)
    const mac = this.#macOf(hashes)
    const ending = items.at(-1)
    if (mac !== undefined && ending !== undefined) {
      const end = used - 2 + this.#memory.write(`${macEnding(mac)}\n`, used - 2)
      last = { id: last.id, hash: hashLine(this.#memory.subarray(begin, end - 1)) }
      ending.receipt = last
      used = end
    }
    return { items, bytes: this.#memory.subarray(0, used), last }
  }

  /** Undefined where the segment's batches have no MACs. */
  #macOf(hashes: readonly string[]): string | undefined {
    const { macs } = this.#options
    return this.#key === undefined ? undefined : macs?.keys.auditMac(hashes, this.#key).mac
  }

  /** Writes lines. Rejects with the system's error, and then the segment must be given up. */
  async write({ items, bytes, last }: Batch): Promise<void> {
    this.#torn = bytes.byteLength
    this.#unproven = items.length
    await this.#segment?.write(bytes)
    this.#torn = 0
    this.#unproven = 0
    this.#head = last
  }

  /** Ends the segment, of which no write failed. Never rejects. */
  async end(): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    await segment?.end()
  }

  /** Lets go of the segment as it is, for good. */
  giveUp(): void {
    void this.#segment?.close()
    this.#segment = undefined
  }

  #stamp(): Stamp {
    const { clock, revision } = this.#options
    this.#revision = Math.max(this.#revision, revision())
    const time = clock().toISOString()
    this.#latest = later(this.#latest, time)
    return { id: this.#nextId, time, revision: this.#revision, prev: this.#head.hash }
  }
}
