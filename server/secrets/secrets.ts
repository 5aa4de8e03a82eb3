/** The service: a method for each verb of the API, each through the gate. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Action, Rule, SecretInfo } from '../../client/api/types.ts'
import { MAX_VERSION, operatorActions, secretActions } from '../../client/api/types.ts'
import type { Request } from '../../client/api/wire.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Change, SecretRow, SecretState, Store } from '../store/contract.ts'
import type { CachedSecret, SecretCache } from '../catalog/cache.ts'
import { type ExternalWrites, takenThere } from './external-writes.ts'
import type { Call, Gate, Pass } from '../gate/gate.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import {
  type ChangeStamp,
  type Addition,
  appended,
  ascending,
  changeOf,
} from '../catalog/states.ts'
import type { Locks } from '../catalog/locks.ts'

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
  /** Called when values were removed here that a backend still has. */
  readonly left: () => void
}

/** What `whoami` tells a caller about itself. */
export interface Self {
  readonly Hostname: string
  readonly IP: string
  /** The StableID of the node. */
  readonly NodeID?: string
  readonly User?: string
  readonly Tags?: readonly string[]
  readonly Rules: readonly Rule[]
  /** The actions that the rules allow on the name that was asked about; without one, an operator's. */
  readonly Allowed: readonly Action[]
  /** For each of these actions the first of the rules, from 0, that allows it, and its pattern. */
  readonly AllowedBy: readonly AllowedBy[]
}

/** Which rule allows an action. */
interface AllowedBy {
  readonly Action: Action
  readonly Rule: number
  readonly Pattern: string
}

/** A value on its way out. Whoever takes it zeroes it after use. */
export interface Revealed {
  readonly Value: Buffer
  readonly Version: number
}

/** Secrets, as callers with rules see them. */
export class Secrets {
  readonly #store: Store
  readonly #keyring: Keyring
  readonly #cache: SecretCache
  readonly #gate: Gate
  readonly #registry: BackendRegistry
  readonly #externalWrites: ExternalWrites
  readonly #locks: Locks
  readonly #left: () => void

  constructor({
    store,
    keyring,
    cache,
    gate,
    registry,
    externalWrites,
    locks,
    left,
  }: SecretsParts) {
    this.#store = store
    this.#keyring = keyring
    this.#cache = cache
    this.#gate = gate
    this.#registry = registry
    this.#externalWrites = externalWrites
    this.#locks = locks
    this.#left = left
  }

  /** The secrets that the caller has `info` on, by name in byte order. Needs no permission itself. */
  async list(call: Call): Promise<SecretInfo[]> {
    // Reading all names is work that a caller without rights cannot ask for.
    const rows = this.#gate.seesAny(call, 'info') ? await this.#store.list() : []
    const visible = rows.filter((row) => this.#gate.sees(call, 'info', row.name))
    await this.#gate.listed(call, visible.length)
    return visible.map(infoOf)
  }

  /** Versions of a secret. Needs `info`. Rejects with `not_found`. */
  async info(call: Call, { Name }: Request<'info'>): Promise<SecretInfo> {
    const pass = await this.#gate.enter(call, 'info', Name)
    const secret = await this.#existing(pass, Name, 0)
    await pass.tell('ok')
    return infoOf(secret.row)
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
    if (conditional && request.Version === active) return undefined
    const sealed = secret.versions.get(wanted || active)
    if (!sealed) {
      await pass.tell('not-found', wanted)
      throw missing(request.Name, wanted)
    }
    return { Value: await pass.reveal(secret.row, sealed), Version: sealed.version }
  }

  /**
   * Adds a version and resolves with its number; the first of a secret becomes active. The bytes of
   * the latest version again add nothing and give its number. Needs `put`. Rejects with
   * `versions_exhausted`.
   */
  async put(call: Call, { Name, Value }: Request<'put'>): Promise<number> {
    const pass = await this.#gate.enter(call, 'put', Name)
    return this.#locks.take(Name, async () => {
      const found = await this.#cache.read(Name, 0)
      const before = found?.row
      const latest = before?.versions.at(-1)
      if (before && latest !== undefined && latest === before.highest) {
        const sealed = (await this.#cache.read(Name, latest))?.versions.get(latest)
        if (sealed && (await pass.equals(before, sealed, Value))) return latest
      }
      const home = await this.#homeOf(Name, before)
      const next = this.#highest(before) + 1
      const version =
        home === undefined || next > MAX_VERSION
          ? next
          : await this.#externalWrites.vacant(home, before, Name, next)
      if (version > MAX_VERSION) {
        await pass.tell('refused')
        throw new SottoError(
          'versions_exhausted',
          `Cannot put ${quote(Name)}: ${MAX_VERSION} is taken`,
        )
      }
      const active = before && before.active > 0 ? before.active : version
      const addition = { name: Name, version, active }
      await this.#add(pass, 'put', before, { home, addition, value: Value })
      return version
    })
  }

