/**
 * What the reading thread does, on connections that cannot write. A look-up takes microseconds and
 * holds no lock; what may be long comes in slices, so that look-ups are done in between.
 */
import { statSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import type { Principal } from '../../../client/api/types.ts'
import type {
  BackendInUse,
  HistoryItem,
  Orphan,
  PlacedVersion,
  ReadResult,
  Restored,
  SealedVersion,
  SecretRow,
  StoredKey,
  StoredWrap,
  StoreHead,
  StoreIdentity,
  StoreMeasure,
  WrappedVersion,
  VersionPlace,
} from '../contract.ts'
import type { MirrorCounts, Mirrored, MirrorHead, StaleCopies } from '../mirrors.ts'
import { MirrorReads } from './mirror-reads.ts'
import { parseNumbers } from './numbers.ts'
import { openReader } from './open.ts'

/** Bytes of sealed values that a page of versions has, but for its last. */
const PAGE_BYTES = 1024 * 1024

/** Rows of a slice, and of a page. */
const SLICE_ROWS = 500

interface SecretColumnsRow {
  readonly name: string
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: string
  readonly removed: string
  readonly mac: Buffer
}

interface ChangeRow extends Omit<HistoryItem, 'by' | 'version'> {
  readonly by: string
  readonly version: number | null
}

interface PlacedRow extends Omit<PlacedVersion, 'backend'> {
  readonly backend: number | null
}

interface VersionRow extends Omit<SealedVersion, 'backend'> {
  readonly backend: number | null
}

interface BackendRow extends Omit<BackendInUse, 'isDefault'> {
  readonly isDefault: number | null
}

/** What is counted, and the revision at which it was so. */
type Counts = Pick<StoreMeasure, 'secrets' | 'versions'> & { readonly revision: number }

interface WrapRow extends Omit<StoredWrap, 'provenAt'> {
  readonly provenAt: string | null
}

/** The reading connections to one store. Its methods throw what SQLite throws. */
export class Reader {
  readonly #db: Database
  /** For what is read in slices: an open cursor holds its connection to one snapshot. */
  readonly #slow: Database
  readonly #identity
  readonly #head
  readonly #find
  readonly #begin
  readonly #end
  readonly #version
  readonly #list
  readonly #count
  readonly #history
  readonly #keys
  readonly #wraps
  readonly #keyUse
  readonly #wrappedBy
  readonly #backends
  readonly #lastBackend
  readonly #orphans
  readonly #mirrors: MirrorReads
  readonly #homed
  readonly #restored
  readonly #states
  readonly #versions

  #counted: Counts | undefined

  constructor(path: string) {
    this.#db = openReader(path)
    this.#slow = openReader(path)
    const state = 's.name, s.incarnation, s.active, s.highest, s.versions, s.removed, s.mac'
    this.#identity = this.#db.prepare<[], { id: string; development: number; createdAt: string }>(
      'SELECT store_id AS id, development, created_at AS createdAt FROM meta',
    )
    this.#head = this.#db.prepare<[], { revision: number; id: number | null; hash: string | null }>(
      'SELECT revision, audit_id AS id, audit_hash AS hash FROM meta',
    )
    this.#find = this.#db.prepare<[string], SecretColumnsRow>(
      `SELECT ${state} FROM secret s WHERE s.name = ?`,
    )
    // Two look-ups in one snapshot take half the time of one statement that joins.
    this.#begin = this.#db.prepare('BEGIN')
    this.#end = this.#db.prepare('COMMIT')
    this.#version = this.#db.prepare<[name: string, version: number], VersionRow>(`
      SELECT number AS version, key_id AS keyId, wrapped_key AS wrappedKey, sealed, backend
      FROM version
      WHERE secret = (SELECT id FROM secret WHERE name = ?) AND number = ? AND removed IS NULL`)
    this.#list = this.#slow.prepare<[], SecretColumnsRow>(
      `SELECT ${state} FROM secret s WHERE s.active <> 0 ORDER BY s.name`,
    )
    this.#count = this.#db.prepare<[], Counts>(`
      SELECT revision, (SELECT count(*) FROM secret WHERE active <> 0) AS secrets,
        (SELECT count(*) FROM version WHERE key_id IS NOT NULL) AS versions
      FROM meta`)
    this.#history = this.#slow.prepare<[string], ChangeRow>(`
      SELECT revision, verb, c.incarnation, version, by, at, audit_id AS audit
      FROM change c JOIN secret s ON s.id = c.secret
      WHERE s.name = ? ORDER BY revision`)
    this.#keys = this.#db.prepare<[], StoredKey>(
      'SELECT id, created_at AS createdAt, state, sealed FROM keyring_entry ORDER BY id',
    )
    this.#wraps = this.#db.prepare<[], WrapRow>(`
      SELECT provider, fingerprint, created_at AS createdAt, proven_at AS provenAt, wrapped
      FROM root_wrap ORDER BY id`)
    this.#keyUse = this.#db
      .prepare<[], [number, number]>(
        'SELECT key_id, count(*) FROM version WHERE key_id IS NOT NULL GROUP BY key_id',
      )
      .raw()
    this.#wrappedBy = this.#db.prepare<[number, number, number], WrappedVersion>(`
      SELECT v.id AS cursor, s.name, v.incarnation, v.number AS version, v.key_id AS keyId,
        v.wrapped_key AS wrappedKey
      FROM version v JOIN secret s ON s.id = v.secret
      WHERE v.key_id = ? AND v.id > ? ORDER BY v.id LIMIT ?`)
    this.#backends = this.#db.prepare<[], BackendRow>(`
      SELECT id, name, type, description, is_default AS isDefault, config, created_at AS createdAt,
        mac,
        (SELECT count(DISTINCT secret) FROM version WHERE backend = b.id) AS secrets,
        (SELECT count(*) FROM leftover WHERE backend = b.id) AS orphans
      FROM backend b ORDER BY id`)
    this.#lastBackend = this.#db
      .prepare<[], number>('SELECT ifnull(max(backend), 0) FROM backend_change')
      .pluck()
    this.#orphans = this.#db.prepare<[number, number], Orphan & { cursor: number }>(`
      SELECT l.id AS cursor, l.backend, s.name, l.incarnation, l.version
      FROM leftover l JOIN secret s ON s.id = l.secret
      WHERE l.waits = 0 AND l.id > ? ORDER BY l.id LIMIT ?`)
    this.#mirrors = new MirrorReads(this.#db)
    this.#homed = this.#slow
      .prepare<[number | null], string>(`
        SELECT s.name FROM secret s JOIN version v ON v.secret = s.id AND v.number = s.active
        WHERE s.active <> 0 AND v.backend IS ? ORDER BY s.name`)
      .pluck()
    this.#restored = this.#db.prepare<[], Restored>(`
      SELECT backup, taken_at AS takenAt, taken_revision AS takenRevision, by, at, floor
      FROM restore ORDER BY revision DESC LIMIT 1`)
    this.#states = this.#db.prepare<[string], SecretColumnsRow>(
      `SELECT ${state} FROM secret s WHERE s.name > ? ORDER BY s.name LIMIT ${SLICE_ROWS}`,
    )
    this.#versions = this.#db.prepare<[string, string, number], PlacedRow>(`
      SELECT s.name, s.incarnation, v.number AS version, v.key_id AS keyId,
        v.wrapped_key AS wrappedKey, v.sealed, v.backend
      FROM secret s CROSS JOIN version v ON v.secret = s.id
      WHERE s.name >= ? AND v.removed IS NULL AND (s.name, v.number) > (?, ?)
      ORDER BY s.name, v.number LIMIT ${SLICE_ROWS}`)
  }

  identity(): StoreIdentity {
    const row = this.#identity.get()
    if (!row) throw new Error('the store has no identity')
    const restored = this.#restored.get()
    return { ...row, development: row.development === 1, ...(restored && { restored }) }
  }

  head(): StoreHead {
    const row = this.#head.get()
    if (!row) throw new Error('the store has no head')
    const { revision, id, hash } = row
    return { revision, audit: id === null || hash === null ? null : { id, hash } }
  }

  find(name: string): SecretRow | undefined {
    const row = this.#find.get(name)
    return row && asSecret(row)
  }

  read(name: string, version: number): ReadResult | undefined {
    this.#begin.run()
    try {
      const secret = this.find(name)
      if (!secret) return undefined
      const found = this.#version.get(name, version === 0 ? secret.active : version)
      return found ? { secret, version: asVersion(found) } : { secret }
    } finally {
      this.#end.run()
    }
  }

  /** In slices of one snapshot, that of the first. */
  list(): IterableIterator<SecretRow[]> {
    return inSlices(this.#list.iterate(), asSecret)
  }

  /** In slices of one snapshot, that of the first. */
  history(name: string): IterableIterator<HistoryItem[]> {
    return inSlices(this.#history.iterate(name), asHistoryItem)
  }

  keys(): { keys: StoredKey[]; wraps: StoredWrap[] } {
    return { keys: this.#keys.all(), wraps: this.#wraps.all().map(asWrap) }
  }

  /** By an index that holds no more than this: a million versions take some hundredths of a second. */
  keyUse(): [keyId: number, count: number][] {
    return this.#keyUse.all()
  }

  wrappedBy(keyId: number, cursor: number, limit: number): WrappedVersion[] {
    return this.#wrappedBy.all(keyId, cursor, limit)
  }

  backends(): { backends: BackendInUse[]; nextId: number } {
    const backends = this.#backends.all().map(asBackend)
    return { backends, nextId: (this.#lastBackend.get() ?? 0) + 1 }
  }

  orphans(cursor: number, limit: number): (Orphan & { cursor: number })[] {
    return this.#orphans.all(cursor, limit)
  }

  changedSince(revision: number, limit: number): { names: string[]; revision: number } {
    return this.#mirrors.changedSince(revision, limit)
  }

  mirrorHead(backend: number): MirrorHead | undefined {
    return this.#mirrors.head(backend)
  }

  mirrored(
    backend: number,
    cursor: number,
    limit: number,
    dueBy: string | undefined,
  ): (Mirrored & { cursor: number })[] {
    return this.#mirrors.page(backend, cursor, limit, dueBy)
  }

  findMirrored(backend: number, name: string): Mirrored | undefined {
    return this.#mirrors.find(backend, name)
  }

  mirrorCounts(backend: number): MirrorCounts {
    return this.#mirrors.counts(backend)
  }

  staleCopies(): StaleCopies[] {
    return this.#mirrors.staleCopies()
  }

  /** In slices of one snapshot, that of the first. */
  homed(backend: number | null): IterableIterator<string[]> {
    return inSlices(this.#homed.iterate(backend), (name) => name)
  }

  /** Counts anew only after a change: 100,000 secrets take some milliseconds. */
  measure(): StoreMeasure {
    if (this.#counted?.revision !== this.head().revision) this.#counted = this.#count.get()
    const { secrets = 0, versions = 0 } = this.#counted ?? {}
    const { name } = this.#db
    const log = statSync(`${name}-wal`, { throwIfNoEntry: false })
    return { secrets, versions, databaseBytes: statSync(name).size, logBytes: log?.size ?? 0 }
  }

  /** The first is behind `after`; every name is, where that is undefined, for none is empty. */
  states(after: string | undefined): SecretRow[] {
    return this.#states.all(after ?? '').map(asSecret)
  }

  versions(after: VersionPlace | undefined): PlacedVersion[] {
    const { name, version } = after ?? { name: '', version: 0 }
    const page: PlacedVersion[] = []
    let bytes = 0
    for (const row of this.#versions.iterate(name, name, version)) {
      const { backend, ...stored } = row
      page.push(backend === null ? stored : { ...stored, backend })
      bytes += row.sealed.byteLength
      if (bytes >= PAGE_BYTES) break
    }
    return page
  }

  /** Only one of the walks is gone through at once, and none is when this is called. */
  close(): void {
    this.#slow.close()
    this.#db.close()
  }
}

function* inSlices<Row, T>(rows: IterableIterator<Row>, convert: (row: Row) => T): Generator<T[]> {
  let slice: T[] = []
  for (const row of rows) {
    slice.push(convert(row))
    if (slice.length < SLICE_ROWS) continue
    yield slice
    slice = []
  }
  yield slice
}

function asSecret(row: SecretColumnsRow): SecretRow {
  return { ...row, versions: parseNumbers(row.versions), removed: parseNumbers(row.removed) }
}

function asVersion({ backend, ...version }: VersionRow): SealedVersion {
  return backend === null ? version : { ...version, backend }
}

function asBackend(row: BackendRow): BackendInUse {
  return { ...row, isDefault: row.isDefault === 1 }
}

function asWrap({ provenAt, ...wrap }: WrapRow): StoredWrap {
  return provenAt === null ? wrap : { ...wrap, provenAt }
}

function asHistoryItem({ by, version, ...item }: ChangeRow): HistoryItem {
  const parsed = JSON.parse(by) as Principal
  return version === null ? { ...item, by: parsed } : { ...item, by: parsed, version }
}
