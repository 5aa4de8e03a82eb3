/** Answers questions to a log a page at a time: a page has a bounded size and takes a bounded time. */
import type { Damage } from './damage.ts'
import { nodeFiles, type FileSystem } from './files.ts'
import { Folder } from './folder.ts'
import { isKnown } from './line.ts'
import { type Filter, isAsked, segmentBefore } from './query.ts'
import type { AuditRecord } from './record.ts'
import { walk } from './walk.ts'

/** Which page. */
export interface PageQuestion {
  readonly filter: Filter
  /** The newest records instead of the oldest. */
  readonly newest: boolean
  /** Only records after this id. */
  readonly after: number
  /** Only records before this id; absent for all. */
  readonly before?: number
  /** Records that a page may have. */
  readonly limit: number
}

/** What a page may cost. */
export interface PageBounds {
  /** Characters of records; one record is given whatever its size. */
  readonly size: number
  /** Milliseconds after which no more is looked for. */
  readonly ms: number
}

/** Records in order, and where the next page begins. */
export interface Page {
  readonly records: readonly AuditRecord[]
  /** Ask for what is after this id next; absent when there is nothing more. */
  readonly after?: number
  /** Of the newest: ask for what is before this id next; absent when there is nothing more. */
  readonly before?: number
  /** The first damage that was found and skipped, for people: half a sentence. */
  readonly damage?: string
}

const defaults: PageBounds = { size: 256 * 1024, ms: 3000 }

/**
 * The page of the log at `path` that is asked for. Records of kinds that this release does not know
 * are left out. Throws SottoError `local` when the log cannot be read.
 */
export async function pageOf(
  path: string,
  question: PageQuestion,
  { files = nodeFiles, bounds = defaults }: { files?: FileSystem; bounds?: PageBounds } = {},
): Promise<Page> {
  const end = performance.now() + bounds.ms
  const search = { files, path, question, bounds, isLate: () => performance.now() > end }
  return question.newest ? newestOf(search) : oldestOf(search)
}

interface Search {
  readonly files: FileSystem
  readonly path: string
  readonly question: PageQuestion
  readonly bounds: PageBounds
  readonly isLate: () => boolean
}

async function oldestOf({ files, path, question, bounds, isLate }: Search): Promise<Page> {
  const { filter, limit, after, before = Infinity } = question
  const { since } = filter
  const earliest = since ? await segmentBefore(files, path, since) : 0
  const behind = Math.max(after, earliest - 1)
  const records: AuditRecord[] = []
  let size = 0
  let damage: string | undefined
  const page = (next?: number): Page => ({
    records,
    ...(next !== undefined && { after: next }),
    ...(damage !== undefined && { damage }),
  })
  for await (const step of walk(path, {
    files,
    lenient: true,
    ...(behind > 0 && { from: behind + 1 }),
  })) {
    if ('damage' in step) damage ??= wordsOf(step)
    if (!('record' in step)) continue
    const { record } = step
    if (record.id >= before) return page()
    if (record.id <= behind) continue
    if (isKnown(record) && isAsked(filter, record)) {
      records.push(record)
      size += JSON.stringify(record).length
      if (records.length >= limit || size >= bounds.size) return page(record.id)
    }
    if (isLate()) return page(record.id)
  }
  return page()
}

/** Segments are gone through from the last one on, each in order, as its chain is. */
async function newestOf({ files, path, question, bounds, isLate }: Search): Promise<Page> {
  const { filter, after, before = Infinity } = question
  const { segments } = await Folder.open(files, path)
  let records: AuditRecord[] = []
  let damage: string | undefined
  let upper = before
  for (const { id: first = 0 } of segments.toReversed()) {
    if (first >= before) continue
    const found = await inSegment({ files, path, question, bounds, isLate }, first, upper)
    damage ??= found.damage
    records = [...found.records, ...records]
    const kept = newestWithin(records, question.limit, bounds.size)
    const told = damage === undefined ? {} : { damage }
    if (kept.length < records.length || kept.length === question.limit) {
      return { records: kept, before: kept[0]?.id ?? first, ...told }
    }
    const isOlder = found.began !== '' && found.began < (filter.since?.toISOString() ?? '')
    if (isOlder || first <= after + 1) return { records, ...told }
    if (isLate()) return { records, before: first, ...told }
    upper = first
  }
  return { records, ...(damage !== undefined && { damage }) }
}

/** What is asked for in the segment that begins with `first`, and the time of its first record. */
async function inSegment(
  { files, path, question, bounds }: Search,
  first: number,
  upper: number,
): Promise<{ records: AuditRecord[]; began: string; damage?: string }> {
  const { filter, after, limit } = question
  let records: AuditRecord[] = []
  let began = ''
  let damage: string | undefined
  for await (const step of walk(path, { files, lenient: true, from: first })) {
    if ('damage' in step) damage ??= wordsOf(step)
    if (!('record' in step)) continue
    const { record } = step
    if (record.id >= upper) break
    if (began === '') began = record.time
    if (record.id <= after || !isKnown(record) || !isAsked(filter, record)) continue
    records.push(record)
    if (records.length > 2 * limit) records = newestWithin(records, limit, bounds.size)
  }
  return { records, began, ...(damage !== undefined && { damage }) }
}

/** The last of `records`, as many as fit; one at least. */
function newestWithin(records: AuditRecord[], limit: number, size: number): AuditRecord[] {
  let used = 0
  let from = records.length
  while (from > 0 && records.length - from < limit) {
    used += JSON.stringify(records[from - 1]).length
    if (used > size && from < records.length) break
    from--
  }
  return records.slice(from)
}

function wordsOf({ segment, line, message, damage }: Damage): string {
  return `line ${line} of ${segment}: ${message} (${damage})`
}
