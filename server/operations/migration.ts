/**
 * Moves secrets from one backend to another, where the store is one of them. Each is read, written, read back
 * and compared; then the store points to the new place. From there it is read again, the way it will be read
 * later, before the source is cleared, which is shown to be another place. Where that is cut short, the whole secret is at the old or at the new place, and the same call
 * again does the rest.
 */
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { matcherOf } from '../access.ts'
import type { Place } from '../crypto/binding.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { SealedVersion, SecretRow, Store } from '../store/contract.ts'
import type { OpenableVersion, SecretCache } from '../catalog/cache.ts'
import type { Call, Gate, OperatorPass, Pass } from '../gate/gate.ts'
import type { PlaceRecords } from '../gate/place-records.ts'
import type { Values } from '../backends/values.ts'
import type { BackendRecord, BackendRegistry } from '../backends/registry.ts'
import { changeOf, moved as movedTo } from '../catalog/states.ts'
import type { Locks } from '../catalog/locks.ts'
import { DOUBT_MS, type Doubts } from '../secrets/doubts.ts'
import { turns } from '../platform/turns.ts'

/** What secrets are moved with. */
export interface MigrationParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly cache: SecretCache
  readonly gate: Gate
  readonly values: Values
  readonly registry: BackendRegistry
  /** Those of the secrets: nothing changes one while it is flipped. */
  readonly locks: Locks
  /** Where something may still come about in backends. */
  readonly doubts: Doubts
  /** Called when a backend has values that are to be removed. */
  readonly left: () => void
}

type MigrationPlan = OperationResponse<'migrate-plan'>
type Outcome = OperationResponse<'migrate-secret'>

/** How often the move of a secret is tried that was changed on the way. */
const ATTEMPTS = 3

/** Versions of one secret that are on the way at once. */
const AT_ONCE = 4

/** From where to where; undefined is the store. */
interface Way {
  readonly from: number | undefined
  readonly to: number | undefined
  /** Whether the values stay at the source, too. */
  readonly keepsSource: boolean
}

/** A secret, where it is kept, and whether the source has values of it besides. */
interface Found {
  readonly name: string
  readonly home: number | undefined
  readonly isCopied: boolean
}

type Decision = Pick<Outcome, 'Result' | 'Reason'>

const gone: Decision = { Result: 'skipped', Reason: 'there is no such secret any more' }

/** The moves between the backends of one store. */
export class Migration {
  readonly #parts: MigrationParts

  constructor(parts: MigrationParts) {
    this.#parts = parts
  }

  /**
   * What a move would do with each secret that it concerns. Needs `migrate`, and shows those that the caller may
   * `get`. Those that it may not get are counted where it has `info` on them: otherwise a number would tell names.
   * Rejects with `not_found` for a backend that is not there, and for names that match nothing.
   */
  async plan(call: Call, request: OperationRequest<'migrate-plan'>): Promise<MigrationPlan> {
    const { From, To, Names, KeepSource } = request
    const { gate, store, registry } = this.#parts
    const pass = await gate.operate(call, 'migrate', 'migrate-plan', request)
    const way = await this.#way(From, To, KeepSource)
    const isWanted = matcherOf(Names.length === 0 ? ['*'] : Names)
    const copies = new Set(await store.copied(way.from ?? null))
    const users = await registry.users()
    const told = gate.sees(call, 'backends:view', '')
    const others =
      Names.length === 0 ? [] : [undefined, ...(await registry.all()).map(({ id }) => id)]
    const secrets: MigrationPlan['Secrets'][] = []
    const seen = new Set<string>()
    let hidden = 0
    for (const home of new Set([way.from, way.to, ...others])) {
      const names = await turns.collect(await store.homed(home ?? null), (name) =>
        isWanted(name) ? name : undefined,
      )
      const mine = await gate.visible(call, 'get', names)
      const decided = await turns.collect(mine, (Name) => {
        seen.add(Name)
        const isCopied = copies.has(Name)
        return { Name, ...decide({ name: Name, home, isCopied }, way, users, told) }
      })
      secrets.push(decided)
      await turns.collect(await gate.visible(call, 'info', names), (name) => {
        if (!seen.has(name) && (home === way.from || copies.has(name))) hidden++
        seen.add(name)
      })
    }
    await demandMatches(pass, Names, seen)
    await pass.record('ok')
    const Secrets = secrets.flat().toSorted((one, other) => (one.Name < other.Name ? -1 : 1))
    return { Secrets, Hidden: hidden }
  }

