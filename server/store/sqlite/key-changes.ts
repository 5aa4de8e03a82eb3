/** Does changes of the keys in a transaction that its caller began: wraps of the root key, the keyring. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import type { Moved, StoredKey } from '../contract.ts'
import type { Head } from './head.ts'
import { attempted, type KeyringOp, type WrapOp } from './messages.ts'

type KeyringVerb<V extends KeyringOp['verb']> = Extract<KeyringOp, { readonly verb: V }>

/** The prepared statements of one connection, and what each op does with them. */
export class KeyChanges {
  readonly #head: Head
  readonly #insertWrapChange
  readonly #insertWrap
  readonly #eraseWrap
  readonly #replaceWrap
  readonly #countWraps
  readonly #setProven
  readonly #insertKeyringChange
  readonly #heads
  readonly #insertKey
  readonly #retireKey
  readonly #eraseKey
  readonly #firstUse
  readonly #moveKey

  constructor(db: Database, head: Head) {
    this.#head = head
    this.#insertWrapChange = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO wrap_change (revision, audit_id, audit_hash, verb, provider, fingerprint, by, at)
      VALUES (:revision, :id, :hash, :verb, :provider, :fingerprint, :by, :at)`)
    this.#insertWrap = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO root_wrap (provider, fingerprint, created_at, proven_at, wrapped)
      VALUES (:provider, :fingerprint, :createdAt, :provenAt, :wrapped)
      ON CONFLICT DO NOTHING`)
    this.#eraseWrap = db.prepare<[string, string]>(
      'DELETE FROM root_wrap WHERE provider = ? AND fingerprint = ?',
    )
    this.#replaceWrap = db.prepare<[Record<string, unknown>]>(`
      UPDATE root_wrap SET created_at = :createdAt, proven_at = :provenAt, wrapped = :wrapped
      WHERE provider = :provider AND fingerprint = :fingerprint AND wrapped = :expected`)
    this.#countWraps = db.prepare<[], number>('SELECT count(*) FROM root_wrap').pluck()
    this.#setProven = db.prepare<[string, string, string]>(
      'UPDATE root_wrap SET proven_at = ? WHERE provider = ? AND fingerprint = ?',
    )
    this.#insertKeyringChange = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO keyring_change (revision, audit_id, audit_hash, verb, entry, versions, by, at)
      VALUES (:revision, :id, :hash, :verb, :entry, :versions, :by, :at)`)
    this.#heads = db.prepare<[], Omit<StoredKey, 'sealed'>>(
      'SELECT id, created_at AS createdAt, state FROM keyring_entry ORDER BY id',
    )
    this.#insertKey = db.prepare<[StoredKey]>(`
      INSERT INTO keyring_entry (id, created_at, state, sealed)
      VALUES (:id, :createdAt, :state, :sealed)`)
    this.#retireKey = db.prepare<[StoredKey]>(
      'UPDATE keyring_entry SET state = :state, sealed = :sealed WHERE id = :id',
    )
    this.#eraseKey = db.prepare<[number]>('DELETE FROM keyring_entry WHERE id = ?')
    this.#firstUse = db
      .prepare<[number], number>('SELECT 1 FROM version WHERE key_id = ? LIMIT 1')
      .pluck()
    this.#moveKey = db.prepare<[Record<string, unknown>]>(`
      UPDATE version SET key_id = :keyId, wrapped_key = :wrappedKey
      WHERE secret = (SELECT id FROM secret WHERE name = :name) AND number = :version
        AND wrapped_key = :expected`)
  }

  /** Notes when a wrap was proven; nothing happens where there is none. */
  noteProven(provider: string, fingerprint: string, at: string): void {
    this.#setProven.run(at, provider, fingerprint)
  }

  /** Returns the new revision. Throws SottoError `conflict` and `internal`. */
  changeWraps(op: WrapOp): number {
    const { verb, provider, fingerprint, intent, by, at } = op
    if (this.#setWrap(op) !== 1)
      throw new SottoError('conflict', `Cannot ${attempted(op)}: ${whyNot[verb]}`)
    if (this.#countWraps.get() === 0) {
      throw new SottoError('internal', `Cannot ${attempted(op)}: it is the last one`)
    }
    const revision = this.#head.revision + 1
    this.#insertWrapChange.run({ revision, ...intent, verb, provider, fingerprint, by, at })
    this.#head.advance(revision, intent)
    return revision
  }

  /** Returns the new revision, and with it for a move how many were moved. Throws as `changeWraps`. */
  changeKeyring(op: KeyringOp): number | Moved {
    if (op.verb === 'move') {
      const count = this.#move(op)
      return { revision: this.#note(op, op.keyId, count), count }
    }
    if (op.verb === 'add') {
      this.#add(op)
      return this.#note(op, op.added.id, null)
    }
    this.#erase(op)
    return this.#note(op, op.keyId, null)
  }

  /** Returns how many rows it changed. */
  #setWrap({ verb, provider, fingerprint, added, expected }: WrapOp): number {
    if (verb === 'remove') return this.#eraseWrap.run(provider, fingerprint).changes
    const wrap = { ...added, provenAt: added?.provenAt ?? null }
    if (verb === 'add') return this.#insertWrap.run(wrap).changes
    return this.#replaceWrap.run({ ...wrap, expected }).changes
  }

  #add(op: KeyringVerb<'add'>): void {
    const { added, retired } = op
    const stored = this.#heads.all()
    const active = stored.find(({ state }) => state === 'active')
    if (active?.id !== retired.id || active.createdAt !== retired.createdAt) {
      throw new SottoError('conflict', `Cannot ${attempted(op)}: another one is active`)
    }
    const states = added.state === 'active' && retired.state === 'retiring'
    if (!states || stored.some(({ id }) => id >= added.id)) {
      throw new SottoError(
        'internal',
        `Cannot ${attempted(op)}: it does not fit the stored entries`,
      )
    }
    this.#retireKey.run(retired)
    this.#insertKey.run(added)
  }

  #move(op: KeyringVerb<'move'>): number {
    const { keyId, moved } = op
    if (this.#stateOf(keyId) !== 'active') {
      throw new SottoError('conflict', `Cannot ${attempted(op)}: it is not active`)
    }
    return moved.reduce((count, each) => count + this.#moveKey.run({ ...each, keyId }).changes, 0)
  }

  #erase(op: KeyringVerb<'erase'>): void {
    if (this.#stateOf(op.keyId) !== 'retiring') {
      throw new SottoError('conflict', `Cannot ${attempted(op)}: it is not retiring`)
    }
    if (this.#firstUse.get(op.keyId) !== undefined) {
      throw new SottoError(
        'conflict',
        `Cannot ${attempted(op)}: it wraps the data keys of versions`,
      )
    }
    this.#eraseKey.run(op.keyId)
  }

  #stateOf(id: number): StoredKey['state'] | undefined {
    return this.#heads.all().find((entry) => entry.id === id)?.state
  }

  #note({ verb, intent, by, at }: KeyringOp, entry: number, versions: number | null): number {
    const revision = this.#head.revision + 1
    this.#insertKeyringChange.run({ revision, ...intent, verb, entry, versions, by, at })
    this.#head.advance(revision, intent)
    return revision
  }
}

const whyNot: Readonly<Record<WrapOp['verb'], string>> = {
  add: 'it is there already',
  remove: 'there is none',
  rewrap: 'it was changed meanwhile',
}
