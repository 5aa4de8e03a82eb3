/** Does changes in a transaction that its caller began: what the writer runs for each op. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import type { AuditMark, SealedVersion } from '../contract.ts'
import { follows } from './follows.ts'
import {
  attempted,
  type ChangeOp,
  type Op,
  type OpValue,
  type SecretColumns,
  type WrapOp,
} from './messages.ts'

interface StoredSecret extends SecretColumns {
  readonly id: number
  readonly mac: Buffer
}

/** The prepared statements of one connection, and what each op does with them. */
export class Changes {
  readonly #revision
  readonly #setRevision
  readonly #setMark
  readonly #find
  readonly #insertSecret
  readonly #updateSecret
  readonly #insertChange
  readonly #insertVersion
  readonly #eraseVersion
  readonly #eraseAll
  readonly #insertWrapChange
  readonly #insertWrap
  readonly #eraseWrap
  readonly #countWraps
  readonly #setProven
  readonly #committed
  readonly #settle

  constructor(db: Database) {
    this.#revision = db.prepare<[], number>('SELECT revision FROM meta').pluck()
    this.#setRevision = db.prepare<[number]>('UPDATE meta SET revision = ?')
    this.#setMark = db.prepare<[AuditMark]>(`
      UPDATE meta SET audit_id = :id, audit_hash = :hash
      WHERE audit_id IS NULL OR audit_id < :id`)
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
    this.#countWraps = db.prepare<[], number>('SELECT count(*) FROM root_wrap').pluck()
    this.#setProven = db.prepare<[string, string, string]>(
      'UPDATE root_wrap SET proven_at = ? WHERE provider = ? AND fingerprint = ?',
    )
    this.#committed = db
      .prepare<[number, number], number>(`
        SELECT audit_id FROM change WHERE audit_id = ?
        UNION ALL SELECT audit_id FROM wrap_change WHERE audit_id = ?`)
      .pluck()
  }

  /**
   * Does `op`. Throws SottoError `conflict` where the stored MAC is not the expected one and
   * `internal` where the change does not fit the stored state; its caller undoes what was done.
   */
  apply(op: Op): OpValue {
    if (op.kind === 'change') return this.#change(op)
    if (op.kind === 'wrap') return this.#changeWraps(op)
    if (op.kind === 'committed') return this.#whichCommitted(op.intents)
    if (op.kind === 'remember') this.#setMark.run(op.mark)
    else if (op.kind === 'proven') this.#setProven.run(op.at, op.provider, op.fingerprint)
    else this.#revision.get()
    return undefined
  }

  #whichCommitted(intents: readonly number[]): number[] {
    // A commit that failed in its sync left frames in the log that a crash would revive. This write
    // takes their place, so that what is told absent here stays absent. It must change a byte, or
    // SQLite leaves it out.
    this.#settle.run()
    return intents.filter((intent) => this.#committed.get(intent, intent) !== undefined)
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
    const revision = (this.#revision.get() as number) + 1
    const secret = this.#setSecret(op, stored?.id)
    const placed = { secret, revision, incarnation: op.next.incarnation }
    const { verb, version, by, at } = op
    this.#insertChange.run({ ...placed, ...op.intent, verb, version, by, at })
    this.#setVersions(op, placed)
    this.#setRevision.run(revision)
    this.#setMark.run(op.intent)
    return revision
  }

  #changeWraps(op: WrapOp): number {
    const { verb, provider, fingerprint, intent, by, at, added } = op
    const { changes } = added
      ? this.#insertWrap.run({ ...added, provenAt: added.provenAt ?? null })
      : this.#eraseWrap.run(provider, fingerprint)
    if (changes !== 1) {
      const why = added ? 'it is there already' : 'there is none'
      throw new SottoError('conflict', `Cannot ${attempted(op)}: ${why}`)
    }
    if (this.#countWraps.get() === 0) {
      throw new SottoError('internal', `Cannot ${attempted(op)}: it is the last one`)
    }
    const revision = (this.#revision.get() as number) + 1
    this.#insertWrapChange.run({ revision, ...intent, verb, provider, fingerprint, by, at })
    this.#setRevision.run(revision)
    this.#setMark.run(intent)
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
