/** Answers questions such as "who read this?" from a log. */
import { shown } from './damage.ts'
import { nodeFiles, type FileSystem } from './files.ts'
import { Folder } from './folder.ts'
import { decodeLine } from './line.ts'
import { LineReader } from './line-reader.ts'
import { type ReadOptions, readLog } from './reader.ts'
import { type Judged, type Outcome, TakenBack } from './outcomes.ts'
import type { AuditRecord } from './record.ts'
import { isAbout } from './vocabulary.ts'

/** Which records are asked for: those that match everything that is given. */
export interface Filter {
  /** Whether the name of the secret is one that is asked for; records without a name don't match. */
  readonly secretMatches?: (name: string) => boolean
  /** A login name, a tag, the name of a node, or an address, in any case. */
  readonly principal?: string
  /** What was done, or the action of the rules that it took. */
  readonly action?: string
  /** How an act came out, by all of the log. */
  readonly outcome?: Outcome
  readonly kinds?: readonly AuditRecord['kind'][]
  /** The first moment that is asked for. */
  readonly since?: Date
  /** The first moment that is no longer asked for. */
  readonly until?: Date
}

/** How to read a log for a question. */
export interface QueryOptions extends ReadOptions {
  /** Called for each record that is looked at. */
  readonly look?: () => void
}

/**
 * The records of the log at `path` that match, in order, with their outcomes. With `since`, segments that end before it
 * by the times of their first records are not opened. Throws what `readLog` throws.
 */
export async function* queryLog(
  path: string,
  filter: Filter,
  options: QueryOptions = {},
): AsyncGenerator<Judged> {
  const { since } = filter
  const { files = nodeFiles } = options
  const earliest = since ? await segmentBefore(files, path, since) : 0
  const after = Math.max(options.after ?? 0, earliest - 1)
  const takenBack = new TakenBack()
  const folder = await Folder.open(files, path)
  await takenBack.readFrom({ path, files, folder }, folder.indexOf(after + 1))
  for await (const found of readLog(path, { ...options, after })) {
    options.look?.()
    const record = takenBack.judge(shown(found))
    if (isAsked(filter, record)) yield record
  }
}

/** Whether a record is one that is asked for. */
export function isAsked(filter: Filter, record: Judged): boolean {
  const { secretMatches, principal, action, outcome, kinds, since, until } = filter
  if (kinds !== undefined && !kinds.includes(record.kind)) return false
  if (since !== undefined && record.time < since.toISOString()) return false
  if (until !== undefined && record.time >= until.toISOString()) return false
  if (action !== undefined && !isAbout(record, action)) return false
  if (outcome !== undefined && record.outcome !== outcome) return false
  if (principal !== undefined && !concerns(record, principal)) return false
  if (secretMatches === undefined) return true
  return 'secret' in record && record.secret !== undefined && secretMatches(record.secret)
}

/** Case does not count: people write logins, names of nodes and addresses as they like. */
function concerns(record: AuditRecord, asked: string): boolean {
  const name = asked.toLowerCase()
  const is = (each: string | undefined): boolean => each?.toLowerCase() === name
  if ('ip' in record && is(record.ip)) return true
  // The user of the system, and the host.
  if ('operator' in record && record.operator !== undefined) {
    return [record.operator, record.operator.split(' on ')[0]].some(is)
  }
  const principal = 'principal' in record ? record.principal : undefined
  if (principal === undefined) return false
  const { user, tags = [], hostname, ip } = principal
  return [user, hostname, ip, ...tags].some(is)
}

/** A time that no record before the segment that begins with `header` is later than. Early releases trusted the clock. */
export function latestBefore(header: AuditRecord): string {
  return (header.kind === 'segment' ? header.latest : undefined) ?? header.time
}

/** The first id of the last segment before which no record is of the time after a moment; 0 where there is none. */
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
      if (record !== undefined && latestBefore(record) < moment.toISOString()) return record.id
    } finally {
      await file.close()
    }
  }
  return 0
}
