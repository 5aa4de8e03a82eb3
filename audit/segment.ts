/**
 * One file of the log: its name, and the writer that begins it and adds to it until one write fails.
 * After the records it keeps room, zero bytes in whose place the next ones are written: that changes
 * neither the length of the file nor where it lies, so the file system has less to make durable.
 */
import { join } from 'node:path'
import type { FileSystem, WritableFile } from './files.ts'

/** The name of the segment whose first record is `id`. */
export function segmentName(id: number): string {
  return `${String(id).padStart(20, '0')}.jsonl`
}

/** The id of a segment's first record, out of the name of its file; undefined for other files. */
export function segmentId(name: string): number | undefined {
  const digits = /^(\d{20})\.jsonl$/.exec(name)?.[1]
  const id = Number(digits)
  return digits !== undefined && Number.isSafeInteger(id) && id > 0 ? id : undefined
}

/** The first ids of the segments in a folder, ascending. Rejects with the system's error. */
export async function listSegments(files: FileSystem, directory: string): Promise<number[]> {
  const ids = (await files.list(directory)).map(segmentId).filter((id) => id !== undefined)
  return ids.toSorted((a, b) => a - b)
}

/** A segment that is being written. After a rejected `write` it must only be closed. */
export class Segment {
  /** The id of its first record. */
  readonly id: number
  readonly path: string
  readonly #file: WritableFile
  readonly #room: Uint8Array
  #bytes = 0
  #length = 0

  private constructor(id: number, path: string, file: WritableFile, room: Uint8Array) {
    this.id = id
    this.path = path
    this.#file = file
    this.#room = room
  }

  /**
   * Makes the file of a segment with its first line, and with `room`, zero bytes, as often as that
   * is full. When it resolves, the line and the file's name in the folder are durable; when it
   * rejects, no file is left if that can be helped.
   */
  static async begin(
    files: FileSystem,
    directory: string,
    id: number,
    { header, room }: { header: Uint8Array; room: Uint8Array },
  ): Promise<Segment> {
    const path = join(directory, segmentName(id))
    const segment = new Segment(id, path, await files.create(path), room)
    try {
      await segment.#put(header)
      await segment.#file.sync()
      await files.syncFolder(directory)
      if (room.byteLength > 0) await segment.#makeRoom()
    } catch (error) {
      await segment.close()
      // A disk that stays full would otherwise gather an empty file for every attempt.
      await files.remove(path).catch(() => {})
      throw error
    }
    return segment
  }

  /** Bytes of records so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes of the file, with its room. */
  get length(): number {
    return this.#length
  }

  /** Adds all of `bytes`; resolves when they are durable. */
  write(bytes: Uint8Array): Promise<void> {
    const full = this.#bytes + bytes.byteLength > this.#length
    if (!full || this.#room.byteLength === 0) return this.#put(bytes)
    return this.#makeRoom().then(() => this.#put(bytes))
  }

  /** Gives back the room and lets go of the file. Never rejects: room that stays does no harm. */
  async end(): Promise<void> {
    await this.#file.truncate(this.#bytes).catch(() => {})
    await this.close()
  }

  /** Lets go of the file. Never rejects: what was to be durable was made so by `write`. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => {})
  }

  async #put(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const written = await this.#file.write(bytes.subarray(done), this.#bytes)
      if (written === 0) throw new Error('the file takes no more bytes')
      done += written
      this.#bytes += written
    }
    this.#length = Math.max(this.#length, this.#bytes)
  }

  async #makeRoom(): Promise<void> {
    this.#length += await this.#file.write(this.#room, this.#length)
  }
}
