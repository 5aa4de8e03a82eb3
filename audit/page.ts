/** Answers questions to a log a page at a time: a page has a bounded size and takes a bounded time. */
import { type Damage, shown } from './damage.ts'
import { nodeFiles } from './files.ts'
import { Folder } from './folder.ts'
import { isKnown } from './line.ts'
import { type Filter, isAsked, latestBefore, segmentBefore } from './query.ts'
import { type Judged, TakenBack, type TakenBackIn } from './outcomes.ts'
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

/** What a page may cost, and what is known of the log. */
export interface PageBounds {
  /** Characters of records; one record is given whatever its size. */
  readonly size: number
  /** Milliseconds after which no more is looked for. */
  readonly ms: number
  /** What was found for other pages; gets what is found for this one. */
  readonly takenBack?: TakenBackIn
}

/** Records in order, and where the next page begins. */
export interface Page {
  readonly records: readonly Judged[]
  /** How many records were looked at. */
  readonly looked: number
  /** Ask for what is after this id next; absent when there is nothing more. */
  readonly after?: number
  /** Of the newest: ask for what is before this id next; absent when there is nothing more. */
  readonly before?: number
  /** The first damage that was found and skipped, for people: half a sentence. */
  readonly damage?: string
}

/** What a page may cost where nothing else is said. */
export const pageBounds: PageBounds = { size: 256 * 1024, ms: 3000 }

/**
 * The page of the log at `path` that is asked for. Records of kinds that this release does not know
 * are left out. Throws SottoError `local` when the log cannot be read.
 */
export async function pageOf(
  path: string,
  question: PageQuestion,
  bounds: PageBounds = pageBounds,
): Promise<Page> {
  const end = performance.now() + bounds.ms
  const search = {
    path,
    before: Infinity,
    ...question,
    bounds,
    takenBack: new TakenBack(bounds.takenBack),
    isLate: () => performance.now() > end,
  }
  return question.newest ? newestOf(search) : oldestOf(search)
}

interface Search extends Required<PageQuestion> {
  readonly path: string
  readonly bounds: PageBounds
  readonly takenBack: TakenBack
  readonly isLate: () => boolean
}

async function oldestOf(search: Search): Promise<Page> {
  const { path, filter, limit, before, bounds, takenBack, isLate } = search
  const earliest = filter.since ? await segmentBefore(nodeFiles, path, filter.since) : 0
  const after = Math.max(search.after, earliest - 1)
  const records: Judged[] = []
  let size = 0
  let looked = 0
  let damage: string | undefined
  const page = (next?: number): Page => ({
    records,
    looked,
    ...(next !== undefined && { after: next }),
    ...(damage !== undefined && { damage }),
  })
  const folder = await Folder.open(nodeFiles, path)
  const log = { path, files: nodeFiles, folder }
  if (!(await takenBack.readFrom(log, folder.indexOf(after + 1), isLate))) return page(after)
  for await (const step of walk(path, { lenient: true, from: after > 0 ? after + 1 : 0 })) {
    if ('damage' in step) damage ??= wordsOf(step)
    if (!('record' in step)) continue
    if (step.record.id >= before) return page()
    if (step.record.id <= after) continue
    looked++
    const record = takenBack.judge(shown(step))
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
async function newestOf(search: Search): Promise<Page> {
  const { path, filter, limit, after, bounds, takenBack, isLate } = search
  const folder = await Folder.open(nodeFiles, path)
  let records: Judged[] = []
  let looked = 0
  let damage: string | undefined
  let { before } = search
  const page = (found: readonly Judged[], next?: number): Page => ({
    records: found,
    looked,
    ...(next !== undefined && { before: next }),
    ...(damage !== undefined && { damage }),
  })
  for (const [index, { id: first = 0 }] of [...folder.segments.entries()].toReversed()) {
    if (first >= before) continue
    const log = { path, files: nodeFiles, folder }
    if (!(await takenBack.readFrom(log, index, isLate))) return page(records, before)
    const found = await inSegment({ ...search, before }, first)
    damage ??= found.damage
    looked += found.looked
    records = [...found.records, ...records]
    const kept = newestWithin(records, limit, bounds.size)
    if (kept.length < records.length || kept.length === limit) {
      return page(kept, kept[0]?.id ?? first)
    }
    const isOlder = found.before !== '' && found.before < (filter.since?.toISOString() ?? '')
    if (isOlder || first <= after + 1) break
    if (isLate()) return page(records, first)
    before = first
  }
  return page(records)
}

/** What is asked for in the segment that begins with `first`, and the latest time of any record before it. */
async function inSegment(
  { path, filter, after, before, limit, bounds, takenBack }: Search,
  first: number,
): Promise<{ records: Judged[]; looked: number; before: string; damage: string | undefined }> {
  let records: Judged[] = []
  let looked = 0
  let latest = ''
  let damage: string | undefined
  for await (const step of walk(path, { lenient: true, from: first })) {
    if ('damage' in step) damage ??= wordsOf(step)
    if (!('record' in step)) continue
    if (step.record.id >= before) break
    if (latest === '') latest = latestBefore(step.record)
    if (step.record.id <= after) continue
    looked++
    const record = takenBack.judge(shown(step))
    if (!isKnown(record) || !isAsked(filter, record)) continue
    records.push(record)
    if (records.length > 2 * limit) records = newestWithin(records, limit, bounds.size)
  }
  return { records, looked, before: latest, damage }
}

/** The last of `records`, as many as fit; one at least. */
function newestWithin(records: Judged[], limit: number, size: number): Judged[] {
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