  /**
   * Adds a version under a number of the caller's choice and activates it. Needs `create-version`.
   * Rejects with `version_taken` for a number that has, or once had, a value.
   */
  async createVersion(call: Call, request: Request<'create-version'>): Promise<void> {
    const { Name, Version: version, Value } = request
    const pass = await this.#gate.enter(call, 'create-version', Name)
    await this.#locks.take(Name, async () => {
      const before = await this.#cache.row(Name)
      const given = before?.versions.includes(version) || before?.removed.includes(version)
      // A restored store does not know what was given in the time that it lost.
      const unsure = this.#store.identity.restored && version <= this.#highest(before)
      if (given || unsure) {
        await pass.tell('refused', version)
        throw new SottoError(
          'version_taken',
          `Cannot create version ${version} of ${quote(Name)}: the number ${given ? 'was' : 'may have been'} given before`,
        )
      }
      const home = await this.#homeOf(Name, before)
      if (home !== undefined) {
        const vacant = await this.#externalWrites.vacant(home, before, Name, version)
        if (vacant !== version) {
          await pass.tell('refused', version)
          throw takenThere(Name, version)
        }
      }
      const addition = { name: Name, version, active: version }
      await this.#add(pass, 'create-version', before, { home, addition, value: Value })
    })
  }

  /** Makes an existing version active. Needs `activate`. Rejects with `not_found`. */
  async activate(call: Call, { Name, Version }: Request<'activate'>): Promise<void> {
    const pass = await this.#gate.enter(call, 'activate', Name)
    await this.#locks.take(Name, async () => {
      const row = await this.#existingRow(pass, Name, Version)
      if (!row.versions.includes(Version)) {
        await pass.tell('not-found', Version)
        throw missing(Name, Version)
      }
      if (row.active === Version) return pass.tell('unchanged', Version)
      const next = { ...row, active: Version }
      await pass.change('activate', Version, (stamp) =>
        this.#store.activate(this.#changeOf(stamp, row, next)),
      )
    })
  }

  /**
   * Deletes a version that is not active. Needs `delete`. Rejects with `not_found`, and with
   * `version_active`.
   */
  async deleteVersion(call: Call, { Name, Version }: Request<'delete-version'>): Promise<void> {
    const pass = await this.#gate.enter(call, 'delete', Name)
    await this.#locks.take(Name, async () => {
      const row = await this.#existingRow(pass, Name, Version)
      if (!row.versions.includes(Version)) {
        await pass.tell('not-found', Version)
        throw missing(Name, Version)
      }
      if (row.active === Version) {
        await pass.tell('refused', Version)
        throw new SottoError(
          'version_active',
          `Cannot delete version ${Version} of ${quote(Name)}: it is the active one`,
        )
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
    await this.#locks.take(Name, async () => {
      const row = await this.#cache.row(Name)
      if (!row || row.active === 0) return pass.tell('not-found')
      const removed = ascending([...row.removed, ...row.versions])
      const next = { ...row, active: 0, versions: [], removed }
      await pass.change('delete', undefined, (stamp) =>
        this.#store.remove(this.#changeOf(stamp, row, next)),
      )
      await this.#removed()
    })
  }

  /**
   * What the network says of the caller, and what its rules allow on `Name`, or as an operator where
   * that is empty. Needs no permission.
   */
  whoami(call: Call, { Name }: Request<'whoami'>): Self {
    const { principal, rules, node } = call.caller
    const asked: readonly Action[] = Name === '' ? operatorActions : secretActions
    const by = asked.flatMap((action): AllowedBy[] => {
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

  async #add(
    pass: Pass,
    verb: string,
    before: SecretRow | undefined,
    { home, addition, value }: NewVersion,
  ): Promise<void> {
    try {
      await (home === undefined
        ? this.#append(pass, verb, before, addition, value)
        : this.#externalWrites.add(pass, home, before, { ...addition, verb, value }))
    } finally {
      value.fill(0)
    }
  }

  async #append(
    pass: Pass,
    verb: string,
    before: SecretRow | undefined,
    addition: Addition,
    value: Uint8Array,
  ): Promise<void> {
    const next = appended(before, addition)
    const { name, version } = addition
    const place = { name, incarnation: next.incarnation, version }
    const sealed = this.#keyring.seal(place, value)
    value.fill(0)
    await pass.change(verb, version, (stamp) => {
      // No entry that was retired meanwhile may get new versions: it is erased once it has none.
      const current = { version, ...this.#keyring.upToDate(place, sealed) }
      return this.#store.append(this.#changeOf(stamp, before, next), current)
    })
  }

  /** The highest number that a name was ever given, or may have been before the store was restored. */
  #highest(before: SecretRow | undefined): number {
    return before?.highest ?? this.#store.identity.restored?.floor ?? 0
  }

  /** The backend that keeps a new version: that of the others, or else that of new secrets. */
  async #homeOf(name: string, before: SecretRow | undefined): Promise<number | undefined> {
    if (!before || before.active === 0) return (await this.#registry.homeFor(name))?.id
    return (await this.#cache.read(name, before.active))?.versions.get(before.active)?.backend
  }

  /** Values were removed here: where there are backends, they may still have them. */
  async #removed(): Promise<void> {
    const backends = await this.#registry.all().catch(() => undefined)
    if (backends?.length !== 0) this.#left()
  }

  #changeOf(stamp: ChangeStamp, before: SecretRow | undefined, next: SecretState): Change {
    return changeOf(this.#keyring, stamp, before, next)
  }

  /** The secret, or the record and the error that it, or the version asked for, does not exist. */
  async #existing(pass: Pass, name: string, wanted: number): Promise<CachedSecret> {
    const secret = await this.#cache.read(name, wanted)
    if (secret && secret.row.active > 0) return secret
    return this.#missing(pass, name, wanted)
  }

  /** The same for what needs no value: a secret can be mended whose active version does not open. */
  async #existingRow(pass: Pass, name: string, asked: number): Promise<SecretRow> {
    const row = await this.#cache.row(name)
    if (row && row.active > 0) return row
    return this.#missing(pass, name, asked)
  }

  async #missing(pass: Pass, name: string, asked: number): Promise<never> {
    await pass.tell('not-found', asked || undefined)
    throw missing(name, asked)
  }
}

/** A version to be added, and where its value is kept. */
interface NewVersion {
  readonly home: number | undefined
  readonly addition: Addition
  readonly value: Uint8Array
}

function infoOf(row: SecretState): SecretInfo {
  return { Name: row.name, Versions: row.versions, ActiveVersion: row.active }
}

function missing(name: string, version: number): SottoError {
  const what = version > 0 ? `version ${version} of ${quote(name)}` : quote(name)
  return new SottoError('not_found', `There is no ${what}`)
}
