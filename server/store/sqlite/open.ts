/** Opens the file of a store: how its connections are set, and what is checked before it is used. */
import Database from 'better-sqlite3'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { asStoreError, damaged, foreign } from './faults.ts'
import type { SecretColumns } from './follows.ts'
import { migrate, NEWEST_SCHEMA, schemaOf } from './migrate.ts'
import { formatNumbers, hasNumber } from '../numbers.ts'
import { APPLICATION_ID } from './schema.ts'

/** How long the writer waits for a lock: only a program that is not part of Sotto can hold one. */
const WRITER_BUSY_MS = 2000

/** How long moving the log into the file waits for readers: a program that copies the file never stops reading. */
const CHECKPOINT_BUSY_MS = 50

/** How long a reader waits, which does so on the event loop's thread. */
const READER_BUSY_MS = 100

/**
 * Sets up a connection that writes. What it commits is on the disk when the commit returns, and
 * bytes that it deletes are overwritten. Throws what SQLite throws.
 */
export function configureWriter(db: Database.Database): void {
  db.pragma(`busy_timeout = ${WRITER_BUSY_MS}`)
  if (db.pragma('journal_mode = WAL', { simple: true }) !== 'wal') {
    throw new SottoError('store_unavailable', `Cannot open the store "${db.name}": no WAL`, {
      hint: 'The file system must support shared memory maps; network file systems do not.',
    })
  }
  // This build's default in WAL mode is NORMAL, which loses acknowledged commits with the power.
  db.pragma('synchronous = FULL')
  // macOS leaves synced bytes in the drive's cache unless told; elsewhere these change nothing.
  db.pragma('fullfsync = ON')
  db.pragma('checkpoint_fullfsync = ON')
  db.pragma('foreign_keys = ON')
  db.pragma('secure_delete = ON')
  db.pragma('trusted_schema = OFF')
  db.pragma('cell_size_check = ON')
}

/** Opens a connection that cannot write. Throws what SQLite throws. */
export function openReader(path: string): Database.Database {
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: READER_BUSY_MS })
  db.pragma('query_only = ON')
  db.pragma('trusted_schema = OFF')
  db.pragma('cell_size_check = ON')
  return db
}

/**
 * Opens the connection of the writer to the store at `path`: looks at whose file it is before
 * anything is written to it, runs migrations, checks the whole file, and moves what an earlier run
 * left in the log into the file. Throws SottoError `store_foreign`, `store_newer`, `store_damaged`
 * or `store_unavailable`.
 */
export function openWriter(path: string, maxBytes: number | undefined): Database.Database {
  identify(path)
  let db: Database.Database | undefined
  try {
    db = new Database(path, { fileMustExist: true })
    configureWriter(db)
    checkPages(db)
    migrate(db)
    checkNumbers(db)
    if (maxBytes !== undefined) {
      const pageBytes = db.pragma('page_size', { simple: true }) as number
      db.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / pageBytes))}`)
    }
    emptyLog(db)
    return db
  } catch (error) {
    db?.close()
    throw asStoreError(error, 'open it', path)
  }
}

/**
 * Moves the log into the file and cuts it to nothing. With `secure_delete`, which overwrites deleted
 * bytes with zeros, neither file has them any more; that the disk keeps no copy of the blocks
 * (snapshots, worn-out flash, backups) is beyond what is promised. False where a reader is in the
 * way. Throws what SQLite throws.
 */
export function emptyLog(db: Database.Database): boolean {
  try {
    db.pragma(`busy_timeout = ${CHECKPOINT_BUSY_MS}`)
    const [state] = db.pragma('wal_checkpoint(TRUNCATE)') as [{ busy: number }]
    return state.busy === 0
  } finally {
    db.pragma(`busy_timeout = ${WRITER_BUSY_MS}`)
  }
}

/**
 * Checks the file of a store as `openWriter` does, without changing it; a server may be using it. Throws as that does.
 * The numbers in the rows of an earlier schema are not checked: they are when it was migrated.
 */
export function inspect(path: string): void {
  identify(path)
  let db: Database.Database | undefined
  try {
    db = openReader(path)
    checkPages(db)
    if (schemaOf(db) === NEWEST_SCHEMA) checkNumbers(db)
  } catch (error) {
    throw asStoreError(error, 'open it', path)
  } finally {
    db?.close()
  }
}

/** Refuses a file that is not a store, or one that this release does not know, without a write. */
function identify(path: string): void {
  let db: Database.Database | undefined
  try {
    db = openReader(path)
    if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID) throw foreign(path)
    const schema = schemaOf(db)
    if (schema > NEWEST_SCHEMA) {
      throw new SottoError(
        'store_newer',
        `Cannot open the store "${path}": found schema ${schema}, this release knows ${NEWEST_SCHEMA}`,
        { hint: 'Upgrade the program to the release that wrote the store, or a later one.' },
      )
    }
    if (schema < 1) throw damaged(path, 'it has no schema')
    refuseCode(db)
  } catch (error) {
    if (error instanceof Database.SqliteError && error.code === 'SQLITE_NOTADB') throw foreign(path)
    throw asStoreError(error, 'open it', path)
  } finally {
    db?.close()
  }
}

/**
 * Refuses a store that acts by itself. Somebody who wrote to the file once could have it keep what is removed, or lose
 * what is kept at a time of their choice, and backups would carry that on under our seal.
 */
function refuseCode(db: Database.Database): void {
  const found = db
    .prepare<[], { type: string; name: string }>(
      "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view') LIMIT 1",
    )
    .get()
  if (found)
    throw damaged(db.name, `it has the ${found.type} ${quote(found.name)}, not of Sotto's making`)
}

function checkPages(db: Database.Database): void {
  const finding = db.pragma('integrity_check(1)', { simple: true }) as string
  if (finding !== 'ok') throw damaged(db.name, finding)
}

type Numbers = Pick<SecretColumns, 'active' | 'versions' | 'removed'>

/** Compares the numbers in each secret's row with the rows of its versions. */
function checkNumbers(db: Database.Database): void {
  const secrets = db.prepare<[], { id: number; name: string } & Numbers>(
    'SELECT id, name, active, versions, removed FROM secret ORDER BY id',
  )
  // Both are walked in the order of the secret's id: one look-up for each secret takes far longer.
  const numbers = db
    .prepare<[], { secret: number; number: number; removed: number | null }>(
      'SELECT secret, number, removed FROM version ORDER BY secret, number',
    )
    .iterate()
  try {
    let at = numbers.next()
    for (const { id, name, active, versions, removed } of secrets.iterate()) {
      const [kept, erased]: [number[], number[]] = [[], []]
      for (; !at.done && at.value.secret === id; at = numbers.next()) {
        const set = at.value.removed === null ? kept : erased
        set.push(at.value.number)
      }
      const inStep = versions === formatNumbers(kept) && removed === formatNumbers(erased)
      const pointed = active === 0 ? versions === '' : hasNumber(versions, active)
      if (!inStep || !pointed) {
        throw damaged(db.name, `the versions of ${quote(name)} are not those in its row`)
      }
    }
  } finally {
    numbers.return?.()
  }
}
