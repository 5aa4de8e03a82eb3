/** What the reading thread finds about mirrors. */
import type { Database } from 'better-sqlite3'
import type { MirrorCounts, Mirrored, MirrorHead, Shown, StaleCopies } from '../mirrors.ts'
import { parseNumbers } from './numbers.ts'

interface HeadRow {
  readonly cursor: number
  readonly scope: string
  readonly place: string | null
  readonly checkedAt: string | null
}

interface MirroredRow {
  readonly cursor: number
  readonly name: string
  readonly state: Mirrored['state']
  readonly reason: string
  readonly since: string
  readonly attempts: number
  readonly retryAt: string | null
  readonly shown: string | null
  readonly intended: string | null
}

/** The statements about mirrors of one reading connection. */
export class MirrorReads {
  readonly #changes
  readonly #head
  readonly #page
  readonly #due
  readonly #find
  readonly #counts
  readonly #waits
  readonly #staleCopies

  constructor(db: Database) {
    const columns = `m.id AS cursor, s.name, m.state, m.reason, m.since, m.attempts,
      m.retry_at AS retryAt, m.shown, m.intended
      FROM mirrored m JOIN secret s ON s.id = m.secret WHERE m.backend = :backend`
    this.#changes = db.prepare<[number, number], { name: string; revision: number }>(`
      SELECT s.name, c.revision FROM change c JOIN secret s ON s.id = c.secret
      WHERE c.revision > ? ORDER BY c.revision LIMIT ?`)
    this.#head = db.prepare<[number], HeadRow>(
      'SELECT cursor, scope, place, checked_at AS checkedAt FROM mirror WHERE backend = ?',
    )
    this.#page = db.prepare<[Record<string, unknown>], MirroredRow>(
      `SELECT ${columns} AND m.id > :cursor ORDER BY m.id LIMIT :limit`,
    )
    this.#due = db.prepare<[Record<string, unknown>], MirroredRow>(`
      SELECT ${columns} AND m.id > :cursor
        AND (m.state = 'due' OR (m.state = 'failed' AND m.retry_at <= :dueBy))
      ORDER BY m.id LIMIT :limit`)
    this.#find = db.prepare<[Record<string, unknown>], MirroredRow>(
      `SELECT ${columns} AND s.name = :name`,
    )
    this.#counts = db
      .prepare<[number], [Mirrored['state'], number]>(
        'SELECT state, count(*) FROM mirrored WHERE backend = ? GROUP BY state',
      )
      .raw()
    this.#waits = db
      .prepare<[number], string | null>(
        "SELECT min(since) FROM mirrored WHERE backend = ? AND state IN ('due', 'failed')",
      )
      .pluck()
    this.#staleCopies = db.prepare<[], { backend: number; name: string; versions: string }>(`
      SELECT c.backend, s.name, c.versions FROM stale_copy c JOIN secret s ON s.id = c.secret
      ORDER BY c.backend, s.name`)
  }

  changedSince(revision: number, limit: number): { names: string[]; revision: number } {
    const rows = this.#changes.all(revision, limit)
    const names = [...new Set(rows.map(({ name }) => name))]
    return { names, revision: rows.at(-1)?.revision ?? revision }
  }

  head(backend: number): MirrorHead | undefined {
    const row = this.#head.get(backend)
    if (!row) return undefined
    const { cursor, scope, place, checkedAt } = row
    return {
      cursor,
      scope,
      ...(place !== null && { place }),
      ...(checkedAt !== null && { checkedAt }),
    }
  }

  page(
    backend: number,
    cursor: number,
    limit: number,
    dueBy: string | undefined,
  ): (Mirrored & { cursor: number })[] {
    const statement = dueBy === undefined ? this.#page : this.#due
    const wanted = { backend, cursor, limit, ...(dueBy !== undefined && { dueBy }) }
    return statement.all(wanted).map((row) => ({ ...asMirrored(row), cursor: row.cursor }))
  }

  find(backend: number, name: string): Mirrored | undefined {
    const row = this.#find.get({ backend, name })
    return row && asMirrored(row)
  }

  staleCopies(): StaleCopies[] {
    return this.#staleCopies.all().map((row) => ({ ...row, versions: parseNumbers(row.versions) }))
  }

  counts(backend: number): MirrorCounts {
    const waitsSince = this.#waits.get(backend) ?? undefined
    return {
      states: Object.fromEntries(this.#counts.all(backend)),
      ...(waitsSince !== undefined && { waitsSince }),
    }
  }
}

function asMirrored(row: MirroredRow): Mirrored {
  const { name, state, reason, since, attempts, retryAt, shown, intended } = row
  return {
    name,
    state,
    reason,
    since,
    attempts,
    ...(retryAt !== null && { retryAt }),
    ...(shown !== null && { shown: JSON.parse(shown) as Shown }),
    ...(intended !== null && { intended: JSON.parse(intended) as Shown }),
  }
}
