/** Does changes in a transaction that its caller began: what the writer runs for each op. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import type { SealedVersion } from '../contract.ts'
import { follows } from './follows.ts'
import { Head } from './head.ts'
import { KeyChanges } from './key-changes.ts'
import { attempted, type ChangeOp, type Op, type OpValue, type SecretColumns } from './messages.ts'

interface StoredSecret extends SecretColumns {
  readonly id: number
  readonly mac: Buffer
}

/** The prepared statements of one connection, and what each op does with them. */
export class Changes {
  readonly #head: Head
  readonly #keys: KeyChanges
  readonly #find
  readonly #insertSecret
  readonly #updateSecret
  readonly #insertChange
  readonly #insertVersion
  readonly #eraseVersion
  readonly #eraseAll
  readonly #committed
  readonly #settle

  constructor(db: Database) {
    this.#head = new Head(db)
    this.#keys = new KeyChanges(db, this.#head)
    this.#find = db.prepare<[string], StoredSecret>(`
      SELECT id, incarnation, active, highest, versions, removed, mac FROM secret WHERE name = ?`)
    this.#insertSecret = db.prepare<[SecretColumns & { name: string; mac: Uint8Array }]>(`
      INSERT INTO secret (name, incarnation, active, highest, versions, removed, mac)
      VALUES (:name, :incarnation, :active, :highest, :versions, :removed, :mac)`)
    this.#updateSecret = db.prepare<[SecretColumns & { id: number; mac: Uint8Array }]>(`
      UPDATE secret SET incarnation = :incarnation, active = :active, highest = :highest,
        versions = :versions, removed = :removed, mac = :mac
      WHERE id = :id`)
    this.#insertChange = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO change (revision, audit_id, audit_hash, verb, secret, incarnation, version, by, at)
      VALUES (:revision, :id, :hash, :verb, :secret, :incarnation, :version, :by, :at)`)
    this.#insertVersion = db.prepare<[SealedVersion & Placed]>(`
      INSERT INTO version (secret, number, incarnation, added, key_id, wrapped_key, sealed)
      VALUES (:secret, :version, :incarnation, :revision, :keyId, :wrappedKey, :sealed)`)
    const erase = `UPDATE version SET removed = ?, key_id = NULL, wrapped_key = NULL, sealed = NULL
      WHERE secret = ? AND removed IS NULL`
    this.#eraseVersion = db.prepare<[number, number, number]>(`${erase} AND number = ?`)
    this.#eraseAll = db.prepare<[number, number]>(erase)
    this.#settle = db.prepare('UPDATE meta SET settled = settled + 1')
    this.#committed = db
      .prepare<[number, number, number], number>(`
        SELECT audit_id FROM change WHERE audit_id = ?
        UNION ALL SELECT audit_id FROM wrap_change WHERE audit_id = ?
        UNION ALL SELECT audit_id FROM keyring_change WHERE audit_id = ?`)
      .pluck()
  }

  /**
   * Does `op`. Throws SottoError `conflict` where the stored MAC is not the expected one and
   * `internal` where the change does not fit the stored state; its caller undoes what was done.
   */
  apply(op: Op): OpValue {
    if (op.kind === 'change') return this.#change(op)
    if (op.kind === 'wrap') return this.#keys.changeWraps(op)
    if (op.kind === 'keyring') return this.#keys.changeKeyring(op)
    if (op.kind === 'committed') return this.#whichCommitted(op.intents)
    if (op.kind === 'remember') this.#head.remember(op.mark)
    else if (op.kind === 'proven') this.#keys.noteProven(op.provider, op.fingerprint, op.at)
    else void this.#head.revision
    return undefined
  }

  #whichCommitted(intents: readonly number[]): number[] {
    // A commit that failed in its sync left frames in the log that a crash would revive. This write
    // takes their place, so that what is told absent here stays absent. It must change a byte, or
    // SQLite leaves it out.
    this.#settle.run()
    return intents.filter((intent) => this.#committed.get(intent, intent, intent) !== undefined)
  }

  #change(op: ChangeOp): number {
    const stored = this.#find.get(op.name)
    const asExpected = op.expected === null ? !stored : stored?.mac.equals(op.expected)
    if (!asExpected) {
      throw new SottoError('conflict', `Cannot ${attempted(op)}: the secret was changed meanwhile`)
    }
    if (!follows(op, stored)) {
      throw new SottoError('internal', `Cannot ${attempted(op)}: it does not fit the stored state`)
    }
    const revision = this.#head.revision + 1
    const secret = this.#setSecret(op, stored?.id)
    const placed = { secret, revision, incarnation: op.next.incarnation }
    const { verb, version, by, at } = op
    this.#insertChange.run({ ...placed, ...op.intent, verb, version, by, at })
    this.#setVersions(op, placed)
    this.#head.advance(revision, op.intent)
    return revision
  }

  /** Returns the id of the row. */
  #setSecret({ name, next, mac }: ChangeOp, id: number | undefined): number {
    if (id === undefined) {
      return Number(this.#insertSecret.run({ name, ...next, mac }).lastInsertRowid)
    }
    this.#updateSecret.run({ id, ...next, mac })
    return id
  }

  #setVersions({ verb, version, added }: ChangeOp, placed: Placed): void {
    const { secret, revision } = placed
    if (added) this.#insertVersion.run({ ...placed, ...added })
    if (verb === 'remove-version') this.#eraseVersion.run(revision, secret, version as number)
    if (verb === 'remove') this.#eraseAll.run(revision, secret)
  }
}

interface Placed {
  readonly secret: number
  readonly revision: number
  readonly incarnation: number
}
