/** What is read of a store to authenticate it: what it is, its changes in order, and how it came back. */
import type { Database } from 'better-sqlite3'
import type {
  ChangeRows,
  NewestChange,
  NewestStates,
  Restored,
  StoredChange,
  StoredStanding,
} from '../contract.ts'
import { hasTable, schemaOf } from './migrate.ts'
import { type RowOf, withoutNulls } from './rows.ts'
import { NO_BRANCH } from '../branch.ts'

/** Rows of a page. */
const PAGE_ROWS = 1000

const columns = 'revision, audit_id AS id, audit_hash AS hash, by, at'

const changes = `
  SELECT ${columns}, 'secret' AS about, verb, version, incarnation,
    (SELECT name FROM secret WHERE id = secret) AS name
    FROM change WHERE revision > :after
  UNION ALL SELECT ${columns}, 'backend', verb, NULL, NULL, CAST(backend AS TEXT)
    FROM backend_change WHERE revision > :after
  UNION ALL SELECT ${columns}, 'rotation', verb, NULL, NULL, CAST(rotation AS TEXT)
    FROM rotation_change WHERE revision > :after
  UNION ALL SELECT ${columns}, 'keys', verb, NULL, NULL, '' FROM wrap_change WHERE revision > :after
  UNION ALL SELECT ${columns}, 'keys', verb, NULL, NULL, '' FROM keyring_change WHERE revision > :after
  UNION ALL SELECT ${columns}, 'keys', verb, NULL, NULL, '' FROM root_change WHERE revision > :after
  ORDER BY revision LIMIT ${PAGE_ROWS}`

/** A text of any kind, so that where it ends is told before it. */
const text = (column: string): string => `octet_length(${column}) || ':' || ${column}`

const rowsOf = (table: string, own: string): string => `
  SELECT revision, revision || ' ' || audit_id || ' ${table} ' || ${own} || ' ' || ${text('audit_hash')} ||
    ${text('verb')} || ${text('by')} || ${text('at')} || ' ' AS row
  FROM ${table} WHERE revision > :after AND revision <= :until`

const rows = `
  ${rowsOf('change', "secret || ' ' || incarnation || ' ' || ifnull(version, '')")}
  UNION ALL ${rowsOf('backend_change', 'backend')}
  UNION ALL ${rowsOf('rotation_change', 'rotation')}
  UNION ALL ${rowsOf('wrap_change', `${text('provider')} || ${text('fingerprint')}`)}
  UNION ALL ${rowsOf('keyring_change', "entry || ' ' || ifnull(versions, '')")}
  UNION ALL ${rowsOf('root_change', 'number')}
  ORDER BY revision LIMIT ${PAGE_ROWS}`

/** The tables that have a row for each committed change. */
const tables = [
  'change',
  'wrap_change',
  'keyring_change',
  'root_change',
  'backend_change',
  'rotation_change',
]

/** Which of the given intents (audit record ids) have a change in the file as it is now. */
export function committedIn(db: Database): (intents: readonly number[]) => Set<number> {
  const selects = tables
    .filter((table) => hasTable(db, table))
    .map((table) => `SELECT audit_id FROM ${table} WHERE audit_id = :intent`)
  const select = db.prepare<[{ intent: number }]>(selects.join(' UNION ALL '))
  return (intents) => new Set(intents.filter((intent) => select.get({ intent }) !== undefined))
}

