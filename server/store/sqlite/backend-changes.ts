/** Does changes of the backends and their orphans, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { BackendChange, Orphan, SavedBackend } from '../contract.ts'
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

/** A place in a backend, of a version that was taken out of a secret's row, or is about to be written. */
export interface Placed extends Omit<Orphan, 'name'> {
  readonly secret: number
}

/** The verbs about backends on one connection, and what changes of secrets leave there. */
export function backendChanges(db: Database, head: Head) {
  const find = db.prepare<[number], { mac: Buffer }>('SELECT mac FROM backend WHERE id = ?')
  const named = db
    .prepare<[string, number], number>('SELECT id FROM backend WHERE name = ? AND id <> ?')
    .pluck()
  const insert = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO backend (id, name, type, description, is_default, config, created_at, mac)
    VALUES (:id, :name, :type, :description, :isDefault, :config, :createdAt, :mac)`)
  const update = db.prepare<[Record<string, unknown>]>(`
    UPDATE backend SET name = :name, type = :type, description = :description,
      is_default = :isDefault, config = :config, created_at = :createdAt, mac = :mac
    WHERE id = :id`)
  const erase = db.prepare<[number]>('DELETE FROM backend WHERE id = ?')
  const lastId = db
    .prepare<[], number>('SELECT ifnull(max(backend), 0) FROM backend_change')
    .pluck()
  const insertChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO backend_change (revision, audit_id, audit_hash, verb, backend, by, at)
    VALUES (:revision, :id, :hash, :verb, :backend, :by, :at)`)
  const firstUse = db.prepare<[number]>('SELECT 1 FROM version WHERE backend = ? LIMIT 1')
  const firstLeft = db.prepare<[number]>('SELECT 1 FROM leftover WHERE backend = ? LIMIT 1')
  const addOrphan = db.prepare<[Placed & { waits: number }]>(`
    INSERT INTO leftover (backend, secret, incarnation, version, waits)
    VALUES (:backend, :secret, :incarnation, :version, :waits)
    ON CONFLICT DO UPDATE SET waits = min(waits, :waits)`)
  const strike = db.prepare<[Placed]>(`
    DELETE FROM leftover WHERE backend = :backend AND secret = :secret
      AND incarnation = :incarnation AND version = :version`)
  const strikeAll = db.prepare<[number, number]>(
    'DELETE FROM leftover WHERE backend = ? AND secret = ? AND waits = 1',
  )
  const strikeBackend = db.prepare<[number]>('DELETE FROM leftover WHERE backend = ?')
  const stopWaiting = db.prepare<{ secret: number; version: number | null }>(`
    UPDATE leftover SET waits = 0
    WHERE secret = :secret AND (:version IS NULL OR version = :version)`)
  const clear = db.prepare<[Orphan]>(`
    DELETE FROM leftover WHERE backend = :backend AND incarnation = :incarnation
      AND version = :version AND secret = (SELECT id FROM secret WHERE name = :name)`)
  const secretId = db.prepare<[string], number>('SELECT id FROM secret WHERE name = ?').pluck()

  function demand(id: number, expected: Uint8Array | null): void {
    const stored = find.get(id)
    const asExpected = expected === null ? !stored : stored?.mac.equals(expected)
    if (!asExpected) throw new Refusal('conflict', 'it was changed meanwhile')
  }

  function store({ backend, expected, unused = false }: SavedBackend): void {
    demand(backend.id, expected)
    const inUse = firstUse.get(backend.id) ?? firstLeft.get(backend.id)
    if (unused && inUse !== undefined) {
      throw new Refusal('conflict', 'values are kept there meanwhile')
    }
    if (named.get(backend.name, backend.id) !== undefined) {
      throw new Refusal('conflict', `the name ${quote(backend.name)} is taken`)
    }
    const statement = expected === null ? insert : update
    statement.run({ ...backend, isDefault: backend.isDefault ? 1 : null })
  }

  const note = (change: BackendChange, verb: string, backend: number): number =>
    head.advance(change, (revision) => {
      insertChange.run({ revision, ...stampOf(change), verb, backend })
    })

  /** Notes `place` as an orphan: to be cleared now, or, with `waits`, once its version is removed. */
  const leave = (place: Placed, waits = false): void =>
    void addOrphan.run({ ...place, waits: waits ? 1 : 0 })

  return {
    leave,

    /** `place` has what belongs there. */
    settle: (place: Placed): void => void strike.run(place),

    /** Everything of `secret` that waits in `backend` has what belongs there. */
    settleAll: (backend: number, secret: number): void => void strikeAll.run(backend, secret),

    /** A version of `secret`, or all of them (null), was removed: its orphans wait no longer. */
    removed: (secret: number, version: number | null): void =>
      void stopWaiting.run({ secret, version }),

    noteWritten(places: readonly Orphan[]): void {
      for (const { name, ...place } of places) {
        const secret = secretId.get(name)
        if (secret !== undefined) leave({ ...place, secret }, true)
      }
    },

    forgetOrphan: (place: Orphan): void => void clear.run(place),

    saveBackend(change: BackendChange, saved: SavedBackend, demoted?: SavedBackend): number {
      // First: two may not be the default at once.
      if (demoted) store(demoted)
      const isNew = saved.expected === null
      if (isNew && saved.backend.id <= (lastId.get() as number)) {
        throw new Refusal('conflict', 'its id was given meanwhile')
      }
      store(saved)
      return note(change, isNew ? 'create' : 'edit', saved.backend.id)
    },

    removeBackend(change: BackendChange, id: number, expected: Uint8Array): number {
      demand(id, expected)
      if (firstUse.get(id) !== undefined) throw new Refusal('conflict', 'it keeps secrets')
      strikeBackend.run(id)
      erase.run(id)
      return note(change, 'delete', id)
    },
  }
}