  /**
   * Moves one secret with all its versions. Needs `migrate`, and `get` on the secret. What is not at the
   * source any more is skipped. Rejects with what a backend rejects with, and with `conflict` when the
   * secret is changed all the time; then it is where it was.
   */
  async move(call: Call, request: OperationRequest<'migrate-secret'>): Promise<Outcome> {
    const { gate } = this.#parts
    const { Name, From, To, KeepSource } = request
    const pass = await gate.operate(call, 'migrate', 'migrate-secret', { Name, From, To })
    const reading = await gate.enter(call, 'get', Name, 'migrate-secret')
    const way = await this.#way(From, To, KeepSource)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(call, pass, reading, Name, way)
      } catch (error) {
        const changed = error instanceof ChangedMeanwhile
        if (changed && attempt < ATTEMPTS) continue
        await pass.record('failed')
        if (!changed) throw error
        throw new SottoError('conflict', `Cannot move ${quote(Name)}: it is changed all the time`)
      }
    }
  }

  async #attempt(
    call: Call,
    pass: OperatorPass,
    reading: Pass,
    name: string,
    way: Way,
  ): Promise<Outcome> {
    const { cache, gate, left, registry, store, values } = this.#parts
    const { from, keepsSource } = way
    const found = await cache.read(name, 0)
    const active = found?.versions.get(found.row.active)
    const isCopied = (await store.copied(from ?? null, name)).length > 0
    const told = gate.sees(call, 'backends:view', '')
    const decided = active
      ? decide({ name, home: active.backend, isCopied }, way, await registry.users(), told)
      : gone
    if (!found || !active || decided.Result === 'skipped') {
      await pass.record('unchanged')
      return decided
    }
    const { row } = found
    const done = { ...decided, Versions: row.versions.length }
    await values.demandDistinct(from, way.to)
    if (decided.Result === 'cleared' && from !== undefined) {
      await this.#clear(pass.places(), row, from)
      await pass.record('ok')
      return done
    }
    {
      using _ = await this.#hold(row, active.backend, way)
      const moved = await this.#copy(reading, row, active.backend, way)
      await this.#flip(pass, row, active, moved, way)
    }
    if (from === undefined || keepsSource) return done
    const cleared = this.#clear(pass.places(), row, from)
    const failure = await cleared.catch((error: unknown) => asSottoError(error))
    if (failure === undefined) return done
    left()
    const why = gate.told(call, failure)
    return { ...done, Reason: `it waits to be removed at the source: ${why}` }
  }

  /**
   * Has nothing that is brought to the destination cleared there before the store points to it: values of an earlier
   * move may wait for that at the same places. Rejects with `backend_unavailable` where that was begun and given up.
   */
  async #hold(row: SecretRow, home: number | undefined, { to }: Way): Promise<Disposable> {
    const { doubts, locks } = this.#parts
    const { name, incarnation, versions } = row
    if (to === undefined || to === home) return doubts.hold([])
    const places = versions.map((version) => ({ backend: to, name, incarnation, version }))
    // What is being cleared is gone by then.
    return locks.withLock(name, async () => {
      if (!places.some((place) => doubts.mayVanish(place))) return doubts.hold(places)
      const message = `Cannot move ${quote(name)}: values of it were to be removed there, which may still happen`
      const hint = `Try again in ${DOUBT_MS / 60_000} minutes.`
      throw new SottoError('backend_unavailable', message, { hint })
    })
  }

  /** Writes every version to where it is to be, and gives what the store will keep of each. */
  async #copy(
    reading: Pass,
    row: SecretRow,
    home: number | undefined,
    way: Way,
  ): Promise<SealedVersion[]> {
    const { name, incarnation } = row
    const { to } = way
    if (to !== undefined && to !== home) {
      const places = row.versions.map((version) => ({ backend: to, name, incarnation, version }))
      // A run that is cut short leaves no values that are not on the list of orphans.
      await this.#parts.store.noteWritten(places)
    }
    const copied: SealedVersion[] = []
    for (let at = 0; at < row.versions.length; at += AT_ONCE) {
      const batch = row.versions.slice(at, at + AT_ONCE)
      copied.push(...(await settled(batch.map((each) => this.#copyOne(reading, row, each, way)))))
    }
    return copied
  }

  async #copyOne(
    reading: Pass,
    row: SecretRow,
    version: number,
    { to, keepsSource }: Way,
  ): Promise<SealedVersion> {
    const { cache, values, keyring } = this.#parts
    const { name, incarnation } = row
    const found = await cache.read(name, version)
    const sealed = found?.versions.get(version)
    if (!found || !sealed || Buffer.compare(found.row.mac, row.mac) !== 0) {
      throw new ChangedMeanwhile()
    }
    const place = { name, incarnation, version }
    const kept = this.#keptKey(place, sealed, { to, keepsSource })
    const value = await reading.reveal(
      row,
      to === undefined ? await this.#ours(place, sealed) : sealed,
    )
    try {
      if (to === undefined) {
        const resealed = { version, ...keyring.seal(place, value) }
        keyring.prove(place, resealed)
        return resealed
      }
      if (sealed.backend !== to) await values.write(to, place, value)
      await values.prove(to, place, value)
      return { version, backend: to, ...values.refer(to, place, value, kept) }
    } finally {
      value.fill(0)
    }
  }

  /** The data key of what the store will keep besides the reference. */
  #keptKey(place: Place, sealed: OpenableVersion, { to, keepsSource }: Omit<Way, 'from'>) {
    if (sealed.backend === undefined) return keepsSource ? sealed.dataKey.key : undefined
    return sealed.backend === to ? undefined : this.#parts.values.keptKey(place, sealed)?.key
  }

  /** `sealed`, or the value that the store keeps besides, for which the backend need not answer. */
  async #ours(place: Place, sealed: OpenableVersion): Promise<OpenableVersion> {
    if (sealed.backend === undefined) return sealed
    const dataKey = this.#parts.values.keptKey(place, sealed)
    const kept = dataKey && (await this.#parts.store.read(place.name, place.version))?.version?.kept
    if (!kept) return sealed
    return { version: place.version, sealed: kept, dataKey }
  }

  async #flip(
    pass: OperatorPass,
    row: SecretRow,
    active: OpenableVersion,
    moved: readonly SealedVersion[],
    { to, keepsSource }: Way,
  ): Promise<void> {
    const { store, keyring, cache, locks } = this.#parts
    await locks.withLock(row.name, async () => {
      const now = await cache.read(row.name, 0)
      const there = now?.versions.get(row.active)?.sealed ?? ''
      // Another move leaves the row as it is, and seals each version again.
      const isSame = Buffer.from(there).equals(active.sealed)
      if (!now || Buffer.compare(now.row.mac, row.mac) !== 0 || !isSame)
        throw new ChangedMeanwhile()
      await pass.changeSecret('migrate', row.name, (stamp) => {
        // An entry that was retired in the meantime may get no new versions: it is erased once it has none.
        const upToDate = (each: SealedVersion) => keyring.upToDate({ ...row, ...each }, each)
        const current = moved.map((each) => ({ ...each, ...upToDate(each) }))
        return store.rehome(changeOf(keyring, stamp, row, movedTo(row, to)), current, keepsSource)
      })
    })
  }

  /**
   * Removes at the source what was moved, each version once it was read where it is now. Resolves with nothing;
   * rejects with the first failure.
   */
  async #clear(records: PlaceRecords, row: SecretRow, from: number): Promise<undefined> {
    const { cache, values, store, registry, locks, doubts } = this.#parts
    const { name, incarnation } = row
    const backend = (await registry.find(from)).name
    for (const version of row.versions) {
      await locks.withLock(name, async () => {
        if (cache.isUncertain(name)) {
          const message = `Cannot remove what ${quote(backend)} has of ${quote(name)}: a change of it may still be made`
          throw new SottoError('store_unavailable', message, { hint: 'Try again.' })
        }
        const found = await cache.read(name, version)
        const kept = found?.row.incarnation === incarnation && found.versions.get(version)
        const place = { name, incarnation, version }
        // Another move brought it back, or is about to.
        if ((kept && kept.backend === from) || doubts.has({ backend: from, ...place })) return
        if (kept) await values.demandReadable(place, kept)
        const act = { verb: 'remove', backend, secret: name, secretVersion: version } as const
        const now = kept ? kept.backend : undefined
        await records.during(act, () =>
          doubts.removing({ backend: from, ...place }, () => values.remove(from, place, now)),
        )
        await store.forgetOrphan({ backend: from, ...place })
      })
    }
    return undefined
  }

  async #way(from: string, to: string, keepsSource: boolean): Promise<Way> {
    if (from === to) {
      throw new SottoError('bad_request', `Cannot move secrets from ${quote(from)} to itself`)
    }
    const { registry } = this.#parts
    const [source, destination] = [await registry.named(from), await registry.named(to)]
    return { from: source?.id, to: destination?.id, keepsSource }
  }
}

