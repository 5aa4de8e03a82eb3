/** Does changes of secrets, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { Change, HistoryItem, SealedVersion } from '../contract.ts'
import type { BackendChanges } from './backend-changes.ts'
import { Refusal } from './faults.ts'
import { follows, type SecretColumns } from './follows.ts'
import { type Head, stampOf } from './head.ts'
import { formatNumbers } from './numbers.ts'

const appends = ({ next }: Change, { version }: SealedVersion): string =>
  `append version ${version} of ${quote(next.name)}`

/** What each verb is about, to follow "Cannot" in a message. */
export const secretWords = {
  append: appends,
  activate: ({ next }: Change) => `activate version ${next.active} of ${quote(next.name)}`,
  removeVersion: ({ next }: Change, version: number) =>
    `remove version ${version} of ${quote(next.name)}`,
  remove: ({ next }: Change) => `remove ${quote(next.name)}`,
  reserve: ({ next }: Change, version: number) =>
    `reserve version ${version} of ${quote(next.name)}`,
  fill: appends,
  rehome: ({ next }: Change) => `move ${quote(next.name)}`,
}

interface StoredSecret extends SecretColumns {
  readonly id: number
  readonly mac: Buffer
}

/** The prepared statements of one connection, and the verbs. Each returns the new revision. */
export class SecretChanges {
  readonly #head: Head
  readonly #backends: BackendChanges
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

  constructor(db: Database, head: Head, backends: BackendChanges) {
    this.#head = head
    this.#backends = backends
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
  }

  append(change: Change, added: SealedVersion): number {
    return this.#change('append', change, added.version, (placed, stored) => {
      this.#demandHome(added, stored)
      this.#insertVersion.run(columnsOf(added, placed))
    })
  }

  activate(change: Change): number {
    return this.#change('activate', change, change.next.active)
  }

  removeVersion(change: Change, version: number): number {
    return this.#change('remove-version', change, version, ({ secret, revision }) => {
      this.#leave(secret, version)
      this.#eraseVersion.run(revision, secret, version)
    })
  }

  remove(change: Change): number {
    return this.#change('remove', change, null, ({ secret, revision }) => {
      this.#leave(secret, null)
      this.#eraseAll.run(revision, secret)
    })
  }

  reserve(change: Change, version: number, backend: number): number {
    return this.#change('reserve', change, version, (placed) => {
      this.#reserveVersion.run({ ...placed, version })
      this.#backends.leave({ ...placed, version, backend })
    })
  }

  fill(change: Change, added: SealedVersion): number {
    const { version, backend } = added
    return this.#change('fill', change, version, (placed, stored) => {
      this.#demandHome(added, stored)
      // A number that once had a value, or was reserved for another backend, cannot be filled.
      const filled = this.#fillVersion.run(columnsOf(added, placed)).changes === 1
      if (!filled || backend === undefined) throw misfit()
      this.#backends.settle({ ...placed, version, backend })
    })
  }

  rehome(change: Change, moved: readonly SealedVersion[], keepSource: boolean): number {
    return this.#change('rehome', change, null, (placed) => {
      const { secret } = placed
      const home = moved[0]?.backend
      const source = this.#kept.all(secret)
      const isWhole =
        formatNumbers(moved.map(({ version }) => version)) === formatNumbers(change.next.versions)
      if (!isWhole || moved.some(({ backend }) => backend !== home)) throw misfit()
      if (source.some(({ backend }) => backend === home)) throw misfit()
      for (const version of moved) this.#moveVersion.run(columnsOf(version, placed))
      for (const each of source) this.#backends.leave({ ...each, secret }, keepSource)
      if (home !== undefined) this.#backends.settleAll(home, secret)
    })
  }

  #change(
    verb: HistoryItem['verb'],
    change: Change,
    version: number | null,
    setVersions: (placed: Placed, stored: StoredSecret | undefined) => void = () => {},
  ): number {
    const { name, incarnation, active, highest, mac, ...numbers } = change.next
    const next: SecretColumns = {
      incarnation,
      active,
      highest,
      versions: formatNumbers(numbers.versions),
      removed: formatNumbers(numbers.removed),
    }
    const stored = this.#find.get(name)
    const { expected } = change
    const asExpected = expected === null ? !stored : stored?.mac.equals(expected)
    if (!asExpected) throw new Refusal('conflict', 'the secret was changed meanwhile')
    if (!follows(verb, version, next, stored)) {
      throw new Refusal('internal', 'it does not fit the stored state')
    }
    return this.#head.advance(change, (revision) => {
      const secret = this.#setSecret(stored?.id, { ...next, name, mac })
      const placed = { secret, revision, incarnation }
      this.#insertChange.run({ ...placed, ...stampOf(change), verb, version })
      setVersions(placed, stored)
    })
  }

  /** Returns the id of the row. */
  #setSecret(
    id: number | undefined,
    row: SecretColumns & { readonly name: string; readonly mac: Uint8Array },
  ): number {
    if (id === undefined) return Number(this.#insertSecret.run(row).lastInsertRowid)
    this.#updateSecret.run({ id, ...row })
    return id
  }

  /** What is removed here is still in its backend. */
  #leave(secret: number, version: number | null): void {
    for (const each of this.#kept.all(secret)) {
      if (version === null || each.version === version) this.#backends.leave({ ...each, secret })
    }
    this.#backends.removed(secret, version)
  }

  /** All versions of a secret are kept in one place. */
  #demandHome({ backend }: SealedVersion, stored: StoredSecret | undefined): void {
    if (stored === undefined || stored.active === 0) return
    const home = this.#homeOf.get(stored.id, stored.active)
    if (home !== (backend ?? null)) throw misfit()
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

function misfit(): Refusal {
  return new Refusal('internal', 'it does not fit the stored versions')
}

interface Placed {
  readonly secret: number
  readonly revision: number
  readonly incarnation: number
}
