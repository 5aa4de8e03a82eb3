/** Does changes in a transaction that its caller began: what the writer runs for each op. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import type { SealedVersion } from '../contract.ts'
import { BackendChanges } from './backend-changes.ts'
import { follows } from './follows.ts'
import { Head } from './head.ts'
import { KeyChanges } from './key-changes.ts'
import { attempted, type ChangeOp, type Op, type OpValue, type SecretColumns } from './messages.ts'
import { MirrorChanges } from './mirror-changes.ts'
import { formatNumbers } from './numbers.ts'

interface StoredSecret extends SecretColumns {
  readonly id: number
  readonly mac: Buffer
}

/** The prepared statements of one connection, and what each op does with them. */
export class Changes {
  readonly #head: Head
  readonly #keys: KeyChanges
  readonly #backends: BackendChanges
  readonly #mirrors: MirrorChanges
  readonly #find
  readonly #insertSecret
  readonly #updateSecret
  readonly #insertChange
  readonly #insertVersion
  readonly #eraseVersion
  readonly #eraseAll
  readonly #reserveVersion
  readonly #fillVersion
  readonly #moveVersion
  readonly #kept
  readonly #homeOf
  readonly #committed
  readonly #settle

  constructor(db: Database) {
    this.#head = new Head(db)
    this.#keys = new KeyChanges(db, this.#head)
    this.#backends = new BackendChanges(db, this.#head)
    this.#mirrors = new MirrorChanges(db)
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
    this.#insertVersion = db.prepare<[VersionColumns]>(`
      INSERT INTO version (secret, number, incarnation, added, key_id, wrapped_key, sealed, backend)
      VALUES (:secret, :version, :incarnation, :revision, :keyId, :wrappedKey, :sealed, :backend)`)
    this.#reserveVersion = db.prepare<[Placed & { version: number }]>(`
      INSERT INTO version (secret, number, incarnation, added, removed)
      VALUES (:secret, :version, :incarnation, :revision, :revision)`)
    this.#fillVersion = db.prepare<[VersionColumns]>(`
      UPDATE version SET added = :revision, removed = NULL, key_id = :keyId,
        wrapped_key = :wrappedKey, sealed = :sealed, backend = :backend
      WHERE secret = :secret AND number = :version AND incarnation = :incarnation
        AND removed = added`)
    this.#moveVersion = db.prepare<[VersionColumns]>(`
      UPDATE version SET key_id = :keyId, wrapped_key = :wrappedKey, sealed = :sealed,
        backend = :backend
      WHERE secret = :secret AND number = :version AND removed IS NULL`)
    this.#kept = db.prepare<[number], Kept>(`
      SELECT number AS version, incarnation, backend FROM version
      WHERE secret = ? AND removed IS NULL AND backend IS NOT NULL`)
    this.#homeOf = db
      .prepare<[number, number], number | null>(
        'SELECT backend FROM version WHERE secret = ? AND number = ?',
      )
      .pluck()
    const erase = `UPDATE version SET removed = ?, key_id = NULL, wrapped_key = NULL, sealed = NULL,
        backend = NULL
      WHERE secret = ? AND removed IS NULL`
    this.#eraseVersion = db.prepare<[number, number, number]>(`${erase} AND number = ?`)
    this.#eraseAll = db.prepare<[number, number]>(erase)
    this.#settle = db.prepare('UPDATE meta SET settled = settled + 1')
    this.#committed = db
      .prepare<[{ intent: number }], number>(`
        SELECT audit_id FROM change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM wrap_change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM keyring_change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM backend_change WHERE audit_id = :intent`)
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
    if (op.kind === 'backend') return this.#backends.change(op)
    if (op.kind === 'committed') return this.#whichCommitted(op.intents)
    if (op.kind === 'remember') this.#head.remember(op.mark)
    else if (op.kind === 'mirror') this.#mirrors.change(op)
    else if (op.kind === 'orphans') this.#noteOrphans(op)
    else if (op.kind === 'forget-stale-copies') this.#mirrors.forgetStaleCopies()
    else if (op.kind === 'proven') this.#keys.noteProven(op.provider, op.fingerprint, op.at)
    else void this.#head.revision
    return undefined
  }

  #whichCommitted(intents: readonly number[]): number[] {
    // A commit that failed in its sync left frames in the log that a crash would revive. This write
    // takes their place, so that an intent that is reported absent stays absent. It must change a byte, or
    // SQLite leaves it out.
    this.#settle.run()
    return intents.filter((intent) => this.#committed.get({ intent }) !== undefined)
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
    this.#demandOneHome(op, stored)
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

  #setVersions(op: ChangeOp, placed: Placed): void {
    const { verb, version, added } = op
    const { secret, revision } = placed
    if (added && verb === 'append') this.#insertVersion.run(columnsOf(added, placed))
    if (verb === 'reserve') this.#reserve(op, placed)
    if (added && verb === 'fill') this.#fill(op, added, placed)
    if (verb === 'rehome') this.#rehome(op, placed)
    if (verb === 'remove-version' || verb === 'remove') this.#leave(secret, version)
    if (verb === 'remove-version') this.#eraseVersion.run(revision, secret, version as number)
    if (verb === 'remove') this.#eraseAll.run(revision, secret)
  }

  #reserve(op: ChangeOp, placed: Placed): void {
    const version = op.version as number
    if (op.backend === undefined) throw misfit(op)
    this.#reserveVersion.run({ ...placed, version })
    this.#backends.leave({ ...placed, version, backend: op.backend })
  }

  #fill(op: ChangeOp, added: SealedVersion, placed: Placed): void {
    const { version, backend } = added
    // A number that once had a value, or was reserved for another backend, cannot be filled.
    const filled = this.#fillVersion.run(columnsOf(added, placed)).changes === 1
    if (!filled || backend === undefined) throw misfit(op)
    this.#backends.settle({ ...placed, version, backend })
  }

  #rehome(op: ChangeOp, placed: Placed): void {
    const { moved = [], keepSource = false } = op
    const numbers = formatNumbers(moved.map(({ version }) => version))
    const [first] = moved
    if (numbers !== op.next.versions || moved.some(({ backend }) => backend !== first?.backend)) {
      throw misfit(op)
    }
    const { secret } = placed
    const source = this.#kept.all(secret)
    if (source.some(({ backend }) => backend === first?.backend)) throw misfit(op)
    for (const version of moved) this.#moveVersion.run(columnsOf(version, placed))
    for (const each of source) this.#backends.leave({ ...each, secret }, keepSource)
    if (first?.backend !== undefined) this.#backends.settleAll(first.backend, secret)
  }

  /** What is removed here is still in its backend. */
  #leave(secret: number, version: number | null): void {
    for (const each of this.#kept.all(secret)) {
      if (version === null || each.version === version) this.#backends.leave({ ...each, secret })
    }
    this.#backends.removed(secret, version)
  }

  /** All versions of a secret are kept in one place. */
  #demandOneHome(op: ChangeOp, stored: StoredSecret | undefined): void {
    if (op.added === undefined || stored === undefined || stored.active === 0) return
    const home = this.#homeOf.get(stored.id, stored.active)
    if (home !== (op.added.backend ?? null)) throw misfit(op)
  }

  #noteOrphans({ places, cleared }: Extract<Op, { kind: 'orphans' }>): void {
    if (cleared) this.#backends.clear(places)
    else this.#backends.noteWritten(places)
  }
}

/** A version that is kept in a backend. */
interface Kept {
  readonly version: number
  readonly incarnation: number
  readonly backend: number
}

type VersionColumns = Omit<SealedVersion, 'backend'> & Placed & { readonly backend: number | null }

function columnsOf(version: SealedVersion, placed: Placed): VersionColumns {
  return { ...placed, ...version, backend: version.backend ?? null }
}

function misfit(op: ChangeOp): SottoError {
  return new SottoError('internal', `Cannot ${attempted(op)}: it does not fit the stored versions`)
}

interface Placed {
  readonly secret: number
  readonly revision: number
  readonly incarnation: number
}
