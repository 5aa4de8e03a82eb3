/** Reads and changes rotations: changes in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { BackendChange, SavedRotation, StoredRotation } from '../contract.ts'
import { Refusal } from './faults.ts'
import { type Head, stampOf } from './head.ts'

/** What each verb is about, to follow "Cannot" in a message. */
export const rotationWords = {
  saveRotation: (_: BackendChange, { rotation }: SavedRotation) =>
    `save rotation ${quote(rotation.name)}`,
  removeRotation: (_: BackendChange, id: number) => `delete rotation ${id}`,
}

/** The verbs about rotations on one connection. */
export function rotationChanges(db: Database, head: Head) {
  const find = db.prepare<[number], { mac: Buffer }>('SELECT mac FROM rotation WHERE id = ?')
  const named = db
    .prepare<[string, number], number>('SELECT id FROM rotation WHERE name = ? AND id <> ?')
    .pluck()
  const insert = db.prepare<[StoredRotation]>(`
    INSERT INTO rotation (id, name, config, state, created_at, mac)
    VALUES (:id, :name, :config, :state, :createdAt, :mac)`)
  const update = db.prepare<[StoredRotation]>(`
    UPDATE rotation SET name = :name, config = :config, state = :state, created_at = :createdAt,
      mac = :mac
    WHERE id = :id`)
  const erase = db.prepare<[number]>('DELETE FROM rotation WHERE id = ?')
  const lastId = db
    .prepare<[], number>('SELECT ifnull(max(rotation), 0) FROM rotation_change')
    .pluck()
  const insertChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO rotation_change (revision, audit_id, audit_hash, verb, rotation, by, at)
    VALUES (:revision, :id, :hash, :verb, :rotation, :by, :at)`)

  function demand(id: number, expected: Uint8Array | null): void {
    const stored = find.get(id)
    const asExpected = expected === null ? !stored : stored?.mac.equals(expected)
    if (!asExpected) throw new Refusal('conflict', 'it was changed meanwhile')
  }

  const note = (change: BackendChange, verb: string, rotation: number): number =>
    head.advance(change, (revision) => {
      insertChange.run({ revision, ...stampOf(change), verb, rotation })
    })

  return {
    saveRotation(change: BackendChange, { rotation, expected }: SavedRotation): number {
      const isNew = expected === null
      if (isNew && rotation.id <= (lastId.get() as number)) {
        throw new Refusal('conflict', 'its id was given meanwhile')
      }
      demand(rotation.id, expected)
      if (named.get(rotation.name, rotation.id) !== undefined) {
        throw new Refusal('conflict', `the name ${quote(rotation.name)} is taken`)
      }
      const statement = isNew ? insert : update
      statement.run(rotation)
      return note(change, isNew ? 'create' : 'edit', rotation.id)
    },

    removeRotation(change: BackendChange, id: number, expected: Uint8Array): number {
      demand(id, expected)
      erase.run(id)
      return note(change, 'delete', id)
    },
  }
}

export const rotationLookUps = {
  rotations: {
    words: 'read the rotations',
    prepare(db: Database) {
      const select = db.prepare<[], StoredRotation>(`
        SELECT id, name, config, state, created_at AS createdAt, mac FROM rotation ORDER BY id`)
      const nextId = db
        .prepare<[], number>('SELECT ifnull(max(rotation), 0) + 1 FROM rotation_change')
        .pluck()
      return (): { rotations: StoredRotation[]; nextId: number } => ({
        rotations: select.all(),
        nextId: nextId.get() as number,
      })
    },
  },
}
