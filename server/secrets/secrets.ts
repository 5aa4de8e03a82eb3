/** The service: a method for each verb of the API, each through the gate. */
import { STORE_BACKEND } from '../../client/api/backends.ts'
import { type ErrorExtra, quote, SottoError } from '../../client/api/errors.ts'
import type { Action, SecretInfo } from '../../client/api/types.ts'
import { MAX_VERSION, operatorActions, secretActions } from '../../client/api/types.ts'
import type { Request } from '../../client/api/wire.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Change, SecretRow, SecretState, Store } from '../store/contract.ts'
import type { CachedSecret, OpenableVersion, SecretCache } from '../catalog/cache.ts'
import type { ExternalWrites, NewVersion } from './external-writes.ts'
import type { Call, Gate, Pass } from '../gate/gate.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import { appended, ascending, type ChangeStamp, changeOf } from '../catalog/states.ts'
import type { Locks } from '../catalog/locks.ts'
import { turns } from '../platform/turns.ts'
import { historyOf, type SecretHistory } from './history.ts'

/** What the service works with. */
export interface SecretsParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly cache: SecretCache
  readonly gate: Gate
  readonly registry: BackendRegistry
  readonly externalWrites: ExternalWrites
  /** Changes to one secret run one after another. */
  readonly locks: Locks
  /** Told of versions that callers say they hold. */
  readonly claims?: Claims
  /** Called when values were removed here that a backend still has. */
  readonly left: () => void
}

/** Keeps track of which versions callers say they hold. Never throws, and takes next to no time. */
export interface Claims {
  claimed(call: Call, name: string, version: number): void
}

/** The version that a put is answered with. */
export interface Added {
  readonly version: number
  readonly isActive: boolean
}

/** The version that was made active, and the one that was active until then. */
export interface Activated {
  readonly version: number
  readonly was: number
}

/** What is known of a secret, and the name of its backend; undefined where that is not told or not known. */
export interface Located {
  readonly info: SecretInfo
  readonly home: string | undefined
}

/** A value on its way out. The caller zeroes it after use. */
export interface Revealed {
  readonly Value: Buffer
  readonly Version: number
}

/** Secrets, as callers with rules see them. */
export class Secrets {
  readonly #parts: SecretsParts
  readonly #store: Store
  readonly #cache: SecretCache
  readonly #gate: Gate

  constructor(parts: SecretsParts) {
    this.#parts = parts
    this.#store = parts.store
    this.#cache = parts.cache
    this.#gate = parts.gate
  }

  /** The secrets that the caller has `info` on, by name in byte order. Needs no permission itself. */
  async list(call: Call): Promise<SecretInfo[]> {
    // Reading all names is work that a caller without rights cannot ask for.
    const rows = this.#gate.seesAny(call, 'info') ? await this.#store.list() : []
    const isSeen = this.#gate.allowing(call, 'info')
    const visible = await turns.collect(rows, (row) => (isSeen(row.name) ? infoOf(row) : undefined))
    await this.#gate.listed(call, visible.length)
    return visible
  }

  /**
   * Versions of a secret, and to callers with `backends:view` the backend that keeps it. Needs `info`. Rejects with
   * `not_found`.
   */
  async info(call: Call, { Name }: Request<'info'>): Promise<Located> {
    const pass = await this.#gate.enter(call, 'info', Name)
    const { row, versions } = await this.#existing(pass, Name, 0)
    const isTold = this.#gate.sees(call, 'backends:view', '')
    const home = isTold ? await this.#nameOf(versions.get(row.active)?.backend) : undefined
    await pass.record('ok')
    return { info: infoOf(row), home }
  }

  /**
   * The active version, or the one that is named; undefined when a conditional get finds the
   * caller's version still active, which leaves no record. Needs `get`. Rejects with `not_found`.
   */
  async get(call: Call, request: Request<'get'>): Promise<Revealed | undefined> {
    const pass = await this.#gate.enter(call, 'get', request.Name)
    const conditional = request.UpdateIfChanged && request.Version !== 0
    const wanted = conditional ? 0 : request.Version
    const secret = await this.#existing(pass, request.Name, wanted)
    const { active } = secret.row
    if (conditional && request.Version === active) {
      this.#parts.claims?.claimed(call, request.Name, active)
      return undefined
    }
    const sealed = secret.versions.get(wanted || active)
    if (!sealed) return missing(pass, request.Name, wanted)
    const held = conditional ? request.Version : 0
    return { Value: await pass.reveal(secret.row, sealed, held), Version: sealed.version }
  }

