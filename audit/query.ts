/** Answers questions such as "who read this?" from a log. */
import type { Located } from './damage.ts'
import { nodeFiles, type FileSystem } from './files.ts'
import { Folder } from './folder.ts'
import { decodeLine } from './line.ts'
import { LineReader } from './line-reader.ts'
import { type ReadOptions, readLog } from './reader.ts'
import type { AuditRecord, Result } from './record.ts'

/** Which records are asked for: those that match everything that is given. */
export interface Filter {
  /** Whether the name of the secret is one that is asked for; records without a name don't match. */
  readonly secretMatches?: (name: string) => boolean
  /** A login name, a tag, the name of a node, or an address. */
  readonly principal?: string
  readonly action?: string
  /** How an access came out; changes have no result and don't match. */
  readonly result?: Result
  readonly kinds?: readonly AuditRecord['kind'][]
  /** The first moment that is asked for. */
  readonly since?: Date
  /** The first moment that is no longer asked for. */
  readonly until?: Date
}

/**
 * The records of the log at `path` that match, in order. With `since`, segments that end before it
 * by the times of their first records are not opened. Throws what `readLog` throws.
 */
export async function* queryLog(
  path: string,
  filter: Filter,
  options: ReadOptions = {},
): AsyncGenerator<Located> {
  const { since } = filter
  const earliest = since ? await segmentBefore(options.files ?? nodeFiles, path, since) : 0
  const after = Math.max(options.after ?? 0, earliest - 1)
  for await (const found of readLog(path, { ...options, after })) {
    if (isAsked(filter, found.record)) yield found
  }
}

/** Whether a record is one that is asked for. */
export function isAsked(filter: Filter, record: AuditRecord): boolean {
  const { secretMatches, principal, action, result, kinds, since, until } = filter
  if (kinds !== undefined && !kinds.includes(record.kind)) return false
  if (since !== undefined && record.time < since.toISOString()) return false
  if (until !== undefined && record.time >= until.toISOString()) return false
  if (action !== undefined && !('action' in record && record.action === action)) return false
  if (result !== undefined && !('result' in record && record.result === result)) return false
  if (principal !== undefined && !concerns(record, principal)) return false
  if (secretMatches === undefined) return true
  return 'secret' in record && record.secret !== undefined && secretMatches(record.secret)
}

function concerns(record: AuditRecord, name: string): boolean {
  if ('ip' in record && record.ip === name) return true
  // The user of the system, and the host.
  if ('operator' in record && record.operator !== undefined) {
    return [record.operator, record.operator.split(' on ')[0]].includes(name)
  }
  const principal = 'principal' in record ? record.principal : undefined
  if (principal === undefined) return false
  const { user, tags = [], hostname, ip } = principal
  return user === name || hostname === name || ip === name || tags.includes(name)
}

/** The first id of the last segment that began before a moment; 0 where none did. */
export async function segmentBefore(
  files: FileSystem,
  path: string,
  moment: Date,
): Promise<number> {
  const folder = await Folder.open(files, path)
  if (folder.single) return 0
  for (const segment of folder.segments.toReversed()) {
    const file = await folder.openSegment(segment)
    try {
      const line = await new LineReader(file).next()
      const record = line === undefined ? undefined : decodeLine(line.bytes)
      if (record !== undefined && record.time < moment.toISOString()) return record.id
    } finally {
      await file.close()
    }
  }
  return 0
}
