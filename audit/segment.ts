/** One file of the log: its name, and the writer that begins it and adds to it until one write fails. */
import { join } from 'node:path'
import type { AppendableFile, FileSystem } from './files.ts'

/** The name of the segment whose first record is `id`. */
export function segmentName(id: number): string {
  return `${String(id).padStart(20, '0')}.jsonl`
}

/** The id of the first record of the segment that a file's name tells; undefined for other files. */
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
  readonly #file: AppendableFile
  #bytes = 0

  private constructor(id: number, path: string, file: AppendableFile) {
    this.id = id
    this.path = path
    this.#file = file
  }

  /**
   * Makes the file of a segment with its first line. When it resolves, both the line and the
   * file's name in the folder are durable; when it rejects, no file is left if that can be helped.
   */
  static async begin(
    files: FileSystem,
    directory: string,
    id: number,
    header: Uint8Array,
  ): Promise<Segment> {
    const path = join(directory, segmentName(id))
    const segment = new Segment(id, path, await files.create(path))
    try {
      await segment.write(header)
      await segment.#file.sync()
      await files.syncFolder(directory)
    } catch (error) {
      await segment.close()
      // A disk that stays full would otherwise gather an empty file for every attempt.
      await files.remove(path).catch(() => {})
      throw error
    }
    return segment
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Appends all of `bytes`; resolves when they are durable. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.byteLength > 0) {
      const written = await this.#file.write(rest)
      if (written === 0) throw new Error('the file takes no more bytes')
      this.#bytes += written
      rest = rest.subarray(written)
    }
  }

  /** Lets go of the file. Never rejects: what was to be durable was made so by `write`. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => {})
  }
}