/**
 * What is to be done with a secret: the dry run and the run ask this. `users`: which backend logs in with which, `told`
 * to the caller or not.
 */
function decide(
  { name, home, isCopied }: Found,
  { from, to, keepsSource }: Way,
  users: ReadonlyMap<string, BackendRecord>,
  told: boolean,
): Decision {
  if (home === to) {
    if (isCopied && !keepsSource) return { Result: 'cleared' }
    return { Result: 'skipped', Reason: 'it is there already' }
  }
  if (home !== from) return { Result: 'skipped', Reason: 'it is in another backend' }
  const user = to === undefined ? undefined : users.get(name)
  if (!user) return { Result: 'migrated' }
  const who = told ? `backend ${quote(user.name)}` : 'a backend'
  return { Result: 'skipped', Reason: `${who} logs in with it` }
}

/** Rejects with `not_found` where one of `patterns` matches none of `names`. */
async function demandMatches(
  pass: OperatorPass,
  patterns: readonly string[],
  names: ReadonlySet<string>,
): Promise<void> {
  const idle = new Map(
    patterns.filter((each) => !names.has(each)).map((each) => [each, matcherOf([each])]),
  )
  const starred = [...idle].filter(([pattern]) => pattern.includes('*'))
  await turns.collect(starred.length === 0 ? [] : [...names], (name) => {
    for (const [pattern, isOf] of starred) {
      if (idle.has(pattern) && isOf(name)) idle.delete(pattern)
    }
  })
  if (idle.size === 0) return
  await pass.record('not-found')
  const missing = [...idle.keys()].map(quote).join(', ')
  throw new SottoError('not_found', `There is no secret for ${missing}`, {
    hint: 'Nothing was moved. Give names or patterns of secrets that you may get.',
  })
}

/** The secret is another than it was when its move began. */
class ChangedMeanwhile extends Error {}

/** As Promise.all, but nothing still runs after a rejection. */
async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}
