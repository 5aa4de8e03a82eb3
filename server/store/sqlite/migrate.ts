/** Brings the schema of a store up to what this release knows, one numbered step at a time. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import { migrations } from './schema.ts'

/** The schema that this release writes. */
export const NEWEST_SCHEMA: number = migrations.length

/** The number of the schema that the file has; 0 for a file without one. */
export function schemaOf(db: Database): number {
  return db.pragma('user_version', { simple: true }) as number
}

/** Whether the file has that table: a store that was not migrated yet lacks later ones. */
export function hasTable(db: Database, name: string): boolean {
  return db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(name) !== undefined
}

/**
 * Runs the migrations that the file lacks, each in a transaction of its own together with its
 * number. Foreign keys are off meanwhile, so that tables can be rebuilt, and are checked before each
 * commit. Throws `store_damaged` where they do not hold then.
 */
export function migrate(db: Database): void {
  db.pragma('foreign_keys = OFF')
  for (let number = schemaOf(db) + 1; number <= NEWEST_SCHEMA; number++) {
    db.transaction(() => {
      db.exec(migrations[number - 1] as string)
      db.pragma(`user_version = ${number}`)
      if ((db.pragma('foreign_key_check') as unknown[]).length > 0) {
        const message = `Cannot migrate the store "${db.name}" to schema ${number}: its references do not hold`
        throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
      }
    }).immediate()
  }
  db.pragma('foreign_keys = ON')
}