  /**
   * Adds a version and resolves with its number, and whether it is the active one: the first of a secret becomes
   * that. The bytes of the latest version again add nothing and give its number, where another value could be
   * added. Needs `put`. Rejects with `versions_exhausted`, and with `conflict` unless `expected` is the latest version
   * (0: there is none). The value is zeroed.
   */
  async put(call: Call, { Name, Value }: Request<'put'>, expected?: number): Promise<Added> {
    const pass = await this.#gate.enter(call, 'put', Name)
    return this.#writing(Name, Value, async () => {
      const found = await this.#cache.read(Name, 0)
      const before = found?.row
      await demandLatest(pass, Name, before, expected)
      const home = await this.#homeOf(Name, found)
      const next = this.#highest(before) + 1
      const version =
        home === undefined || next > MAX_VERSION
          ? next
          : await this.#parts.externalWrites.vacant(home, before, Name, next)
      if (version > MAX_VERSION) {
        await pass.record('refused')
        const message = `Cannot put ${quote(Name)}: ${MAX_VERSION} is taken`
        throw new SottoError('versions_exhausted', message)
      }
      // After all that could refuse: who guesses at the latest value leaves a record, or a version, each time.
      const latest = await this.#latest(found)
      if (before && latest && (await pass.equals(before, latest, Value))) {
        return { version: latest.version, isActive: before.active === latest.version }
      }
      const active = before && before.active > 0 ? before.active : version
      const addition = { name: Name, version, active, verb: 'put', value: Value }
      await this.#add(pass, home, before, addition)
      return { version, isActive: active === version }
    })
  }

  /**
   * Adds a version under a number of the caller's choice and activates it. Needs `create-version`.
   * Rejects with `version_taken` for a number that has, or once had, a value. The value is zeroed.
   */
  async createVersion(call: Call, request: Request<'create-version'>): Promise<void> {
    const { Name, Version: version, Value } = request
    const pass = await this.#gate.enter(call, 'create-version', Name)
    await this.#writing(Name, Value, async () => {
      const before = await this.#cache.row(Name)
      const given = before?.versions.includes(version) || before?.removed.includes(version)
      // A restored store has no record of the numbers that were given after its backup.
      const unsure = this.#store.identity.restored && version <= this.#highest(before)
      if (given || unsure) {
        await pass.record('refused', version)
        throw taken(Name, version, `the number ${given ? 'was' : 'may have been'} given before`)
      }
      const home = await this.#homeOf(Name, await this.#cache.read(Name, 0))
      if (home !== undefined) {
        const vacant = await this.#parts.externalWrites.vacant(home, before, Name, version)
        if (vacant !== version) {
          await pass.record('refused', version)
          throw taken(Name, version, 'its backend has something under that number', {
            callerHint: 'Choose another number; `sotto put` finds one.',
          })
        }
      }
      const verb = 'create-version'
      const addition = { name: Name, version, active: version, verb, value: Value }
      await this.#add(pass, home, before, addition)
    })
  }

  /**
   * Makes an existing version active; undefined is the one that was active before. Resolves with both. Needs `activate`.
   * Rejects with `not_found`, and with `conflict` unless `expected` is the active version.
   */
  async activate(
    call: Call,
    { Name, Version }: Partial<Request<'activate'>> & Pick<Request<'activate'>, 'Name'>,
    expected?: number,
  ): Promise<Activated> {
    const pass = await this.#gate.enter(call, 'activate', Name)
    return this.#parts.locks.withLock(Name, async () => {
      const found = await this.#rowWith(pass, Name, Version)
      await demandActive(pass, found, expected)
      const version = Version ?? (await this.#before(pass, found))
      const activated = { version, was: found.active }
      if (found.active === version) {
        await pass.record('unchanged', version)
        return activated
      }
      const next = { ...found, active: version }
      await pass.change('activate', version, (stamp) =>
        this.#store.activate(this.#changeOf(stamp, found, next)),
      )
      return activated
    })
  }

  /** What became of a secret and its versions. Needs `info`. Rejects with `not_found` where there never was one. */
  async history(
    call: Call,
    name: string,
  ): Promise<{ readonly row: SecretRow; readonly history: SecretHistory }> {
    const pass = await this.#gate.enter(call, 'info', name, 'secret-history')
    const row = await this.#cache.row(name)
    if (!row || row.highest === 0) return missing(pass, name, 0)
    const history = await this.#historyOf(row)
    await pass.record('ok')
    return { row, history }
  }

  /**
   * When versions of a secret got their values, UTC, for a caller who was let through to it: none without `info`, or where
   * it is not known.
   */
  async putTimes(call: Call, name: string): Promise<ReadonlyMap<number, string>> {
    if (!this.#gate.sees(call, 'info', name)) return new Map()
    const changes = await this.#store.history(name)
    const puts = changes.filter(({ verb }) => verb === 'append' || verb === 'fill')
    return new Map(puts.map(({ version = 0, at }) => [version, at]))
  }

  /**
   * Deletes a version that is not active. Needs `delete`. Rejects with `not_found`, and with
   * `version_active`.
   */
  async deleteVersion(call: Call, { Name, Version }: Request<'delete-version'>): Promise<void> {
    const pass = await this.#gate.enter(call, 'delete', Name, 'delete-version')
    await this.#parts.locks.withLock(Name, async () => {
      const row = await this.#rowWith(pass, Name, Version)
      if (row.active === Version) {
        await pass.record('refused', Version)
        const message = `Cannot delete version ${Version} of ${quote(Name)}: it is the active one`
        throw new SottoError('version_active', message)
      }
      const next = {
        ...row,
        versions: row.versions.filter((number) => number !== Version),
        removed: ascending([...row.removed, Version]),
      }
      await pass.change('delete-version', Version, (stamp) =>
        this.#store.removeVersion(this.#changeOf(stamp, row, next), Version),
      )
      await this.#removed()
    })
  }

  /** Deletes a secret with all its versions, if there is one. Needs `delete`. */
  async delete(call: Call, { Name }: Request<'delete'>): Promise<void> {
    const pass = await this.#gate.enter(call, 'delete', Name)
    await this.#parts.locks.withLock(Name, async () => {
      const row = await this.#cache.row(Name)
      if (!row || row.active === 0) return pass.record('not-found')
      const removed = ascending([...row.removed, ...row.versions])
      const next = { ...row, active: 0, versions: [], removed }
      await pass.change('delete', undefined, (stamp) =>
        this.#store.remove(this.#changeOf(stamp, row, next)),
      )
      await this.#removed()
    })
  }

  /**
   * What the network says of the caller, and what its rules allow on `Name`, or as an operator if `Name`
   * is empty: for each action the first of the rules, from 0, that allows it, and its pattern. Needs no
   * permission.
   */
  whoami(call: Call, { Name }: Request<'whoami'>) {
    const { principal, rules, node } = call.caller
    const asked: readonly Action[] = Name === '' ? operatorActions : secretActions
    const by = asked.flatMap((action) => {
      const grant = this.#gate.grant(call, action, Name)
      return grant ? [{ Action: action, Rule: grant.rule, Pattern: grant.pattern }] : []
    })
    return {
      Hostname: principal.hostname,
      IP: principal.ip,
      ...(node !== undefined && { NodeID: node }),
      ...(principal.user !== undefined && { User: principal.user }),
      ...(principal.tags && { Tags: principal.tags }),
      Rules: rules,
      Allowed: by.map(({ Action }) => Action),
      AllowedBy: by,
    }
  }

  /** Runs `task`, which adds a version with `value`, while it alone changes the secret. Zeroes `value`. */
  async #writing<T>(name: string, value: Uint8Array, task: () => Promise<T>): Promise<T> {
    try {
      return await this.#parts.locks.withLock(name, task)
    } finally {
      value.fill(0)
    }
  }

  /** Adds a version whose value is kept in the backend `home`, or by the store. */
  async #add(
    pass: Pass,
    home: number | undefined,
    before: SecretRow | undefined,
    addition: NewVersion,
  ): Promise<void> {
    const { keyring, externalWrites } = this.#parts
    if (home !== undefined) return externalWrites.add(pass, home, before, addition)
    const next = appended(before, addition)
    const { name, version, verb, value } = addition
    const place = { name, incarnation: next.incarnation, version }
    const sealed = keyring.seal(place, value)
    await pass.change(verb, version, (stamp) => {
      // An entry that was retired in the meantime may get no new versions: it is erased once it has none.
      const current = { version, ...keyring.upToDate(place, sealed) }
      return this.#store.append(this.#changeOf(stamp, before, next), current)
    })
  }

  /** The latest version of `secret`; undefined where that was removed, or there is none. */
  async #latest(secret: CachedSecret | undefined): Promise<OpenableVersion | undefined> {
    const latest = secret?.row.versions.at(-1)
    if (!secret || latest === undefined || latest !== secret.row.highest) return undefined
    const found = secret.versions.get(latest)
    return found ?? (await this.#cache.read(secret.row.name, latest))?.versions.get(latest)
  }

  /** The highest number that a name was given, or may have been given before the store was restored. */
  #highest(before: SecretRow | undefined): number {
    return before?.highest ?? this.#store.identity.restored?.floor ?? 0
  }

  /** The backend that keeps a new version: that of the active one, or else that of new secrets. */
  async #homeOf(name: string, secret: CachedSecret | undefined): Promise<number | undefined> {
    if (secret && secret.row.active > 0) return secret.versions.get(secret.row.active)?.backend
    return (await this.#parts.registry.homeFor(name))?.id
  }

  /** The name of a backend; undefined is the store itself as an id, and a damaged backend as an answer. */
  async #nameOf(backend: number | undefined): Promise<string | undefined> {
    if (backend === undefined) return STORE_BACKEND
    const backends = await this.#parts.registry.all().catch(() => [])
    return backends.find(({ id }) => id === backend)?.name
  }

  /** Values were removed here: where there are backends, they may still have them. */
  async #removed(): Promise<void> {
    const { registry, left } = this.#parts
    const backends = await registry.all().catch(() => undefined)
    if (backends?.length !== 0) left()
  }

  #changeOf(stamp: ChangeStamp, before: SecretRow | undefined, next: SecretState): Change {
    return changeOf(this.#parts.keyring, stamp, before, next)
  }

  /** The version that was active before. Rejects with `not_found` where there is none, or no more. */
  async #before(pass: Pass, row: SecretRow): Promise<number> {
    const { before, unsure } = await this.#historyOf(row)
    const of = quote(row.name)
    const refuse = async (why: string): Promise<never> => {
      await pass.record('not-found', before)
      throw new SottoError('not_found', why, {
        callerHint: 'Name a version: `sotto history` shows them.',
      })
    }
    if (unsure.length > 0) {
      return refuse(`It is not known which version of ${of} was active before`)
    }
    if (before === undefined) return refuse(`No other version of ${of} was ever active`)
    if (row.versions.includes(before)) return before
    return refuse(`Version ${before} of ${of}, which was active before, is deleted`)
  }

  async #historyOf(row: SecretRow): Promise<SecretHistory> {
    const changes = await this.#store.history(row.name)
    // Of backends that are gone too: ids are never given again.
    const { nextId } = await this.#store.backends()
    const homes = Array.from({ length: nextId - 1 }, (_, at) => at + 1)
    return turns.finish(historyOf(row, changes, homes))
  }

  /** The secret with `wanted`. Where there is no such secret, that is recorded and rejects with `not_found`. */
  async #existing(pass: Pass, name: string, wanted: number): Promise<CachedSecret> {
    const secret = await this.#cache.read(name, wanted)
    if (secret && secret.row.active > 0) return secret
    return missing(pass, name, wanted)
  }

  /** The same without values, where `version` must exist: a secret whose active one is damaged can be fixed. */
  async #rowWith(pass: Pass, name: string, version?: number): Promise<SecretRow> {
    const row = await this.#cache.row(name)
    const isThere = row && row.active > 0
    if (isThere && (version === undefined || row.versions.includes(version))) return row
    return missing(pass, name, version ?? 0)
  }
}

