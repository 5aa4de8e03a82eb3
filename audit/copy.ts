/** What of a log is to be copied while it is being written: whole segments, up to a known record. */
import { join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import { type FileSystem, nodeFiles } from './files.ts'
import { decodeLine, hashLine } from './line.ts'
import { endOf, LineReader } from './line-reader.ts'
import type { Receipt } from './record.ts'
import { listSegments, segmentName } from './segment.ts'

/** A segment, and how much of it. */
export interface SegmentCopy {
  /** The name of its file. */
  readonly name: string
  /** Bytes from its beginning that are copied. */
  readonly bytes: number
}

/** Segments that follow each other. */
export interface LogCopy {
  /** The record that the first of them begins after. */
  readonly after: Receipt
  readonly last: Receipt
  readonly segments: readonly SegmentCopy[]
}

/**
 * The segments in a folder that have the records from after `after` up to `last`, the newest that was
 * durable. Rejects with `audit_damaged` where `last` is not in the log.
 */
export async function planCopy(
  directory: string,
  { after, last }: { readonly after: number; readonly last: Receipt },
  files: FileSystem = nodeFiles,
): Promise<LogCopy> {
  const all = (await listSegments(files, directory)).filter((id) => id <= last.id)
  const from = Math.max(
    0,
    all.findLastIndex((id) => id <= after + 1),
  )
  const segments: SegmentCopy[] = []
  let begins: Receipt | undefined
  for (const id of all.slice(from)) {
    const file = await files.open(join(directory, segmentName(id)))
    try {
      const lines = new LineReader(file)
      const first = await lines.next()
      const header = first && decodeLine(first.bytes)
      if (header?.kind === 'segment') begins ??= { id: header.after, hash: header.prev }
      const bytes =
        id === all.at(-1) ? await endOfRecord(new LineReader(file), last) : await endOf(file, 0)
      if (bytes === undefined) break
      segments.push({ name: segmentName(id), bytes })
    } finally {
      await file.close()
    }
  }
  if (begins !== undefined && segments.length === all.length - from) {
    return { after: begins, last, segments }
  }
  throw new SottoError(
    'audit_damaged',
    `Record ${last.id} is not in the audit log ${quote(directory)} as it is known`,
    { hint: 'Run `sotto audit verify` on it.' },
  )
}

/** The first `bytes` of a file, in pieces. Rejects with the system's error, and where it has fewer. */
export async function* readStart(
  path: string,
  bytes: number,
  files: FileSystem = nodeFiles,
): AsyncGenerator<Uint8Array> {
  const file = await files.open(path)
  try {
    for (let at = 0; at < bytes; ) {
      const piece = Buffer.allocUnsafe(Math.min(256 * 1024, bytes - at))
      const read = await file.read(piece, at)
      if (read === 0) throw new Error(`${path} ended at ${at} of ${bytes} bytes`)
      yield piece.subarray(0, read)
      at += read
    }
  } finally {
    await file.close()
  }
}

/** Where the line of a record ends; undefined where it is not there. */
async function endOfRecord(lines: LineReader, { id, hash }: Receipt): Promise<number | undefined> {
  for (;;) {
    const line = await lines.next()
    const record = line && decodeLine(line.bytes)
    if (line === undefined || record === undefined || record.id > id) return undefined
    if (record.id === id && hashLine(line.bytes) !== hash) return undefined
    if (record.id === id) return line.offset + line.bytes.byteLength + 1
  }
}
