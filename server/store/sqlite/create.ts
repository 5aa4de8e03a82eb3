/** Makes a new store: whole under its name, or not there at all. */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { StoreSeed } from '../contract.ts'
import { headOf } from './head.ts'
import { migrate } from './migrate.ts'
import { configureWriter } from './open.ts'
import { publishNow, syncNow } from '../../../client/platform/durable.ts'
import { adviceOn, reasonOf } from '../../../client/platform/system-error.ts'

/**
 * Makes the store `seed` in a new file at `path`, which only its owner can read and write. It is on
 * the disk when this returns. A crash meanwhile leaves at most files named `path`, a dot, eight hex
 * digits and `.new`, which can be deleted. Throws `store_exists` when there is anything at `path`,
 * and `local` when the file cannot be made.
 */
export function createStore(path: string, seed: StoreSeed): void {
  const target = resolve(path)
  // SQLite would take a log that an earlier file left for the log of this one.
  if ([target, `${target}-wal`].some((file) => existsSync(file))) throw exists(target)
  const draft = `${target}.${randomBytes(4).toString('hex')}.new`
  try {
    // Made here, not by SQLite, for the mode, which the files that SQLite adds inherit.
    closeSync(openSync(draft, 'wx', 0o600))
    fill(draft, seed)
    syncNow(draft)
    publishNow(draft, target)
    syncNow(dirname(target))
  } catch (error) {
    for (const ending of ['', '-wal', '-shm']) rmSync(draft + ending, { force: true })
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw exists(target)
    const message = `Cannot make a store at ${quote(target)}: ${reasonOf(error)}`
    throw new SottoError('local', message, { hint: adviceOn(error), cause: error })
  }
}

function exists(path: string): SottoError {
  return new SottoError('store_exists', `Cannot make a store at "${path}": it exists`, {
    hint: 'A store is never replaced. Choose another directory, or move what is there away.',
  })
}

function fill(path: string, { identity, standing, keys, wraps, lasting = [] }: StoreSeed): void {
  const db = new Database(path, { fileMustExist: true })
  try {
    configureWriter(db)
    // The file has no name yet that anyone opens: it is synced once, when it is whole.
    db.pragma('synchronous = OFF')
    migrate(db)
    const meta = db.prepare(`
      INSERT INTO meta (one, store_id, development, created_at, branch, revision, settled)
      VALUES (1, :id, :development, :createdAt, :branch, 0, 0)`)
    const key = db.prepare(`
      INSERT INTO keyring_entry (id, created_at, state, sealed)
      VALUES (:id, :createdAt, :state, :sealed)`)
    const wrap = db.prepare(`
      INSERT INTO root_wrap (provider, fingerprint, created_at, proven_at, wrapped)
      VALUES (:provider, :fingerprint, :createdAt, :provenAt, :wrapped)`)
    const lastingKey = db.prepare(`
      INSERT INTO lasting_key (purpose, number, created_at, sealed)
      VALUES (:purpose, :number, :createdAt, :sealed)`)
    db.transaction(() => {
      meta.run({ ...identity, development: identity.development ? 1 : 0 })
      if (standing) headOf(db).signStore(standing)
      for (const entry of keys) key.run(entry)
      for (const entry of wraps) wrap.run({ ...entry, provenAt: entry.provenAt ?? null })
      for (const entry of lasting) lastingKey.run(entry)
    }).immediate()
  } finally {
    db.close()
  }
}
