/** Does changes of the backends and their orphans, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { BackendChange, Orphan, SavedBackend, StoredBackend } from '../contract.ts'
import { Refusal } from './faults.ts'
import { type Head, stampOf } from './head.ts'

/** What each verb is about, to follow "Cannot" in a message. */
export const backendWords = {
  saveBackend: (_: BackendChange, { backend }: SavedBackend) =>
    `save backend ${quote(backend.name)}`,
  removeBackend: (_: BackendChange, id: number) => `delete backend ${id}`,
  noteWritten: () => 'note places in backends',
  forgetOrphan: () => 'note places in backends',
}

/** A version that was taken out of a secret's row, or is about to be written. */
interface Placed {
  readonly backend: number
  readonly secret: number
  readonly incarnation: number
  readonly version: number
}

/** The prepared statements of one connection, and what each op does with them. */
export class BackendChanges {
  readonly #head: Head
  readonly #find
  readonly #named
  readonly #insert
  readonly #update
  readonly #erase
  readonly #lastId
  readonly #insertChange
  readonly #firstUse
  readonly #addOrphan
  readonly #strike
  readonly #strikeAll
  readonly #strikeBackend
  readonly #stopWaiting
  readonly #clear
  readonly #secretId

  constructor(db: Database, head: Head) {
    this.#head = head
    this.#find = db.prepare<[number], { mac: Buffer }>('SELECT mac FROM backend WHERE id = ?')
    this.#named = db
      .prepare<[string, number], number>('SELECT id FROM backend WHERE name = ? AND id <> ?')
      .pluck()
    this.#insert = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO backend (id, name, type, description, is_default, config, created_at, mac)
      VALUES (:id, :name, :type, :description, :isDefault, :config, :createdAt, :mac)`)
    this.#update = db.prepare<[Record<string, unknown>]>(`
      UPDATE backend SET name = :name, type = :type, description = :description,
        is_default = :isDefault, config = :config, created_at = :createdAt, mac = :mac
      WHERE id = :id`)
    this.#erase = db.prepare<[number]>('DELETE FROM backend WHERE id = ?')
    this.#lastId = db
      .prepare<[], number>('SELECT ifnull(max(backend), 0) FROM backend_change')
      .pluck()
    this.#insertChange = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO backend_change (revision, audit_id, audit_hash, verb, backend, by, at)
      VALUES (:revision, :id, :hash, :verb, :backend, :by, :at)`)
    this.#firstUse = db
      .prepare<[number], number>('SELECT 1 FROM version WHERE backend = ? LIMIT 1')
      .pluck()
    this.#addOrphan = db.prepare<[Placed & { waits: number }]>(`
      INSERT INTO leftover (backend, secret, incarnation, version, waits)
      VALUES (:backend, :secret, :incarnation, :version, :waits)
      ON CONFLICT DO UPDATE SET waits = min(waits, :waits)`)
    this.#strike = db.prepare<[Placed]>(`
      DELETE FROM leftover WHERE backend = :backend AND secret = :secret
        AND incarnation = :incarnation AND version = :version`)
    this.#strikeAll = db.prepare<[number, number]>(
      'DELETE FROM leftover WHERE backend = ? AND secret = ? AND waits = 1',
    )
    this.#strikeBackend = db.prepare<[number]>('DELETE FROM leftover WHERE backend = ?')
    this.#stopWaiting = db.prepare<{ secret: number; version: number | null }>(`
      UPDATE leftover SET waits = 0
      WHERE secret = :secret AND (:version IS NULL OR version = :version)`)
    this.#clear = db.prepare<[Orphan]>(`
      DELETE FROM leftover WHERE backend = :backend AND incarnation = :incarnation
        AND version = :version AND secret = (SELECT id FROM secret WHERE name = :name)`)
    this.#secretId = db.prepare<[string], number>('SELECT id FROM secret WHERE name = ?').pluck()
  }

  /** Notes `place` as an orphan: to be cleared now, or, with `waits`, once its version is removed. */
  leave(place: Placed, waits = false): void {
    this.#addOrphan.run({ ...place, waits: waits ? 1 : 0 })
  }

  /** `place` has what belongs there. */
  settle(place: Placed): void {
    this.#strike.run(place)
  }

  /** Everything of `secret` that waits in `backend` has what belongs there. */
  settleAll(backend: number, secret: number): void {
    this.#strikeAll.run(backend, secret)
  }

  /** A version of `secret`, or all of them (null), was removed: its orphans wait no longer. */
  removed(secret: number, version: number | null): void {
    this.#stopWaiting.run({ secret, version })
  }

  /** Notes places that are about to be written to. */
  noteWritten(places: readonly Orphan[]): void {
    for (const { name, ...place } of places) {
      const secret = this.#secretId.get(name)
      if (secret !== undefined) this.leave({ ...place, secret }, true)
    }
  }

  /** Removes from the list a place that was cleared. */
  forgetOrphan(place: Orphan): void {
    this.#clear.run(place)
  }

  saveBackend(change: BackendChange, saved: SavedBackend, demoted?: SavedBackend): number {
    // First: two may not be the default at once.
    if (demoted) this.#store(demoted)
    const isNew = saved.expected === null
    if (isNew && saved.backend.id <= (this.#lastId.get() as number)) {
      throw new Refusal('conflict', 'its id was given meanwhile')
    }
    this.#store(saved)
    return this.#note(change, isNew ? 'create' : 'edit', saved.backend.id)
  }

  removeBackend(change: BackendChange, id: number, expected: Uint8Array): number {
    this.#demand(id, expected)
    if (this.#firstUse.get(id) !== undefined) throw new Refusal('conflict', 'it keeps secrets')
    this.#strikeBackend.run(id)
    this.#erase.run(id)
    return this.#note(change, 'delete', id)
  }

  #store({ backend, expected }: SavedBackend): void {
    this.#demand(backend.id, expected)
    if (this.#named.get(backend.name, backend.id) !== undefined) {
      throw new Refusal('conflict', `the name ${quote(backend.name)} is taken`)
    }
    const statement = expected === null ? this.#insert : this.#update
    statement.run(columnsOf(backend))
  }

  #demand(id: number, expected: Uint8Array | null): void {
    const stored = this.#find.get(id)
    const asExpected = expected === null ? !stored : stored?.mac.equals(expected)
    if (!asExpected) throw new Refusal('conflict', 'it was changed meanwhile')
  }

  #note(change: BackendChange, verb: string, backend: number): number {
    return this.#head.advance(change, (revision) => {
      this.#insertChange.run({ revision, ...stampOf(change), verb, backend })
    })
  }
}

function columnsOf({ isDefault, ...backend }: StoredBackend): Record<string, unknown> {
  return { ...backend, isDefault: isDefault ? 1 : null }
}
