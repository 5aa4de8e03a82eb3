/** What is in a log when it is opened again, after a crash or an orderly end. Only reads. */
import { join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import type { Damage, Located } from './damage.ts'
import { type FileSystem, nodeFiles } from './files.ts'
import { type BatchKeys, type BatchMacs, forged, olderKey, type Unproven } from './batches.ts'
import { Folder } from './folder.ts'
import { MAX_WRITE_BYTES, MIN_LINE_BYTES } from './line.ts'
import { type IntentEntry, isIntent, type Receipt } from './record.ts'
import { listSegments, segmentName } from './segment.ts'
import { walk, type WalkEnd } from './walk.ts'

/** A change in the log whose outcome is not in the log. */
interface OpenChange {
  /** The id of its record. */
  readonly id: number
  /** The hash of its record; empty where the segment that held it was moved away. */
  readonly hash: string
  /** What was announced; absent where the hash is empty. */
  readonly entry?: IntentEntry
}

/** What was found on a log when it was opened. */
export interface Recovered {
  /** The last record; null for a log that has none. */
  readonly last: Receipt | null
  /** The highest revision of the store in the log; 0 for a log without records. */
  readonly revision: number
  /** Changes that may have been committed or not, ascending: those that were leave no record. */
  readonly open: readonly OpenChange[]
  /** Bytes at the end that are no record of the server: writes that a crash cut short, or what others added. */
  readonly torn: number
  /** Whole records among them, which are in no batch with a MAC. */
  readonly unproven?: Unproven
  /** The record from which on batches have MACs, as the newest segment says; absent where they have none. */
  readonly macsFrom?: number
}

/** A log before it is opened: what was found, and the id that is given next. */
export interface Opening extends Recovered {
  readonly nextId: number
}

/** Where the log continues. */
export interface Continuation {
  readonly recovered: Recovered
  /** The first id that was certainly never given. */
  readonly nextId: number
  /** The first id of the segment that holds the last record; 0 where there is none. */
  readonly heldIn: number
  /** The latest time of any record, as the newest segments tell it; absent where there is none. */
  readonly latest?: string
}

/**
 * Finds the end of the log of the store `logId` in a folder, and makes what it finds durable, since
 * a process that was killed may have left it in memory only. Throws SottoError `audit_damaged`
 * where the newest segment holds anything but records and what one write leaves when it is cut
 * short, `store_foreign` for the log of another store, `store_newer` for a later release's format.
 */
export async function recover(
  files: FileSystem,
  directory: string,
  logId: string,
  macs?: Pick<BatchMacs, 'keys'>,
): Promise<Continuation> {
  const segments = await listSegments(files, directory)
  const newest = segments.at(-1) ?? 0
  if (newest > 0) await files.syncFolder(directory)
  let torn = 0
  let unproven: Unproven | undefined
  // A crash can leave a segment without a whole first record; then nothing else is in it either.
  for (const from of segments.toReversed()) {
    const file = await files.open(join(directory, segmentName(from)))
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    const end = await readEnd(files, directory, from, logId, macs?.keys)
    torn = end.torn
    unproven = end.unproven
    if (end.last === undefined) continue
    await refuseOlderKey(files, directory, end, macs?.keys)
    const open: OpenChange[] = []
    for (const [id, change] of end.open) open.push(change ?? (await find(files, directory, id)))
    // No id is given twice, not even one that was only in the bytes of a torn write.
    const behindTorn = end.last.id + Math.ceil(torn / MIN_LINE_BYTES) + 1
    const nextId = Math.max(behindTorn, newest + 1)
    const { last, revision, macsFrom, heldIn, latest } = end
    const found = { ...(unproven && { unproven }), ...(macsFrom !== undefined && { macsFrom }) }
    const recovered = { last, revision, open, torn, ...found }
    return { recovered, nextId, heldIn, latest }
  }
  const found = unproven && { unproven }
  const recovered: Recovered = { last: null, revision: 0, open: [], torn, ...found }
  return { recovered, nextId: newest + 1, heldIn: 0 }
}

/**
 * The record `id` of the log in a folder; undefined where it is not there. Reads one segment.
 * Throws SottoError `local` when the log cannot be read, `audit_damaged` when the segment does not
 * verify up to the record.
 */
export async function findRecord(
  directory: string,
  id: number,
  files: FileSystem = nodeFiles,
): Promise<Receipt | undefined> {
  const found = await locate(files, directory, id)
  return found && { id, hash: found.hash }
}

/**
 * The end of the batch of the durable record `known` of the log in a folder, where a copy of the log can end: a
 * batch that is cut has no MAC. The record itself where the batches of its segment have none; undefined where it is
 * not there. Rejects as `findRecord`.
 */
export async function findBatchEnd(
  directory: string,
  known: Receipt,
  files: FileSystem = nodeFiles,
): Promise<Receipt | undefined> {
  let hasMacs = false
  for await (const step of walk(directory, { files, from: known.id })) {
    if ('damage' in step) throw damageError(directory, step)
    if ('torn' in step) return undefined
    const { record, hash } = step
    const { id } = record
    if (record.kind === 'segment') hasMacs = record.key !== undefined
    if (id === known.id && hash !== known.hash) return undefined
    const isEnd = !step.unconfirmed && (!hasMacs || record.mac !== undefined)
    if (id >= known.id && isEnd) return { id, hash }
  }
  return undefined
}

/** The error that damage to the log at `path` is. */
export function damageError(path: string, found: Damage): SottoError {
  const { segment, line, damage, message } = found
  if (damage === 'unknown-format') {
    return new SottoError('store_newer', `Cannot read the audit log ${quote(path)}: ${message}`, {
      hint: 'Use the release that wrote it, or a later one.',
    })
  }
  return new SottoError(
    'audit_damaged',
    `The audit log ${quote(path)} does not verify, line ${line} of ${segment}: ${message} (${damage})`,
    { hint: 'Keep the files as they are, and put back a copy of the log that verifies.' },
  )
}

interface End {
  last?: Receipt
  revision: number
  heldIn: number
  latest: string
  /** What is known of each open change; undefined where the header alone names it. */
  readonly open: Map<number, OpenChange | undefined>
  torn: number
  unproven?: Unproven
  macsFrom?: number
  /** The number of the audit key of the newest segment; absent where its batches have no MACs. */
  key?: number
}

/**
 * Throws `audit_damaged` where the newest segment is by an older key than one before it: who has that key since it was
 * replaced made it. Where it is by the newest key there is, nothing else is read.
 */
async function refuseOlderKey(
  files: FileSystem,
  directory: string,
  { heldIn, key }: End,
  keys: BatchKeys | undefined,
): Promise<void> {
  if (keys === undefined || key === undefined || key === keys.auditKeys[0]) return
  const folder = await Folder.open(files, directory)
  for (const index of folder.segments.keys()) {
    const header = await folder.header(index)
    if (header === undefined || header.id >= heldIn || (header.key ?? 0) <= key) continue
    const found = { segment: segmentName(heldIn), line: 1, record: { id: heldIn } }
    throw damageError(directory, forged(found, olderKey(key, header.key ?? 0)))
  }
}

/** What is in the segment `from` and any after it. */
async function readEnd(
  files: FileSystem,
  directory: string,
  from: number,
  logId: string,
  keys: BatchKeys | undefined,
): Promise<End> {
  const end: End = { revision: 0, heldIn: 0, latest: '', open: new Map(), torn: 0 }
  for await (const step of walk(directory, { files, from, ...(keys && { keys }) })) {
    if ('damage' in step) throw damageError(directory, step)
    if ('torn' in step) {
      addLoose(end, step, directory)
      continue
    }
    // Also where no MAC holds: those of another store are by keys that this one never had.
    demandOwn(step.record, logId)
    // What is in no batch with a MAC is never continued from: nobody was answered on its strength.
    if (!step.unconfirmed) addRecord(end, step)
  }
  return end
}

function addLoose(end: End, { torn, unproven }: WalkEnd, directory: string): void {
  end.torn = torn + (unproven?.bytes ?? 0)
  if (unproven === undefined) return
  end.unproven = unproven
  if (end.torn <= MAX_WRITE_BYTES) return
  const message = `${unproven.count} records at the end have no valid MAC, more than one write leaves`
  throw damageError(directory, forged(unproven.first, message))
}

function demandOwn(record: Located['record'], logId: string): void {
  if (record.kind !== 'segment' || record.log === logId) return
  const message = `The audit log belongs to store ${quote(record.log)}, not to ${quote(logId)}`
  throw new SottoError('store_foreign', message, {
    hint: 'Each store has a log of its own: put the one back that belongs to it.',
  })
}

function addRecord(end: End, { record, hash }: Located): void {
  end.last = { id: record.id, hash }
  end.revision = Math.max(end.revision, record.revision)
  end.latest = later(end.latest, record.time)
  if (record.kind === 'segment') {
    end.latest = later(end.latest, record.latest ?? '')
    end.heldIn = record.id
    if (record.macsFrom !== undefined) end.macsFrom = record.macsFrom
    if (record.key !== undefined) end.key = record.key
    end.open.clear()
    for (const id of record.open) end.open.set(id, undefined)
  } else if (isIntent(record)) {
    end.open.set(record.id, { id: record.id, hash, entry: record })
  } else if (record.kind === 'abandoned') {
    end.open.delete(record.of)
  }
}

async function find(files: FileSystem, directory: string, id: number): Promise<OpenChange> {
  const found = await locate(files, directory, id)
  if (found === undefined || !isIntent(found.record)) return { id, hash: '' }
  return { id, hash: found.hash, entry: found.record }
}

async function locate(
  files: FileSystem,
  directory: string,
  id: number,
): Promise<Located | undefined> {
  for await (const step of walk(directory, { files, from: id })) {
    if ('damage' in step) throw damageError(directory, step)
    if ('torn' in step) return undefined
    if (step.record.id === id) return step
    if (step.record.id > id) return undefined
  }
  return undefined
}

/** The later of two times, as records have them. */
export function later(one: string, other: string): string {
  return one > other ? one : other
}
