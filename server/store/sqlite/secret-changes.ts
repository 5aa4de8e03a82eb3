/** Does changes of secrets, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { quote } from '../../../client/api/errors.ts'
import type { Change, HistoryItem, Orphan, SealedVersion } from '../contract.ts'
import type { backendChanges } from './backend-changes.ts'
import { Refusal } from './faults.ts'
import { follows, type SecretColumns } from './follows.ts'
import { type Head, stampOf } from './head.ts'
import { formatNumbers } from '../numbers.ts'

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

/** The columns of a secret that a change sets. */
interface NextColumns extends SecretColumns {
  readonly settings: Uint8Array
  readonly mac: Uint8Array
}

type Backends = ReturnType<typeof backendChanges>

interface StoredSecret extends SecretColumns {
  readonly id: number
  readonly mac: Buffer
}

/** The verbs about secrets on one connection. Each returns the new revision. */
export function secretChanges(db: Database, head: Head, backends: Backends) {
  const find = db.prepare<[string], StoredSecret>(`
    SELECT id, incarnation, active, highest, versions, removed, mac FROM secret WHERE name = ?`)
  const insertSecret = db.prepare<[NextColumns & { name: string }]>(`
    INSERT INTO secret (name, incarnation, active, highest, versions, removed, settings, mac)
    VALUES (:name, :incarnation, :active, :highest, :versions, :removed, :settings, :mac)`)
  const updateSecret = db.prepare<[NextColumns & { id: number }]>(`
    UPDATE secret SET incarnation = :incarnation, active = :active, highest = :highest,
      versions = :versions, removed = :removed, settings = :settings, mac = :mac
    WHERE id = :id`)
  const insertChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO change (revision, audit_id, audit_hash, verb, secret, incarnation, version, by, at)
    VALUES (:revision, :id, :hash, :verb, :secret, :incarnation, :version, :by, :at)`)
  const insertVersion = db.prepare<[VersionColumns]>(`
    INSERT INTO version (secret, number, incarnation, added, key_id, wrapped_key, sealed, backend)
    VALUES (:secret, :version, :incarnation, :revision, :keyId, :wrappedKey, :sealed, :backend)`)
  const reserveVersion = db.prepare<[Placed & { version: number }]>(`
    INSERT INTO version (secret, number, incarnation, added, removed)
    VALUES (:secret, :version, :incarnation, :revision, :revision)`)
  const fillVersion = db.prepare<[VersionColumns]>(`
    UPDATE version SET added = :revision, removed = NULL, key_id = :keyId,
      wrapped_key = :wrappedKey, sealed = :sealed, backend = :backend
    WHERE secret = :secret AND number = :version AND incarnation = :incarnation
      AND removed = added`)
  const moveVersion = db.prepare<[VersionColumns & { keeps: number }]>(`
    UPDATE version SET key_id = :keyId, wrapped_key = :wrappedKey, sealed = :sealed,
      backend = :backend, kept = iif(:keeps, iif(backend IS NULL, sealed, kept), NULL)
    WHERE secret = :secret AND number = :version AND removed IS NULL`)
  const kept = db.prepare<[number], Kept>(`
    SELECT number AS version, incarnation, backend FROM version
    WHERE secret = ? AND removed IS NULL AND backend IS NOT NULL`)
  const homeOf = db
    .prepare<[number, number], number | null>(
      'SELECT backend FROM version WHERE secret = ? AND number = ?',
    )
    .pluck()
  const erase = `UPDATE version SET removed = ?, key_id = NULL, wrapped_key = NULL, sealed = NULL,
      backend = NULL, kept = NULL
    WHERE secret = ? AND removed IS NULL`
  const eraseVersion = db.prepare<[number, number, number]>(`${erase} AND number = ?`)
  const eraseAll = db.prepare<[number, number]>(erase)

  /** Returns the id of the row. */
  function setSecret(id: number | undefined, row: NextColumns & { readonly name: string }): number {
    if (id === undefined) return Number(insertSecret.run(row).lastInsertRowid)
    updateSecret.run({ id, ...row })
    return id
  }

  /** What is removed here is still in its backend. */
  function leave(secret: number, version: number | null): void {
    for (const each of kept.all(secret)) {
      if (version === null || each.version === version) backends.leave({ ...each, secret })
    }
    backends.removed(secret, version)
  }

  /** All versions of a secret are kept in one place. */
  function demandHome({ backend }: SealedVersion, stored: StoredSecret | undefined): void {
    if (stored === undefined || stored.active === 0) return
    const home = homeOf.get(stored.id, stored.active)
    if (home !== (backend ?? null)) throw misfit()
  }

  function change(
    verb: HistoryItem['verb'],
    given: Change,
    version: number | null,
    setVersions: (placed: Placed, stored: StoredSecret | undefined) => void = () => {},
  ): number {
    const { expected } = given
    const { name, mac, versions, removed, settings = new Uint8Array(), ...numbers } = given.next
    const next: SecretColumns = {
      ...numbers,
      versions: formatNumbers(versions),
      removed: formatNumbers(removed),
    }
    const stored = find.get(name)
    const asExpected = expected === null ? !stored : stored?.mac.equals(expected)
    if (!asExpected) throw new Refusal('conflict', 'the secret was changed meanwhile')
    if (!follows(verb, version, next, stored)) {
      throw new Refusal('internal', 'it does not fit the stored state')
    }
    return head.advance(given, (revision) => {
      const secret = setSecret(stored?.id, { ...next, name, settings, mac })
      const placed = { secret, revision, incarnation: next.incarnation }
      insertChange.run({ ...placed, ...stampOf(given), verb, version })
      setVersions(placed, stored)
    })
  }

  return {
    append: (given: Change, added: SealedVersion): number =>
      change('append', given, added.version, (placed, stored) => {
        demandHome(added, stored)
        insertVersion.run(columnsOf(added, placed))
      }),

    activate: (given: Change): number => change('activate', given, given.next.active),

    removeVersion: (given: Change, version: number): number =>
      change('remove-version', given, version, ({ secret, revision }) => {
        leave(secret, version)
        eraseVersion.run(revision, secret, version)
      }),

    remove: (given: Change): number =>
      change('remove', given, null, ({ secret, revision }) => {
        leave(secret, null)
        eraseAll.run(revision, secret)
      }),

    reserve: (given: Change, version: number, backend: number): number =>
      change('reserve', given, version, (placed) => {
        reserveVersion.run({ ...placed, version })
        backends.leave({ ...placed, version, backend })
      }),

    fill(given: Change, added: SealedVersion): number {
      const { version, backend } = added
      return change('fill', given, version, (placed, stored) => {
        demandHome(added, stored)
        // A number that once had a value, or was reserved for another backend, cannot be filled.
        const filled = fillVersion.run(columnsOf(added, placed)).changes === 1
        if (!filled || backend === undefined) throw misfit()
        backends.settle({ ...placed, version, backend })
      })
    },

    rehome: (given: Change, moved: readonly SealedVersion[], keepSource: boolean): number =>
      change('rehome', given, null, (placed) => {
        const { secret } = placed
        const home = moved[0]?.backend
        const source = kept.all(secret)
        const isWhole =
          formatNumbers(moved.map(({ version }) => version)) === formatNumbers(given.next.versions)
        if (!isWhole || moved.some(({ backend }) => backend !== home)) throw misfit()
        const left = source.filter(({ backend }) => backend !== home)
        // From one backend to another, what the store keeps besides is not the source.
        const keeps = home !== undefined && (keepSource || left.length > 0) ? 1 : 0
        for (const version of moved) moveVersion.run({ ...columnsOf(version, placed), keeps })
        for (const each of left) backends.leave({ ...each, secret }, keepSource)
        if (home !== undefined) backends.settleAll(home, secret)
      }),
  }
}

/** A version that is kept in a backend. */
type Kept = Omit<Orphan, 'name'>

type VersionColumns = Omit<SealedVersion, 'backend' | 'kept'> &
  Placed & { readonly backend: number | null }

function columnsOf(given: SealedVersion, placed: Placed): VersionColumns {
  const { kept: _kept, ...version } = given
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
