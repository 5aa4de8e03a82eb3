/** Reads a file line by line, in bounded memory, and goes on where it stopped when the file grows. */
import type { ReadableFile } from './files.ts'
import { MAX_WRITE_BYTES } from './line.ts'

const CHUNK_BYTES = 256 * 1024
const NEWLINE = 0x0a

/** A whole line. */
export interface Line {
  /** Without the newline. */
  readonly bytes: Uint8Array
  /** Where it begins in the file. */
  readonly offset: number
}

/** The lines of one file. Text longer than any line can be, without a newline, is not gone through. */
export class LineReader {
  readonly #file: ReadableFile
  /** What was read and not taken: `#buffer` from `#start` on, which is the file's `#offset`. */
  #buffer: Buffer = Buffer.alloc(0)
  #start = 0
  #offset: number

  /** Begins at `offset` of the file. */
  constructor(file: ReadableFile, offset = 0) {
    this.#file = file
    this.#offset = offset
  }

  /** Where the next line begins in the file. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes read behind the last line that was taken. */
  get rest(): number {
    return this.#buffer.byteLength - this.#start
  }

  /** The next whole line of what was read so far; undefined when there is none. */
  take(): Line | undefined {
    const end = this.#buffer.indexOf(NEWLINE, this.#start)
    if (end < 0) return undefined
    const line = { bytes: this.#buffer.subarray(this.#start, end), offset: this.#offset }
    this.#offset += end + 1 - this.#start
    this.#start = end + 1
    return line
  }

  /** Reads more. False when there is nothing more for now, or no line can begin here any more. */
  async fill(): Promise<boolean> {
    const kept = this.#buffer.subarray(this.#start)
    if (kept.byteLength > MAX_WRITE_BYTES) return false
    const next = Buffer.allocUnsafe(kept.byteLength + CHUNK_BYTES)
    kept.copy(next)
    const into = next.subarray(kept.byteLength)
    const read = await this.#file.read(into, this.#offset + kept.byteLength)
    if (read === 0) return false
    this.#buffer = next.subarray(0, kept.byteLength + read)
    this.#start = 0
    return true
  }

  /** The next whole line, reading what it takes; undefined when there is none for now. */
  async next(): Promise<Line | undefined> {
    for (;;) {
      const line = this.take()
      if (line !== undefined) return line
      if (!(await this.fill())) return undefined
    }
  }
}
