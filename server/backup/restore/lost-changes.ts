/** What an audit log has of the time after a backup: numbers that were given, changes that are lost. */
import { nodeFiles } from '../../../audit/files.ts'
import { readLog } from '../../../audit/reader.ts'
import { type IntentEntry, isIntent } from '../../../audit/record.ts'
import { recover } from '../../../audit/recovery.ts'
import type { Store } from '../../store/contract.ts'
import type { Manifest } from '../manifest.ts'

/** A change that was announced and that the store of the backup does not have. */
export interface LostChange {
  /** The id of its record. */
  readonly id: number
  /** Absent where only its id is known: its record is on an older part of the log. */
  readonly entry?: IntentEntry
}

/** What was found in the log. */
export interface LostChanges {
  /** The highest number that was given to each name in the log. */
  readonly given: ReadonlyMap<string, number>
  /** In order. */
  readonly lost: readonly LostChange[]
  /** The highest revision in the log. */
  readonly revision: number
}

/** Intents that the store is asked about at once. */
const ASKED = 1000

/** Reads the log in the folder `directory` from where the backup's own part of it begins. */
export async function lostChangesOf(
  directory: string,
  store: Store,
  { store: { id, revision }, log }: Manifest,
  signal?: AbortSignal,
): Promise<LostChanges> {
  if (log === null) return { given: new Map(), lost: [], revision }
  const { recovered } = await recover(nodeFiles, directory, id)
  const intents = new Map<number, LostChange>(recovered.open.map((each) => [each.id, each]))
  const given = new Map<string, number>()
  for await (const { record } of readLog(directory, { after: log.after.id, signal })) {
    if (record.kind === 'abandoned') intents.delete(record.of)
    if (!isIntent(record)) continue
    intents.set(record.id, { id: record.id, entry: record })
    if (record.kind !== 'change' || record.secretVersion === undefined) continue
    given.set(record.secret, Math.max(given.get(record.secret) ?? 0, record.secretVersion))
  }
  const lost: LostChange[] = []
  const ids = [...intents.keys()].toSorted((a, b) => a - b)
  for (let at = 0; at < ids.length; at += ASKED) {
    const some = ids.slice(at, at + ASKED)
    const committed = await store.committed(some)
    for (const each of some) {
      const intent = intents.get(each)
      if (intent && !committed.has(each)) lost.push(intent)
    }
  }
  return { given, lost, revision: recovered.revision }
}
