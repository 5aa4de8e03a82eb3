/** What is read of secrets and their versions. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { Principal } from '../../../client/api/types.ts'
import type {
  HistoryItem,
  LastChange,
  PlacedVersion,
  ReadResult,
  SealedVersion,
  SecretRow,
  VersionPlace,
} from '../contract.ts'
import { schemaOf } from './migrate.ts'
import { parseNumbers } from '../numbers.ts'
import { type RowOf, withoutNulls } from './rows.ts'

/** Rows of a page. */
const PAGE_ROWS = 500

/** Bytes of sealed values that a page of versions has, but for its last. */
const PAGE_BYTES = 1024 * 1024

interface StateRow extends Omit<SecretRow, 'versions' | 'removed' | 'settings'> {
  readonly versions: string
  readonly removed: string
  readonly settings: Uint8Array
}

type ChangeRow = RowOf<Omit<HistoryItem, 'by'>> & { readonly by: string }

/** The columns of a state, also in a store that was not migrated yet. */
function stateIn(db: Database): string {
  const settings = schemaOf(db) < 8 ? "x'' AS settings" : 's.settings'
  return `s.name, s.incarnation, s.active, s.highest, s.versions, s.removed, ${settings}, s.mac`
}

export const secretLookUps = {
  find: {
    words: (name: string) => `find ${quote(name)}`,
    prepare: finder,
  },
  read: {
    words: (name: string) => `read ${quote(name)}`,
    prepare(db: Database) {
      // Two look-ups in one snapshot take half the time of one statement that joins.
      const begin = db.prepare('BEGIN')
      const end = db.prepare('COMMIT')
      const find = finder(db)
      const select = db.prepare<[name: string, version: number], RowOf<SealedVersion>>(`
        SELECT number AS version, key_id AS keyId, wrapped_key AS wrappedKey, sealed, backend, kept
        FROM version
        WHERE secret = (SELECT id FROM secret WHERE name = ?) AND number = ? AND removed IS NULL`)
      return (name: string, version: number): ReadResult | undefined => {
        begin.run()
        try {
          const secret = find(name)
          if (!secret) return undefined
          const found = select.get(name, version === 0 ? secret.active : version)
          return found ? { secret, version: withoutNulls(found) } : { secret }
        } finally {
          end.run()
        }
      }
    },
  },
  states: {
    words: 'read the states of its secrets',
    prepare(db: Database) {
      const select = db.prepare<[string], StateRow>(
        `SELECT ${stateIn(db)} FROM secret s WHERE s.name > ? ORDER BY s.name LIMIT ${PAGE_ROWS}`,
      )
      // No name is empty.
      return (after: string | undefined): SecretRow[] => select.all(after ?? '').map(asSecret)
    },
  },
  versions: {
    words: 'read its versions',
    prepare(db: Database) {
      const select = db.prepare<[string, string, number], RowOf<PlacedVersion>>(`
        SELECT s.name, s.incarnation, v.number AS version, v.key_id AS keyId,
          v.wrapped_key AS wrappedKey, v.sealed, v.backend, ${schemaOf(db) < 9 ? 'NULL AS kept' : 'v.kept'}
        FROM secret s CROSS JOIN version v ON v.secret = s.id
        WHERE s.name >= ? AND v.removed IS NULL AND (s.name, v.number) > (?, ?)
        ORDER BY s.name, v.number LIMIT ${PAGE_ROWS}`)
      return (after: VersionPlace | undefined): PlacedVersion[] => {
        const { name, version } = after ?? { name: '', version: 0 }
        const page: PlacedVersion[] = []
        let bytes = 0
        for (const row of select.iterate(name, name, version)) {
          page.push(withoutNulls(row))
          bytes += row.sealed.byteLength + (row.kept?.byteLength ?? 0)
          if (bytes >= PAGE_BYTES) break
        }
        return page
      }
    },
  },
}

export const secretWalks = {
  list: {
    words: 'list the secrets',
    prepare(db: Database) {
      const select = db.prepare<[], StateRow>(
        `SELECT ${stateIn(db)} FROM secret s WHERE s.active <> 0 ORDER BY s.name`,
      )
      return (): Iterable<SecretRow> => Iterator.from(select.iterate()).map(asSecret)
    },
  },
  lastChanges: {
    words: 'read when its secrets were changed',
    prepare(db: Database) {
      // By the index, which has the revisions of a secret in order.
      const select = db.prepare<[], RowOf<LastChange>>(`
        SELECT s.name, c.at
        FROM secret s LEFT JOIN change c
          ON c.revision = (SELECT max(revision) FROM change WHERE secret = s.id)
        WHERE s.active <> 0 ORDER BY s.name`)
      return (): Iterable<LastChange> =>
        Iterator.from(select.iterate()).map((row) => withoutNulls<LastChange>(row))
    },
  },
  history: {
    words: (name: string) => `read the history of ${quote(name)}`,
    prepare(db: Database) {
      const select = db.prepare<[string], ChangeRow>(`
        SELECT revision, verb, c.incarnation, version, by, at, audit_id AS audit,
          ${schemaOf(db) < 8 ? 'NULL' : "nullif(lower(hex(m.state)), '')"} AS state
        FROM change c JOIN secret s ON s.id = c.secret
          ${schemaOf(db) < 8 ? '' : 'LEFT JOIN change_mac m USING (revision)'}
        WHERE s.name = ? ORDER BY revision`)
      return (name: string): Iterable<HistoryItem> =>
        name.isWellFormed() ? Iterator.from(select.iterate(name)).map(asHistoryItem) : []
    },
  },
}

function finder(db: Database): (name: string) => SecretRow | undefined {
  const select = db.prepare<[string], StateRow>(
    `SELECT ${stateIn(db)} FROM secret s WHERE s.name = ?`,
  )
  return (name) => {
    // SQLite would find the name that has U+FFFD instead of an unpaired surrogate.
    const row = name.isWellFormed() ? select.get(name) : undefined
    return row && asSecret(row)
  }
}

function asSecret({ versions, removed, settings, ...row }: StateRow): SecretRow {
  const numbers = { versions: parseNumbers(versions), removed: parseNumbers(removed) }
  return { ...row, ...numbers, ...(settings.length > 0 && { settings }) }
}

function asHistoryItem({ by, ...item }: ChangeRow): HistoryItem {
  return { ...withoutNulls<Omit<HistoryItem, 'by'>>(item), by: JSON.parse(by) as Principal }
}
