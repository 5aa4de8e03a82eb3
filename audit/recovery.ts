/** What is in a log when it is opened again, after a crash or an orderly end. Only reads. */
import { join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import type { Damage, Located } from './damage.ts'
import { type FileSystem, nodeFiles } from './files.ts'
import { MIN_LINE_BYTES } from './line.ts'
import { type IntentEntry, isIntent, type Receipt } from './record.ts'
import { listSegments, segmentName } from './segment.ts'
import { walk } from './walk.ts'

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
  /** Bytes at the end that are no record: writes that a crash cut short. */
  readonly torn: number
}

/** Where the log continues. */
export interface Continuation {
  readonly recovered: Recovered
  /** The first id that was certainly never given. */
  readonly nextId: number
  /** The first id of the segment that holds the last record; 0 where there is none. */
  readonly heldIn: number
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
): Promise<Continuation> {
  const segments = await listSegments(files, directory)
  const newest = segments.at(-1) ?? 0
  if (newest > 0) await files.syncFolder(directory)
  let torn = 0
  // A crash can leave a segment without a whole first record; then nothing else is in it either.
  for (const from of segments.toReversed()) {
    const file = await files.open(join(directory, segmentName(from)))
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    const end = await readEnd(files, directory, from, logId)
    torn = end.torn
    if (end.last === undefined) continue
    const open: OpenChange[] = []
    for (const [id, change] of end.open) open.push(change ?? (await find(files, directory, id)))
    // No id is given twice, not even one that was only in the bytes of a torn write.
    const behindTorn = end.last.id + Math.ceil(torn / MIN_LINE_BYTES) + 1
    return {
      recovered: { last: end.last, revision: end.revision, open, torn },
      nextId: Math.max(behindTorn, newest + 1),
      heldIn: end.heldIn,
    }
  }
  const recovered: Recovered = { last: null, revision: 0, open: [], torn }
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
  /** What is known of each open change; undefined where the header alone names it. */
  readonly open: Map<number, OpenChange | undefined>
  torn: number
}

/** What is in the segment `from` and any after it. */
async function readEnd(
  files: FileSystem,
  directory: string,
  from: number,
  logId: string,
): Promise<End> {
  const end: End = { revision: 0, heldIn: 0, open: new Map(), torn: 0 }
  for await (const step of walk(directory, { files, from })) {
    if ('damage' in step) throw damageError(directory, step)
    if ('torn' in step) end.torn = step.torn
    else addRecord(end, step, logId)
  }
  return end
}

function addRecord(end: End, { record, hash }: Located, logId: string): void {
  end.last = { id: record.id, hash }
  end.revision = Math.max(end.revision, record.revision)
  if (record.kind === 'segment') {
    if (record.log !== logId) {
      const message = `The audit log belongs to store ${quote(record.log)}, not to ${quote(logId)}`
      throw new SottoError('store_foreign', message, {
        hint: 'Each store has a log of its own: put the one back that belongs to it.',
      })
    }
    end.heldIn = record.id
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
