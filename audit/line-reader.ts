/**
 * Reads a file line by line, in bounded memory, and continues where it stopped when the file grows or
 * its room, the zero bytes at its end, is written to.
 */
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

  /** Bytes read after the last line that was taken. */
  get rest(): number {
    return this.#end - this.#start
  }

  /** The next whole line, reading what it takes; undefined when there is none for now. */
  async next(): Promise<Line | undefined> {
    for (let again = false; ; ) {
      const line = this.#take()
      if (line === undefined) {
        if (!(await this.#fill())) return undefined
      } else if (again || !line.bytes.includes(0)) {
        this.#offset += line.bytes.byteLength + 1
        this.#start += line.bytes.byteLength + 1
        return line
      } else {
        // Its end may have been written while its beginning was read. By now it is all there.
        again = true
        this.#end = this.#start
      }
    }
  }

  /** The next whole line of what was read so far. */
  #take(): Line | undefined {
    const newline = this.#memory.subarray(0, this.#end).indexOf(NEWLINE, this.#start)
    if (newline < 0) return undefined
    return { bytes: this.#memory.subarray(this.#start, newline), offset: this.#offset }
  }

  /** Reads more; false when there is nothing more for now, or no line can end any more. */
  async #fill(): Promise<boolean> {
    if (this.rest > MAX_WRITE_BYTES) return false
    this.#makeSpace()
    const into = this.#memory.subarray(this.#end)
    const at = this.#offset + this.rest
    const read = await this.#file.read(into, at)
    const used = lengthOf(into.subarray(0, read))
    // Zero bytes at the end may be something else the next time, unless something is after them.
    const isRoom = used === 0 && (await endOf(this.#file, at + read)) === at + read
    if (isRoom) return false
    this.#end += used === 0 ? read : used
    return true
  }

  /** Moves what was not taken to the front of the memory, of more memory if that is half full. */
  #makeSpace(): void {
    const from = this.#memory
    if (2 * this.rest > from.byteLength) this.#memory = Buffer.allocUnsafeSlow(2 * from.byteLength)
    from.copy(this.#memory, 0, this.#start, this.#end)
    this.#end = this.rest
    this.#start = 0
  }
}

/** Where a file ends but for its room, looked for from `from` on; that itself where nothing is after it. */
export async function endOf(file: ReadableFile, from: number): Promise<number> {
  const chunk = new Uint8Array(CHUNK_BYTES)
  let end = from
  for (let at = from; ; ) {
    const read = await file.read(chunk, at)
    if (read === 0) return end
    const used = lengthOf(chunk.subarray(0, read))
    if (used > 0) end = at + used
    at += read
  }
}

/** The number of bytes up to the last that is not zero. */
function lengthOf(bytes: Uint8Array): number {
  let length = bytes.byteLength
  while (length > 0 && bytes[length - 1] === 0) length--
  return length
}
