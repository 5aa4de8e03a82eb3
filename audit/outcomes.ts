/**
 * How what a record tells came out. A record is durable before the act, so that one of an act that failed stands
 * in the log like any other: a later record, of kind `abandoned`, takes it back.
 */
import type { outcomes } from '../client/api/types.ts'
import type { FileSystem } from './files.ts'
import type { Folder, SegmentFile } from './folder.ts'
import { type AuditRecord, isIntent } from './record.ts'
import { walk } from './walk.ts'

/** How an act came out, by all of the log. */
export type Outcome = (typeof outcomes)[number]

/** A record as readers are given it. */
export type Judged = AuditRecord & { readonly outcome?: Outcome }

/** Ids that `abandoned` records name, by the segment that these stand in. Those of a segment that ended stay as they are. */
export type TakenBackIn = Map<number, readonly number[]>

/** A log, and what is in its folder. */
interface Log {
  readonly path: string
  readonly files: FileSystem
  readonly folder: Folder
}

/** Bytes that are read at once. */
const CHUNK = 1024 * 1024
/** What a line of such a record has, as its writer makes lines. */
const MARK = Buffer.from(',"kind":"abandoned","of":')

/** What later records take back. */
export class TakenBack {
  readonly #ids = new Set<number>()
  readonly #read: TakenBackIn

  /** `read` has what was found before, and gets what is found. */
  constructor(read: TakenBackIn = new Map()) {
    this.#read = read
    for (const ids of read.values()) this.#add(ids)
  }

  has(id: number): boolean {
    return this.#ids.has(id)
  }

  /**
   * Reads the segment at `index` and all after it, the newest first, unless they were read before. False where
   * `isLate` said so first: then ask again. Each time one that has ended is read, so that this comes to an end.
   */
  async readFrom(log: Log, index: number, isLate = () => false): Promise<boolean> {
    const { folder } = log
    const { segments } = folder
    let ended = 0
    for (let at = segments.length - 1; at >= Math.max(0, index); at--) {
      const segment = segments[at]
      if (segment === undefined || this.#read.has(segment.id ?? -1)) continue
      if (ended > 0 && isLate()) return false
      const ids = (await hasMark(folder, segment)) ? await abandonedIn(log, at) : []
      this.#add(ids)
      if (segment.id === undefined || at === segments.length - 1) continue
      this.#read.set(segment.id, ids)
      ended++
    }
    return true
  }

  /** The record with its outcome, where it tells of an act. */
  judge(record: AuditRecord): Judged {
    const own = 'result' in record ? record.result : undefined
    const outcome = own ?? (isAct(record) ? 'ok' : undefined)
    if (outcome === undefined) return record
    return { ...record, outcome: this.has(record.id) ? 'abandoned' : outcome }
  }

  #add(ids: readonly number[]): void {
    for (const id of ids) this.#ids.add(id)
  }
}

const acts: ReadonlySet<string> = new Set<AuditRecord['kind']>([
  'backup',
  'prune',
  'restore',
  'place',
  'adopt',
])

function isAct(record: AuditRecord): boolean {
  return isIntent(record) || acts.has(record.kind)
}

/** Most segments have none, and are not gone through. */
async function hasMark(folder: Folder, segment: SegmentFile): Promise<boolean> {
  const file = await folder.openSegment(segment)
  try {
    const chunk = Buffer.allocUnsafe(CHUNK + MARK.byteLength)
    let kept = 0
    for (let position = 0; ; ) {
      const read = await file.read(chunk.subarray(kept), position)
      if (read === 0) return false
      position += read
      const end = kept + read
      if (chunk.subarray(0, end).includes(MARK)) return true
      // One that begins at the end of the part is found in the next.
      kept = Math.min(end, MARK.byteLength - 1)
      chunk.copyWithin(0, end - kept, end)
    }
  } finally {
    await file.close()
  }
}

/** A record that is not confirmed takes nothing back: somebody who can only write to the files may have made it. */
async function abandonedIn({ path, files, folder }: Log, index: number): Promise<number[]> {
  const from = folder.segments[index]?.id ?? 0
  const next = folder.segments[index + 1]?.id ?? Number.POSITIVE_INFINITY
  const ids: number[] = []
  for await (const step of walk(path, { files, lenient: true, from })) {
    if (!('record' in step)) continue
    const { record, unconfirmed } = step
    if (record.id >= next) break
    if (record.kind === 'abandoned' && unconfirmed !== true) ids.push(record.of)
  }
  return ids
}
