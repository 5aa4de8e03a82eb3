/** What is read of backends, the secrets that they keep, and their orphans. */
import type { Database } from 'better-sqlite3'
import type { BackendInUse, Orphan } from '../contract.ts'

interface BackendRow extends Omit<BackendInUse, 'isDefault'> {
  readonly isDefault: number | null
}

export const backendLookUps = {
  backends: {
    words: 'read the backends',
    prepare(db: Database) {
      const select = db.prepare<[], BackendRow>(`
        SELECT id, name, type, description, is_default AS isDefault, config, created_at AS createdAt,
          mac,
          (SELECT count(DISTINCT secret) FROM version WHERE backend = b.id) AS secrets,
          (SELECT count(*) FROM leftover WHERE backend = b.id AND waits = 0) AS orphans,
          (SELECT count(DISTINCT secret) FROM leftover WHERE backend = b.id AND waits = 1) AS copies
        FROM backend b ORDER BY id`)
      const nextId = db
        .prepare<[], number>('SELECT ifnull(max(backend), 0) + 1 FROM backend_change')
        .pluck()
      return (): { backends: BackendInUse[]; nextId: number } => ({
        backends: select.all().map((row) => ({ ...row, isDefault: row.isDefault === 1 })),
        nextId: nextId.get() as number,
      })
    },
  },
  orphans: {
    words: 'read the orphans in backends',
    prepare(db: Database) {
      const select = db.prepare<[number, number], Orphan & { cursor: number }>(`
        SELECT l.id AS cursor, l.backend, s.name, l.incarnation, l.version
        FROM leftover l JOIN secret s ON s.id = l.secret
        WHERE l.waits = 0 AND l.id > ? ORDER BY l.id LIMIT ?`)
      return (cursor: number, limit: number): (Orphan & { cursor: number })[] =>
        select.all(cursor, limit)
    },
  },
}

export const backendWalks = {
  homed: {
    words: 'list the secrets of a backend',
    prepare(db: Database) {
      const select = db
        .prepare<[number | null], string>(`
          SELECT s.name FROM secret s JOIN version v ON v.secret = s.id AND v.number = s.active
          WHERE s.active <> 0 AND v.backend IS ? ORDER BY s.name`)
        .pluck()
      return (backend: number | null): Iterable<string> => select.iterate(backend)
    },
  },
  copied: {
    words: 'list the copies in a backend',
    prepare(db: Database) {
      const select = (from: string) =>
        ['', ' AND s.id = (SELECT id FROM secret WHERE name = ?)'].map((one) =>
          db
            .prepare<unknown[], string>(`SELECT DISTINCT s.name FROM ${from}${one} ORDER BY s.name`)
            .pluck(),
        )
      const besides = select('version v JOIN secret s ON s.id = v.secret WHERE v.kept IS NOT NULL')
      const waiting = select(
        'leftover l JOIN secret s ON s.id = l.secret WHERE l.waits = 1 AND l.backend = ?',
      )
      return (backend: number | null, name?: string): Iterable<string> => {
        const given = [backend, name].filter((each) => each !== null && each !== undefined)
        const statements = backend === null ? besides : waiting
        return statements[name === undefined ? 0 : 1]?.iterate(...given) ?? []
      }
    },
  },
}
