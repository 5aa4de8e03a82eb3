/** How large a log is. Segments that are full do not change, and are looked at once. */
import { join } from 'node:path'
import type { FileSystem } from './files.ts'
import { listSegments, segmentName } from './segment.ts'

/** The size of a log. */
export interface LogSize {
  readonly segments: number
  /** Of all segments. */
  readonly bytes: number
  /** Bytes that can still be written to their file system. */
  readonly free: number
}

/** Looks at the folder of a log. */
export class FolderSize {
  readonly #files: FileSystem
  readonly #directory: string
  /** Bytes of segments by their first ids, as of the last look. */
  #known: ReadonlyMap<number, number> = new Map()

  constructor(files: FileSystem, directory: string) {
    this.#files = files
    this.#directory = directory
  }

  /** Rejects with the system's error. */
  async look(): Promise<LogSize> {
    const ids = await listSegments(this.#files, this.#directory)
    const sizes = new Map<number, number>()
    let bytes = 0
    for (const [index, id] of ids.entries()) {
      const ended = index < ids.length - 2
      const size = (ended ? this.#known.get(id) : undefined) ?? (await this.#sizeOf(id))
      sizes.set(id, size)
      bytes += size
    }
    this.#known = sizes
    return { segments: ids.length, bytes, free: await this.#files.freeBytes(this.#directory) }
  }

  /** 0 for one that was moved away meanwhile. */
  async #sizeOf(id: number): Promise<number> {
    return (await this.#files.size(join(this.#directory, segmentName(id)))) ?? 0
  }
}
