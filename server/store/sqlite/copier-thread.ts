/**
 * The thread that copies a store into another file. It holds one read transaction from the first
 * page to the last, so that no change of the store makes it start over, and ends between two steps
 * on a message.
 */
import { parentPort, workerData } from 'node:worker_threads'
import Database from 'better-sqlite3'
import type { StoreCounts } from '../contract.ts'
import { asStoreError } from './faults.ts'
import { type Copied, type CopierData, type FromCopier } from './messages.ts'
import { toPlain, yieldToOthers } from '../../platform/thread.ts'
import { schemaOf } from './migrate.ts'
import { openReader } from './open.ts'
import { lookUps } from './lookups.ts'

/** Pages that are copied in one step. */
const STEP_PAGES = 1000

/** Copies until `stopped` says so. Throws what SQLite throws. */
async function copyTo(
  db: Database.Database,
  copy: string,
  stopped: () => boolean,
  report: (message: FromCopier) => void,
): Promise<void> {
  const pageBytes = db.pragma('page_size', { simple: true }) as number
  db.exec('BEGIN')
  // The first read fixes the moment; without one each step would have a moment of its own.
  db.prepare('SELECT revision FROM meta').get()
  await db.backup(copy, {
    progress({ totalPages, remainingPages }) {
      if (stopped()) throw new Error('it was stopped')
      report({ done: (totalPages - remainingPages) * pageBytes, total: totalPages * pageBytes })
      return STEP_PAGES
    },
  })
  db.exec('COMMIT')
}

/** Makes the copy one file that needs no log, and returns what it has. */
function finish(copy: string): Copied {
  const db = new Database(copy, { fileMustExist: true })
  try {
    db.pragma('journal_mode = DELETE')
    const head = lookUps.head.prepare(db)()
    const { keys, wraps, root } = lookUps.keys.prepare(db)()
    return {
      head,
      schema: schemaOf(db),
      counts: db.prepare(counts).get() as StoreCounts,
      keys,
      wraps,
      rootNumber: root.number,
    }
  } finally {
    db.close()
  }
}

const counts = `
  SELECT (SELECT count(*) FROM secret) AS names,
    (SELECT count(*) FROM secret WHERE active <> 0) AS secrets,
    (SELECT count(*) FROM version WHERE removed IS NULL) AS versions,
    (SELECT count(*) FROM version WHERE removed IS NOT NULL) AS tombstones`

async function start(): Promise<void> {
  if (!parentPort) throw new Error('The copier runs as a worker thread')
  const port = parentPort
  const report = (message: FromCopier): void => port.postMessage(message)
  const { path, copy } = workerData as CopierData
  let stop = false
  port.once('message', () => (stop = true))
  let db: Database.Database | undefined
  try {
    yieldToOthers()
    db = openReader(path)
    await copyTo(db, copy, () => stop, report)
    report({ copied: finish(copy) })
  } catch (error) {
    report({ refused: toPlain(asStoreError(error, 'copy it', path)) })
  } finally {
    db?.close()
    port.close()
  }
}

void start()