export const changeLookUps = {
  hasChanges: {
    words: 'read which changes it has',
    prepare: committedIn,
  },
  changes: {
    words: 'read its changes',
    prepare(db: Database) {
      const select = db.prepare<[{ after: number }], RowOf<StoredChange>>(`
        SELECT c.*, iif(state IS NULL, NULL, lower(hex(state))) AS state,
          iif(mac IS NULL, NULL, lower(hex(mac))) AS mac
        FROM (${changes}) c LEFT JOIN change_mac USING (revision)
        ORDER BY revision`)
      return (after: number): StoredChange[] =>
        select.all({ after }).map((row) => withoutNulls<StoredChange>(row))
    },
  },
  changeRows: {
    words: 'read the rows of its changes',
    prepare(db: Database) {
      const select = db
        .prepare<[{ after: number; until: number }], [number, string]>(`
          SELECT revision, row || ifnull(lower(hex(state)), '') || char(10)
          FROM (${rows}) LEFT JOIN change_mac USING (revision)
          ORDER BY revision`)
        .raw()
      return (after: number, until: number): ChangeRows => {
        const found = select.all({ after, until })
        const last = found.at(-1)?.[0]
        return { text: found.map(([, row]) => row).join(''), ...(last !== undefined && { last }) }
      }
    },
  },
  newestStates: {
    words: 'read the newest changes of its secrets',
    prepare(db: Database) {
      const select = db
        .prepare<[number], [number, string]>(`
          SELECT id, ifnull(newest, '') || ' ' || ifnull(lower(hex(state)), '') || ' ' ||
            incarnation || ' ' || active || ' ' || versions || ' ' || removed || ' ' ||
            lower(hex(settings)) || ' ' || name
          FROM (SELECT *, (SELECT max(revision) FROM change c WHERE c.secret = s.id) AS newest
            FROM secret s WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS})
          LEFT JOIN change_mac ON revision = newest
          ORDER BY id`)
        .raw()
      return (after: number): NewestStates => {
        const found = select.all(after)
        const last = found.at(-1)?.[0]
        return { rows: found.map(([, row]) => row), ...(last !== undefined && { last }) }
      }
    },
  },
  newest: {
    words: 'read its newest changes',
    prepare(db: Database) {
      const secrets = db.prepare<[], number>('SELECT count(DISTINCT secret) FROM change').pluck()
      const newestOf = (of: string): (() => Map<number, NewestChange>) => {
        const select = db.prepare<[], RowOf<NewestChange> & { id: number }>(`
          SELECT ${of} AS id, max(revision) AS revision, verb, nullif(lower(hex(state)), '') AS state
          FROM ${of}_change LEFT JOIN change_mac USING (revision) GROUP BY ${of}`)
        return () =>
          new Map(select.all().map(({ id, ...row }) => [id, withoutNulls<NewestChange>(row)]))
      }
      const [backends, rotations] = [newestOf('backend'), newestOf('rotation')]
      const keys = db.prepare<[], RowOf<NewestChange>>(`
        SELECT revision, verb, nullif(lower(hex(state)), '') AS state
        FROM (SELECT revision, verb FROM keyring_change WHERE verb <> 'move'
          UNION ALL SELECT revision, verb FROM root_change)
        LEFT JOIN change_mac USING (revision) ORDER BY revision DESC LIMIT 1`)
      return () => {
        const ofKeys = keys.get()
        return {
          secrets: secrets.get() ?? 0,
          backends: backends(),
          rotations: rotations(),
          ...(ofKeys && { keys: withoutNulls<NewestChange>(ofKeys) }),
        }
      }
    },
  },
  restores: {
    words: 'read how it came back',
    prepare(db: Database) {
      // A store that was not migrated yet is of the branch that has no id.
      const old = `'${NO_BRANCH}' AS branch, '${NO_BRANCH}' AS former`
      const branches = schemaOf(db) < 8 ? old : 'branch, former'
      if (!hasTable(db, 'restore')) return () => []
      const select = db.prepare<[], Restored>(`
        SELECT revision, backup, taken_at AS takenAt, taken_revision AS takenRevision, by, at, floor,
          ${branches}
        FROM restore ORDER BY restore.revision`)
      return (): Restored[] => select.all()
    },
  },
  standing: {
    words: 'read what it is',
    prepare(db: Database) {
      // What a migration begins with.
      const first = { adopted: true, starts: 0, host: '', checked: 0 }
      if (schemaOf(db) < 8) return (): StoredStanding => first
      const select = db.prepare<[], RowOf<Omit<StoredStanding, 'adopted'>> & { adopted: number }>(
        `SELECT adopted, starts, host, macs_from AS macsFrom, checked, checked_digest AS digest, mac
          FROM meta`,
      )
      return (): StoredStanding => {
        const row = select.get()
        if (!row) throw new Error('the store has no identity')
        const { adopted, ...rest } = row
        return { ...withoutNulls<Omit<StoredStanding, 'adopted'>>(rest), adopted: adopted === 1 }
      }
    },
  },
}