function infoOf(row: SecretState): SecretInfo {
  return { Name: row.name, Versions: row.versions, ActiveVersion: row.active }
}

async function demandLatest(
  pass: Pass,
  name: string,
  before: SecretRow | undefined,
  expected: number | undefined,
): Promise<void> {
  const latest = before?.versions.at(-1) ?? 0
  if (expected === undefined || expected === latest) return
  await pass.record('refused')
  const found = latest === 0 ? 'there is none' : `its latest version is ${latest}`
  throw new SottoError('conflict', `Cannot put ${quote(name)}: ${found}, and not ${expected}`)
}

async function demandActive(
  pass: Pass,
  { name, active }: SecretRow,
  expected: number | undefined,
): Promise<void> {
  if (expected === undefined || expected === active) return
  await pass.record('refused')
  const why = `version ${active} is active, and not ${expected}`
  throw new SottoError('conflict', `Cannot activate another version of ${quote(name)}: ${why}`)
}

function taken(name: string, version: number, why: string, extra?: ErrorExtra): SottoError {
  const message = `Cannot create version ${version} of ${quote(name)}: ${why}`
  return new SottoError('version_taken', message, extra)
}

async function missing(pass: Pass, name: string, version: number): Promise<never> {
  await pass.record('not-found', version || undefined)
  const what = version > 0 ? `version ${version} of ${quote(name)}` : quote(name)
  throw new SottoError('not_found', `There is no ${what}`)
}
