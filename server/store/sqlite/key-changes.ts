/** Does changes of the keys in a transaction that its caller began: wraps of the root key, the keyring. */
import type { Database } from 'better-sqlite3'
import type { KeyChange, Moved, MovedKey, StoredKey, StoredWrap } from '../contract.ts'
import { Refusal } from './faults.ts'
import { type Head, stampOf } from './head.ts'

type WrapName = Pick<StoredWrap, 'provider' | 'fingerprint'>

const wrapOf = ({ provider, fingerprint }: WrapName): string =>
  `the wrap by ${provider} key ${fingerprint}`

/** What each verb is about, to follow "Cannot" in a message. */
export const keyWords = {
  addWrap: (_: KeyChange, wrap: StoredWrap) => `add ${wrapOf(wrap)}`,
  removeWrap: (_: KeyChange, provider: string, fingerprint: string) =>
    `remove ${wrapOf({ provider, fingerprint })}`,
  replaceWrap: (_: KeyChange, wrap: StoredWrap) => `rewrap ${wrapOf(wrap)}`,
  noteProven: (provider: string, fingerprint: string) =>
    `note the proof of ${provider} key ${fingerprint}`,
  addKey: (_: KeyChange, { id }: StoredKey) => `add keyring entry ${id}`,
  moveKeys: (_: KeyChange, keyId: number, { length }: readonly MovedKey[]) =>
    `move ${length} data keys to keyring entry ${keyId}`,
  eraseKey: (_: KeyChange, keyId: number) => `erase keyring entry ${keyId}`,
}

/** The verbs about keys on one connection. */
export function keyChanges(db: Database, head: Head) {
  const insertWrapChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO wrap_change (revision, audit_id, audit_hash, verb, provider, fingerprint, by, at)
    VALUES (:revision, :id, :hash, :verb, :provider, :fingerprint, :by, :at)`)
  const insertWrap = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO root_wrap (provider, fingerprint, created_at, proven_at, wrapped)
    VALUES (:provider, :fingerprint, :createdAt, :provenAt, :wrapped)
    ON CONFLICT DO NOTHING`)
  const eraseWrap = db.prepare<[string, string]>(
    'DELETE FROM root_wrap WHERE provider = ? AND fingerprint = ?',
  )
  const updateWrap = db.prepare<[Record<string, unknown>]>(`
    UPDATE root_wrap SET created_at = :createdAt, proven_at = :provenAt, wrapped = :wrapped
    WHERE provider = :provider AND fingerprint = :fingerprint AND wrapped = :expected`)
  const rootNumber = db.prepare<[], number>('SELECT number FROM root_key').pluck()
  const countWraps = db.prepare<[], number>('SELECT count(*) FROM root_wrap').pluck()
  const setProven = db.prepare<[string, string, string]>(
    'UPDATE root_wrap SET proven_at = ? WHERE provider = ? AND fingerprint = ?',
  )
  const insertKeyringChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO keyring_change (revision, audit_id, audit_hash, verb, entry, versions, by, at)
    VALUES (:revision, :id, :hash, :verb, :entry, :versions, :by, :at)`)
  const heads = db.prepare<[], Omit<StoredKey, 'sealed'>>(
    'SELECT id, created_at AS createdAt, state FROM keyring_entry ORDER BY id',
  )
  const insertKey = db.prepare<[StoredKey]>(`
    INSERT INTO keyring_entry (id, created_at, state, sealed)
    VALUES (:id, :createdAt, :state, :sealed)`)
  const retireKey = db.prepare<[StoredKey]>(
    'UPDATE keyring_entry SET state = :state, sealed = :sealed WHERE id = :id',
  )
  const deleteKey = db.prepare<[number]>('DELETE FROM keyring_entry WHERE id = ?')
  const firstUse = db.prepare<[number]>('SELECT 1 FROM version WHERE key_id = ? LIMIT 1')
  const moveKey = db.prepare<[Record<string, unknown>]>(`
    UPDATE version SET key_id = :keyId, wrapped_key = :wrappedKey
    WHERE secret = (SELECT id FROM secret WHERE name = :name) AND number = :version
      AND wrapped_key = :expected`)

  const stateOf = (id: number): StoredKey['state'] | undefined =>
    heads.all().find((entry) => entry.id === id)?.state

  const noteWrap = (change: KeyChange, verb: string, { provider, fingerprint }: WrapName): number =>
    head.advance(change, (revision) => {
      insertWrapChange.run({ revision, ...stampOf(change), verb, provider, fingerprint })
    })

  const noteKey = (
    change: KeyChange,
    verb: string,
    entry: number,
    versions: number | null = null,
  ): number =>
    head.advance(change, (revision) => {
      insertKeyringChange.run({ revision, ...stampOf(change), verb, entry, versions })
    })

  return {
    noteProven: (provider: string, fingerprint: string, at: string): void =>
      void setProven.run(at, provider, fingerprint),

    addWrap(change: KeyChange, wrap: StoredWrap, root: number): number {
      if (rootNumber.get() !== root) throw new Refusal('conflict', 'the root key was replaced')
      const { changes } = insertWrap.run(columnsOf(wrap))
      if (changes === 0) throw new Refusal('conflict', 'it is there already')
      return noteWrap(change, 'add', wrap)
    },

    removeWrap(change: KeyChange, provider: string, fingerprint: string): number {
      const { changes } = eraseWrap.run(provider, fingerprint)
      if (changes === 0) throw new Refusal('conflict', 'there is none')
      if (countWraps.get() === 0) throw new Refusal('internal', 'it is the last one')
      return noteWrap(change, 'remove', { provider, fingerprint })
    },

    replaceWrap(change: KeyChange, wrap: StoredWrap, expected: Uint8Array): number {
      const { changes } = updateWrap.run({ ...columnsOf(wrap), expected })
      if (changes === 0) throw new Refusal('conflict', 'it was changed meanwhile')
      return noteWrap(change, 'rewrap', wrap)
    },

    addKey(change: KeyChange, added: StoredKey, retired: StoredKey): number {
      const stored = heads.all()
      const active = stored.find(({ state }) => state === 'active')
      if (active?.id !== retired.id || active.createdAt !== retired.createdAt) {
        throw new Refusal('conflict', 'another one is active')
      }
      const states = added.state === 'active' && retired.state === 'retiring'
      if (!states || stored.some(({ id }) => id >= added.id)) {
        throw new Refusal('internal', 'it does not fit the stored entries')
      }
      retireKey.run(retired)
      insertKey.run(added)
      return noteKey(change, 'add', added.id)
    },

    moveKeys(change: KeyChange, keyId: number, moved: readonly MovedKey[]): Moved {
      if (stateOf(keyId) !== 'active') throw new Refusal('conflict', 'it is not active')
      let count = 0
      for (const each of moved) count += moveKey.run({ ...each, keyId }).changes
      return { revision: noteKey(change, 'move', keyId, count), count }
    },

    eraseKey(change: KeyChange, keyId: number): number {
      if (stateOf(keyId) !== 'retiring') throw new Refusal('conflict', 'it is not retiring')
      if (firstUse.get(keyId) !== undefined) {
        throw new Refusal('conflict', 'it wraps the data keys of versions')
      }
      deleteKey.run(keyId)
      return noteKey(change, 'erase', keyId)
    },
  }
}

function columnsOf(wrap: StoredWrap): Record<string, unknown> {
  return { ...wrap, provenAt: wrap.provenAt ?? null }
}
