/** The newest intents of a log, to be held against the store that should have carried them out. */
import { join } from 'node:path'
import { type FileSystem, nodeFiles } from './files.ts'
import { Folder, type SegmentFile } from './folder.ts'
import { isIntent, type SegmentEntry, type Stamp } from './record.ts'
import { walk } from './walk.ts'

/** So many are looked for, in at most so many segments, the newest first. */
const INTENTS = 1000
const SEGMENTS = 4

/** A record, as far as it tells how many changes were committed before. */
interface Counted {
  readonly id: number
  readonly revision: number
}

/** What the end of a log says of changes. */
export class NewestIntents {
  /** Those that were not abandoned, ascending. */
  readonly intents: readonly Counted[]
  readonly #records: readonly Counted[]

  /** `records` are those after which the revision is another one, ascending. */
  constructor(intents: readonly Counted[], records: readonly Counted[]) {
    this.intents = intents
    this.#records = records
  }

  /**
   * The revision of a store that has carried out these intents of the log: each of them is one that no record
   * from before it counts.
   */
  revisionWith(committed: ReadonlySet<number>): number {
    const done = this.intents.filter(({ id }) => committed.has(id))
    let due = 0
    let at = 0
    for (const { id, revision } of this.#records) {
      while ((done[at]?.id ?? Infinity) < id) at++
      due = Math.max(due, revision + done.length - at)
    }
    return due
  }
}

/**
 * The newest intents of the log in a folder, without records that were never confirmed. A segment in which nothing
 * was announced, by what it and the next one begin with, is not read: most of a log tells of reads alone.
 */
export async function newestIntents(
  directory: string,
  files: FileSystem = nodeFiles,
): Promise<NewestIntents> {
  let intents: Counted[] = []
  let records: Counted[] = []
  const abandoned = new Set<number>()
  const folder = await Folder.open(files, directory)
  const { length } = folder.segments
  let next: Header | undefined
  for (let index = length - 1; index >= Math.max(0, length - SEGMENTS); index--) {
    const segment = folder.segments[index] as SegmentFile
    const header = await folder.header(index)
    const isQuiet = header && next && isSame(header, next)
    // What stands after that was written as the disk failed: who announced it was told so.
    const { after = Number.POSITIVE_INFINITY } = next ?? {}
    next = header
    if (isQuiet) continue
    const found: Counted[] = []
    const steps: Counted[] = []
    for await (const step of walk(join(directory, segment.name), { files, lenient: true })) {
      if (!('record' in step) || step.unconfirmed) continue
      const { record } = step
      const { id, revision } = record
      if (id > after) break
      if (isIntent(record)) found.push({ id, revision })
      if (record.kind === 'abandoned') abandoned.add(record.of)
      if (isIntent(record) || steps.at(-1)?.revision !== revision) steps.push({ id, revision })
    }
    intents = [...found, ...intents]
    records = [...steps, ...records]
    if (intents.length >= INTENTS) break
  }
  const carriedOut = intents.filter(({ id }) => !abandoned.has(id)).slice(-INTENTS)
  const from = carriedOut[0]?.id ?? 0
  return new NewestIntents(
    carriedOut,
    records.filter(({ id }) => id >= from),
  )
}

type Header = Pick<SegmentEntry & Stamp, 'revision' | 'open' | 'after'>

/** Whether nothing was open before the one nor before the other, and nothing was committed from one to the other. */
function isSame(one: Header, other: Header): boolean {
  return one.revision === other.revision && one.open.length === 0 && other.open.length === 0
}
