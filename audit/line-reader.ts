/** Reads a file line by line, in bounded memory, and goes on where it stopped when the file grows. */
import type { ReadableFile } from './files.ts'
import { MAX_WRITE_BYTES } from './line.ts'

const CHUNK_BYTES = 64 * 1024
const NEWLINE = 0x0a

/** A whole line. */
export interface Line {
  /** Without the newline; to be used before more is read. */
  readonly bytes: Uint8Array
  /** Where it begins in the file. */
  readonly offset: number
}

/** The lines of one file. Text longer than any line can be, without a newline, is not gone through. */
export class LineReader {
  readonly #file: ReadableFile
  /** What was read and not taken is in `#memory` from `#start` to `#end`, and at `#offset` of the file. */
  #memory = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #start = 0
  #end = 0
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
    return this.#end - this.#start
  }

  /** The next whole line, reading what it takes; undefined when there is none for now. */
  async next(): Promise<Line | undefined> {
    for (;;) {
      const line = this.#take()
      if (line !== undefined) return line
      if (!(await this.#fill())) return undefined
    }
  }

  /** The next whole line of what was read so far. */
  #take(): Line | undefined {
    const newline = this.#memory.subarray(0, this.#end).indexOf(NEWLINE, this.#start)
    if (newline < 0) return undefined
    const line = { bytes: this.#memory.subarray(this.#start, newline), offset: this.#offset }
    this.#offset += newline + 1 - this.#start
    this.#start = newline + 1
    return line
  }

  /** Reads more; false when there is nothing more for now, or no line can end any more. */
  async #fill(): Promise<boolean> {
    if (this.rest > MAX_WRITE_BYTES) return false
    this.#makeRoom()
    const into = this.#memory.subarray(this.#end)
    const read = await this.#file.read(into, this.#offset + this.rest)
    this.#end += read
    return read > 0
  }

  /** Moves what was not taken to the front of the memory, of more memory if it fills it. */
  #makeRoom(): void {
    const from = this.#memory
    if (this.rest === from.byteLength) this.#memory = Buffer.allocUnsafeSlow(2 * from.byteLength)
    from.copy(this.#memory, 0, this.#start, this.#end)
    this.#end = this.rest
    this.#start = 0
  }
}
