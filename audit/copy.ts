/** What of a log is to be copied while it is being written: whole segments, up to a known record. */
import { join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import { nodeFiles } from './files.ts'
import { decodeLine, hashLine } from './line.ts'
import { endOf, LineReader } from './line-reader.ts'
import type { Receipt } from './record.ts'
import { listSegments, segmentName } from './segment.ts'

/** Segments that follow each other. */
interface LogCopy {
  /** The record that the first of them begins after. */
  readonly after: Receipt
  /** The name of each file, and how many bytes from its beginning are copied. */
  readonly segments: readonly { readonly name: string; readonly bytes: number }[]
}

/**
 * The segments in a folder that have the records from after `after` up to `last`, the newest that was
 * durable. Rejects with `audit_damaged` where `last` is not in the log.
 */
export async function planCopy(
  directory: string,
  { after, last }: { readonly after: number; readonly last: Receipt },
): Promise<LogCopy> {
  const all = (await listSegments(nodeFiles, directory)).filter((id) => id <= last.id)
  const from = all.findLastIndex((id) => id <= after + 1)
  const wanted = all.slice(Math.max(from, 0))
  const segments: { name: string; bytes: number }[] = []
  let begins: Receipt | undefined
  for (const id of wanted) {
    const file = await nodeFiles.open(join(directory, segmentName(id)))
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
  if (begins && segments.length === wanted.length) return { after: begins, segments }
  throw new SottoError(
    'audit_damaged',
    `Record ${last.id} is not in the audit log ${quote(directory)} as it is known`,
    { hint: 'Run `sotto audit verify` on it.' },
  )
}

/** The first `bytes` of a file, in pieces. Rejects with the system's error, and where it has fewer. */
export async function* readStart(path: string, bytes: number): AsyncGenerator<Uint8Array> {
  const file = await nodeFiles.open(path)
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
    if (!line || !record || record.id > id) return undefined
    if (record.id < id) continue
    return hashLine(line.bytes) === hash ? lines.offset : undefined
  }
}
