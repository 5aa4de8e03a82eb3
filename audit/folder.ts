/** The files that a path stands for: the segments of a folder, or one segment by itself. */
import { basename, join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import type { FileSystem, ReadableFile } from './files.ts'
import { listSegments, segmentId, segmentName } from './segment.ts'
import { reasonOf } from './unavailable.ts'
import { errorCode } from '../server/platform/system-error.ts'

/** A segment's file. */
export interface SegmentFile {
  readonly name: string
  /** The first id, out of the name; undefined where a lone file has another name. */
  readonly id: number | undefined
}

/** The segments at a path, in order. */
export class Folder {
  readonly #files: FileSystem
  readonly #path: string
  /** Whether the path is one segment, which is then gone through by itself. */
  readonly single: boolean
  #segments: readonly SegmentFile[]

  private constructor(files: FileSystem, path: string, segments?: readonly SegmentFile[]) {
    this.#files = files
    this.#path = path
    this.single = segments === undefined
    this.#segments = segments ?? [{ name: basename(path), id: segmentId(basename(path)) }]
  }

  /** Throws SottoError `local` where the path cannot be read. */
  static async open(files: FileSystem, path: string): Promise<Folder> {
    try {
      return new Folder(files, path, await segmentsIn(files, path))
    } catch (error) {
      if (errorCode(error) === 'ENOTDIR') return new Folder(files, path)
      throw unreadable(path, error)
    }
  }

  get segments(): readonly SegmentFile[] {
    return this.#segments
  }

  /** Whether there is a segment of this first id. */
  has(id: number): boolean {
    return this.#segments.some((segment) => segment.id === id)
  }

  /** Looks for segments that came since. */
  async refresh(): Promise<void> {
    if (!this.single) this.#segments = await segmentsIn(this.#files, this.#path)
  }

  /** Opens one of the segments. Throws SottoError `local` where it cannot be read. */
  async openSegment(segment: SegmentFile): Promise<ReadableFile> {
    const path = this.single ? this.#path : join(this.#path, segment.name)
    try {
      return await this.#files.open(path)
    } catch (error) {
      throw unreadable(path, error)
    }
  }
}

async function segmentsIn(files: FileSystem, path: string): Promise<SegmentFile[]> {
  return (await listSegments(files, path)).map((id) => ({ name: segmentName(id), id }))
}

function unreadable(path: string, error: unknown): SottoError {
  return new SottoError('local', `Cannot read the audit log ${quote(path)}: ${reasonOf(error)}`, {
    hint: 'Name the folder of the log, or one of the segments in it, as a user who may read it.',
    cause: error,
  })
}
