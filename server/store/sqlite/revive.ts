/** Makes the copy of a store the store again: numbers that may have been given since are skipped. */
import Database from 'better-sqlite3'
import { MAX_VERSION } from '../../../client/api/types.ts'
import type { AuditMark, Restored, SecretState, StoredStanding } from '../contract.ts'
import { asStoreError } from './faults.ts'
import type { SecretColumns } from './follows.ts'
import { headOf } from './head.ts'
import { parseNumbers } from '../numbers.ts'
import { configureWriter } from './open.ts'

/** What changes in the copy. */
export interface Revival {
  /** The record of the restore, which the store remembers. */
  readonly mark: AuditMark
  readonly restored: Restored
  /** What the store is from then on. */
  readonly standing: StoredStanding
  /** How many numbers of each name are skipped. */
  readonly skip: number
  /** Numbers that were given since, the highest for each name, names unknown to the copy among them. */
  readonly given: ReadonlyMap<string, number>
  /** The MAC of a state. */
  readonly mac: (state: SecretState) => Uint8Array
}

interface Row extends SecretColumns {
  readonly id: number
  readonly name: string
  readonly settings: Uint8Array
}

const PAGE_ROWS = 1000

/**
 * Changes the copy at `path`, which no process has open, in one transaction; it is one durable file
 * afterwards. Throws `store_unavailable` when that fails.
 */
export function reviveStore(path: string, revival: Revival): void {
  let db: Database.Database | undefined
  try {
    db = new Database(path, { fileMustExist: true })
    configureWriter(db)
    const revived = db
    db.transaction(() => revive(revived, revival)).immediate()
    db.pragma('wal_checkpoint(TRUNCATE)')
  } catch (error) {
    throw asStoreError(error, 'restore it', path)
  } finally {
    db?.close()
  }
}

function revive(db: Database.Database, { mark, restored, standing, ...how }: Revival): void {
  const { revision } = restored
  raise(db, how)
  const insert = db.prepare(`
    INSERT INTO restore (revision, audit_id, audit_hash, backup, taken_at, taken_revision, floor, by, at,
      branch, former)
    VALUES (:revision, :id, :hash, :backup, :takenAt, :takenRevision, :floor, :by, :at,
      :branch, :former)`)
  insert.run({ ...mark, ...restored })
  const update = db.prepare(`
    UPDATE meta SET revision = :revision, audit_id = :id, audit_hash = :hash, branch = :branch`)
  update.run({ revision, ...mark, branch: restored.branch })
  headOf(db).signStore(standing)
}

type Raise = Pick<Revival, 'skip' | 'given' | 'mac'>

function raise(db: Database.Database, { skip, given, mac }: Raise): void {
  const unknown = new Map(given)
  const page = db.prepare<[number], Row>(`
    SELECT id, name, incarnation, active, highest, versions, removed, settings FROM secret
    WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`)
  const update = db.prepare('UPDATE secret SET highest = ?, mac = ? WHERE id = ?')
  for (let rows = page.all(0); rows.length > 0; rows = page.all(rows.at(-1)?.id ?? 0)) {
    for (const row of rows) {
      unknown.delete(row.name)
      const highest = Math.max(Math.min(row.highest + skip, MAX_VERSION), given.get(row.name) ?? 0)
      if (highest === row.highest) continue
      const versions = parseNumbers(row.versions)
      const removed = parseNumbers(row.removed)
      update.run(highest, mac({ ...row, highest, versions, removed }), row.id)
    }
  }
  const insert = db.prepare(`
    INSERT INTO secret (name, incarnation, active, highest, versions, removed, mac)
    VALUES (:name, 1, 0, :highest, '', '', :mac)`)
  for (const [name, highest] of unknown) {
    const state = { name, incarnation: 1, active: 0, highest, versions: [], removed: [] }
    insert.run({ name, highest, mac: mac(state) })
  }
}
