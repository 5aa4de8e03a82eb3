/** The files that a path stands for: the segments of a folder, or one segment by itself. */
import { basename, join } from 'node:path'
import type { FileSystem, ReadableFile } from './files.ts'
import { decodeLine } from './line.ts'
import { LineReader } from './line-reader.ts'
import type { SegmentEntry, Stamp } from './record.ts'
import { listSegments, segmentId, segmentName } from './segment.ts'
import { errorCode, systemError } from '../client/platform/system-error.ts'

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

  /** Which segment has the record `id`: the last that begins no later. */
  indexOf(id: number): number {
    const later = this.#segments.findIndex((segment) => segment.id !== undefined && segment.id > id)
    return Math.max(later < 0 ? this.#segments.length - 1 : later - 1, 0)
  }

  /** The record that the segment at `index` begins with; undefined where there is none, or none can be read. */
  async header(index: number): Promise<(SegmentEntry & Stamp) | undefined> {
    const segment = this.#segments[index]
    if (segment === undefined) return undefined
    const file = await this.openSegment(segment)
    try {
      const line = await new LineReader(file).next()
      const header = line && decodeLine(line.bytes)
      return header?.kind === 'segment' ? header : undefined
    } finally {
      await file.close()
    }
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

function unreadable(path: string, error: unknown): Error {
  return systemError(error, 'read the audit log', path, {
    hint: 'Name the folder of the log, or one of the segments in it, as a user who may read it.',
  })
}
