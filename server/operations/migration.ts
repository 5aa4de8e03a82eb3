/**
 * Moves secrets from one backend to another, where the store is one of them. Each is read, written, read back
 * the way it will be read later and compared; then the store points to the new place, and the source is
 * cleared. Where that is cut short, the whole secret is at the old or at the new place, and the same call
 * again does the rest.
 */
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { matches } from '../access.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { SealedVersion, SecretRow, Store } from '../store/contract.ts'
import type { CachedSecret, SecretCache } from '../catalog/cache.ts'
import type { Call, Gate, OperatorPass, Pass } from '../gate/gate.ts'
import type { Values } from '../backends/values.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import { changeOf } from '../catalog/states.ts'
import type { Locks } from '../catalog/locks.ts'

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
}

/** The moves between the backends of one store. */
export class Migration {
  readonly #parts: MigrationParts

  constructor(parts: MigrationParts) {
    this.#parts = parts
  }

  /**
   * Which secrets a move concerns. Needs `migrate`, and shows those that the caller may `get`. Rejects
   * with `not_found` for a backend that is not there.
   */
  async plan(call: Call, request: OperationRequest<'migrate-plan'>): Promise<MigrationPlan> {
    const { From, To, Names } = request
    const { gate, store } = this.#parts
    const pass = await gate.operate(call, 'migrate', 'migrate-plan')
    const { from, to } = await this.#way(From, To)
    const wanted = (name: string): boolean =>
      Names.length === 0 || Names.some((pattern) => matches(pattern, name))
    const there = (await store.homed(to ?? null)).filter(wanted)
    const concerned = (await store.homed(from ?? null)).filter(wanted)
    const visible = concerned.filter((name) => gate.sees(call, 'get', name))
    await pass.record('ok')
    return {
      Names: visible,
      There: there.filter((name) => gate.sees(call, 'get', name)).length,
      Hidden: concerned.length - visible.length,
    }
  }

  /**
   * Moves one secret with all its versions. Needs `migrate`, and `get` on the secret. What is not at the
   * source any more is skipped. Rejects with what a backend rejects with, and with `conflict` when the
   * secret is changed all the time; then it is where it was.
   */
  async move(call: Call, request: OperationRequest<'migrate-secret'>): Promise<Outcome> {
    const { gate } = this.#parts
    const { Name, From, To, KeepSource } = request
    const pass = await gate.operate(call, 'migrate', 'migrate-secret')
    const reading = await gate.enter(call, 'get', Name, 'migrate-secret')
    const way = await this.#way(From, To)
    if (KeepSource && way.from === undefined) {
      const reason = 'The store keeps a value or a reference to it, never both'
      const hint = 'Make a backup first instead of keeping the source.'
      throw new SottoError('bad_request', reason, { hint })
    }
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(pass, reading, Name, way, KeepSource)
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
    pass: OperatorPass,
    reading: Pass,
    name: string,
    way: Way,
    keepSource: boolean,
  ): Promise<Outcome> {
    const { cache, left } = this.#parts
    const found = await cache.read(name, 0)
    const reason = found ? await this.#whyNot(found, way) : 'there is no such secret any more'
    if (!found || reason !== undefined) {
      await pass.record('unchanged')
      return { Result: 'skipped', ...(reason !== undefined && { Reason: reason }) }
    }
    const { row } = found
    const moved = await this.#copy(reading, row, way.to)
    await this.#flip(pass, row, moved, keepSource)
    const count = { Result: 'migrated', Versions: moved.length } as const
    if (way.from === undefined || keepSource) return count
    const failure = await this.#clear(row, way.from).catch((error: unknown) => asSottoError(error))
    if (failure === undefined) return count
    left()
    return { ...count, Reason: `it waits to be removed at the source: ${failure.message}` }
  }

  /** Why a secret stays where it is; undefined when it is to be moved. */
  async #whyNot({ row, versions }: CachedSecret, { from, to }: Way): Promise<string | undefined> {
    const active = versions.get(row.active)
    if (!active) return 'there is no such secret any more'
    if (active.backend === to) return 'it is there already'
    if (active.backend !== from) return 'it is in another backend'
    if (to === undefined) return undefined
    const user = await this.#parts.registry.userOf(row.name)
    return user && `backend ${quote(user.name)} logs in with it`
  }

  /** Writes every version to where it is to be, and gives what the store will keep of each. */
  async #copy(reading: Pass, row: SecretRow, to: number | undefined): Promise<SealedVersion[]> {
    const { name, incarnation } = row
    if (to !== undefined) {
      const places = row.versions.map((version) => ({ backend: to, name, incarnation, version }))
      // A run that is cut short leaves no values that are not on the list of orphans.
      await this.#parts.store.noteWritten(places)
    }
    const copied: SealedVersion[] = []
    for (let at = 0; at < row.versions.length; at += AT_ONCE) {
      const batch = row.versions.slice(at, at + AT_ONCE)
      copied.push(...(await settled(batch.map((each) => this.#copyOne(reading, row, each, to)))))
    }
    return copied
  }

  async #copyOne(
    reading: Pass,
    row: SecretRow,
    version: number,
    to: number | undefined,
  ): Promise<SealedVersion> {
    const { cache, values, keyring } = this.#parts
    const { name, incarnation } = row
    const found = await cache.read(name, version)
    const sealed = found?.versions.get(version)
    if (!found || !sealed || Buffer.compare(found.row.mac, row.mac) !== 0) {
      throw new ChangedMeanwhile()
    }
    const place = { name, incarnation, version }
    const value = await reading.reveal(row, sealed)
    try {
      if (to === undefined) {
        const kept = { version, ...keyring.seal(place, value) }
        keyring.prove(place, kept)
        return kept
      }
      await values.write(to, place, value)
      await values.prove(to, place, value)
      return { version, backend: to, ...values.refer(to, place, value) }
    } finally {
      value.fill(0)
    }
  }

  async #flip(
    pass: OperatorPass,
    row: SecretRow,
    moved: readonly SealedVersion[],
    keepSource: boolean,
  ): Promise<void> {
    const { store, keyring, cache, locks } = this.#parts
    await locks.withLock(row.name, async () => {
      const now = await cache.row(row.name)
      if (!now || Buffer.compare(now.mac, row.mac) !== 0) throw new ChangedMeanwhile()
      await pass.changeSecret('migrate', row.name, (stamp) => {
        // An entry that was retired in the meantime may get no new versions: it is erased once it has none.
        const upToDate = (each: SealedVersion) => keyring.upToDate({ ...row, ...each }, each)
        const current = moved.map((each) => ({ ...each, ...upToDate(each) }))
        return store.rehome(changeOf(keyring, stamp, row, row), current, keepSource)
      })
    })
  }

  /** Removes at the source what was moved. Resolves with nothing; rejects with the first failure. */
  async #clear({ name, incarnation, versions }: SecretRow, from: number): Promise<undefined> {
    const { values, store } = this.#parts
    for (const version of versions) {
      await values.remove(from, { name, incarnation, version })
      await store.forgetOrphan({ backend: from, name, incarnation, version })
    }
    return undefined
  }

  async #way(from: string, to: string): Promise<Way> {
    if (from === to) {
      throw new SottoError('bad_request', `Cannot move secrets from ${quote(from)} to itself`)
    }
    const { registry } = this.#parts
    return { from: (await registry.named(from))?.id, to: (await registry.named(to))?.id }
  }
}

/** The secret is another than it was when its move began. */
class ChangedMeanwhile extends Error {}

/** As Promise.all, but nothing still runs after a rejection. */
async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}
