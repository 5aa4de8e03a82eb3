/** What is read of the keyring, the wraps of the root key, and the data keys that the keyring wraps. */
import type { Database } from 'better-sqlite3'
import type {
  StoredKey,
  StoredKeys,
  StoredLasting,
  StoredRoot,
  StoredWrap,
  WrappedVersion,
} from '../contract.ts'
import { schemaOf } from './migrate.ts'
import { type RowOf, withoutNulls } from './rows.ts'

export const keyLookUps = {
  keys: {
    words: 'read the keyring',
    prepare(db: Database) {
      const entries = db.prepare<[], StoredKey>(
        'SELECT id, created_at AS createdAt, state, sealed FROM keyring_entry ORDER BY id',
      )
      const schema = schemaOf(db)
      const wraps = db.prepare<[], RowOf<StoredWrap>>(`
        SELECT provider, fingerprint, created_at AS createdAt,
          ${schema < 2 ? 'NULL' : 'proven_at'} AS provenAt, wrapped
        FROM root_wrap ORDER BY id`)
      // Before the migration there is one root key, and it gives all others.
      const old = schema < 8
      const lasting = old
        ? undefined
        : db.prepare<[], StoredLasting>(`
            SELECT purpose, number, created_at AS createdAt, sealed
            FROM lasting_key ORDER BY purpose, number`)
      const root = db.prepare<[], RowOf<StoredRoot>>(
        old ? 'SELECT 1 AS number, NULL AS previous' : 'SELECT number, previous FROM root_key',
      )
      const read = db.transaction(
        (): StoredKeys => ({
          keys: entries.all(),
          wraps: wraps.all().map((row) => withoutNulls(row)),
          lasting: lasting?.all() ?? [],
          root: withoutNulls(root.get() as RowOf<StoredRoot>),
        }),
      )
      return (): StoredKeys => read()
    },
  },
  keyUse: {
    words: 'count what the keyring wraps',
    prepare(db: Database) {
      // By an index that holds no more than this: a million versions take some hundredths of a second.
      const count = db
        .prepare<[], [keyId: number, count: number]>(
          'SELECT key_id, count(*) FROM version WHERE key_id IS NOT NULL GROUP BY key_id',
        )
        .raw()
      return (): Map<number, number> => new Map(count.all())
    },
  },
  wrappedBy: {
    words: 'read what an entry of the keyring wraps',
    prepare(db: Database) {
      const select = db.prepare<[number, number, number], WrappedVersion>(`
        SELECT v.id AS cursor, s.name, v.incarnation, v.number AS version, v.key_id AS keyId,
          v.wrapped_key AS wrappedKey
        FROM version v JOIN secret s ON s.id = v.secret
        WHERE v.key_id = ? AND v.id > ? ORDER BY v.id LIMIT ?`)
      return (keyId: number, cursor: number, limit: number): WrappedVersion[] =>
        select.all(keyId, cursor, limit)
    },
  },
}
