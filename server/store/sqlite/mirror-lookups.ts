/** What is read of mirrors, and of the changes that they follow. */
import type { Database } from 'better-sqlite3'
import type { MirrorCounts, Mirrored, MirrorHead, Shown, StaleCopies } from '../mirrors.ts'
import { parseNumbers } from '../numbers.ts'
import { type RowOf, withoutNulls } from './rows.ts'

interface MirroredRow extends RowOf<Omit<Mirrored, 'retries' | 'shown' | 'intended'>> {
  readonly retries: number
  readonly shown: string | null
  readonly intended: string | null
}

const columns = `s.name, m.state, m.reason, m.since, m.attempts,
  m.retry_at IS NOT NULL AS retries, m.shown, m.intended
  FROM mirrored m JOIN secret s ON s.id = m.secret WHERE m.backend = :backend`

export const mirrorLookUps = {
  changedSince: {
    words: 'read its changes',
    prepare(db: Database) {
      const select = db.prepare<[number, number], { name: string; revision: number }>(`
        SELECT s.name, c.revision FROM change c JOIN secret s ON s.id = c.secret
        WHERE c.revision > ? ORDER BY c.revision LIMIT ?`)
      return (revision: number, limit: number): { names: string[]; revision: number } => {
        const rows = select.all(revision, limit)
        const names = [...new Set(rows.map(({ name }) => name))]
        return { names, revision: rows.at(-1)?.revision ?? revision }
      }
    },
  },
  mirrorHead: {
    words: 'read the state of a mirror',
    prepare(db: Database) {
      const select = db.prepare<[number], RowOf<MirrorHead>>(
        'SELECT cursor, scope, place, checked_at AS checkedAt FROM mirror WHERE backend = ?',
      )
      return (backend: number): MirrorHead | undefined => {
        const row = select.get(backend)
        return row && withoutNulls(row)
      }
    },
  },
  mirrorCounts: {
    words: 'count what a mirror shows',
    prepare(db: Database) {
      const counts = db
        .prepare<[number], [Mirrored['state'], number]>(
          'SELECT state, count(*) FROM mirrored WHERE backend = ? GROUP BY state',
        )
        .raw()
      return (backend: number): MirrorCounts => Object.fromEntries(counts.all(backend))
    },
  },
  mirrored: {
    words: 'read what a mirror shows',
    prepare(db: Database) {
      const rowsThat = (condition: string) =>
        db.prepare<[Record<string, unknown>], MirroredRow & { readonly cursor: number }>(`
          SELECT m.id AS cursor, ${columns} AND m.id > :cursor AND ${condition}
          ORDER BY m.id LIMIT :limit`)
      const all = rowsThat('true')
      const due = rowsThat("(m.state = 'due' OR (m.state = 'failed' AND m.retry_at IS NOT NULL))")
      return (
        backend: number,
        cursor: number,
        limit: number,
        waiting = false,
      ): (Mirrored & { cursor: number })[] => {
        const wanted = { backend, cursor, limit }
        const rows = (waiting ? due : all).all(wanted)
        return rows.map(({ cursor: at, ...row }) => ({ ...asMirrored(row), cursor: at }))
      }
    },
  },
  findMirrored: {
    words: 'read what a mirror shows',
    prepare(db: Database) {
      const select = db.prepare<[Record<string, unknown>], MirroredRow>(
        `SELECT ${columns} AND s.name = :name`,
      )
      return (backend: number, name: string): Mirrored | undefined => {
        const row = name.isWellFormed() ? select.get({ backend, name }) : undefined
        return row && asMirrored(row)
      }
    },
  },
  staleCopies: {
    words: 'read which copies lie in backends',
    prepare(db: Database) {
      const select = db.prepare<[], Omit<StaleCopies, 'versions'> & { versions: string }>(`
        SELECT c.backend, s.name, c.versions FROM stale_copy c JOIN secret s ON s.id = c.secret
        ORDER BY c.backend, s.name`)
      return (): StaleCopies[] =>
        select.all().map((row) => ({ ...row, versions: parseNumbers(row.versions) }))
    },
  },
}

function asMirrored({ retries, shown, intended, ...row }: MirroredRow): Mirrored {
  return {
    ...withoutNulls<Omit<Mirrored, 'retries' | 'shown' | 'intended'>>(row),
    ...(retries === 1 && { retries: true as const }),
    ...(shown !== null && { shown: JSON.parse(shown) as Shown }),
    ...(intended !== null && { intended: JSON.parse(intended) as Shown }),
  }
}
