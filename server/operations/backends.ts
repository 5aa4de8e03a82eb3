/** The backends as operators see and change them: named places where secrets can be kept. */
import { isDeepStrictEqual } from 'node:util'
import {
  type BackendSpec,
  credentialsOf,
  masked,
  STORE_BACKEND,
} from '../../client/api/backends.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Store } from '../store/contract.ts'
import { countsSeen } from './backend-counts.ts'
import { loginOf } from './backend-login.ts'
import { patternsNeeded } from './backend-rights.ts'
import { configOf, refuseInUse, refuseLosing } from './backend-refusals.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Call, Gate, OperatorPass } from '../gate/gate.ts'
import type { OpenBackends } from '../backends/opened.ts'
import {
  type BackendRecord,
  type BackendRegistry,
  type BackendSettings,
  missingBackend,
} from '../backends/registry.ts'
import { Locks } from '../catalog/locks.ts'

/** What the service works with. */
export interface BackendsParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly gate: Gate
  readonly registry: BackendRegistry
  readonly open: OpenBackends
  readonly clock: () => Date
}

type BackendInfo = OperationResponse<'backend-describe'>
type Named = OperationRequest<'backend-describe' | 'backend-secrets' | 'backend-test'>
type Applied = OperationResponse<'backend-apply'>

/** The backends of a server, as callers with rules see them. */
export class Backends {
  readonly #parts: BackendsParts
  /** Changes run one after another. */
  readonly #locks = new Locks()

  constructor(parts: BackendsParts) {
    this.#parts = parts
  }

  /**
   * Every backend, the store itself first, with how many there are of the secrets that the caller has `info`
   * on. Needs `backends:view`.
   */
  async list(call: Call): Promise<BackendInfo[]> {
    const pass = await this.#parts.gate.operate(call, 'backends:view', 'backend-list')
    const backends = await this.#all(call)
    await pass.record('ok')
    return backends
  }

  /**
   * One backend, as `list` shows it, and how the server is logged in there. Needs `backends:view`. Rejects with
   * `not_found`.
   */
  async describe(call: Call, { Name }: Named): Promise<BackendInfo> {
    const { gate, registry, open, clock } = this.#parts
    const pass = await gate.operate(call, 'backends:view', 'backend-describe', { Name })
    const found = await this.#described(call, Name)
    const record = await registry.named(Name)
    const Login = record && loginOf(record, open.status(record), { call, gate, now: clock() })
    await pass.record('ok')
    return { ...found, ...(Login && { Login }) }
  }

  /** The secrets that a backend keeps, of those that the caller has `info` on. Needs `backends:view`. Rejects with `not_found`. */
  async secrets(call: Call, { Name }: Named): Promise<OperationResponse<'backend-secrets'>> {
    const { gate, registry, store } = this.#parts
    const pass = await gate.operate(call, 'backends:view', 'backend-secrets', { Name })
    const record = await registry.named(Name)
    // Reading all names is work that a caller without rights cannot ask for.
    const names = gate.seesAny(call, 'info') ? await store.homed(record?.id ?? null) : []
    const Secrets = await gate.visible(call, 'info', names)
    await pass.record('ok')
    return { Secrets }
  }

  /**
   * Sets up a backend. Needs `backends:create`, and `get` on each secret that it names to log in with, and on
   * every name that `patternsNeeded` gives. Rejects with `backend_exists`, with `backend_not_allowed` for what
   * the server's settings do not allow, and with `not_found` for a secret that is not there.
   */
  async create(call: Call, spec: BackendSpec): Promise<BackendInfo> {
    const { Name } = spec
    const pass = await this.#parts.gate.operate(call, 'backends:create', 'backend-create', { Name })
    return this.#alone(() => this.#create(call, pass, spec))
  }

  /**
   * Makes a backend as `spec` says. Needs `backends:edit`; where there is none yet, `backends:create` too.
   * Otherwise as `create`. Rejects with `backend_in_use` when secrets are kept there and would no longer
   * be found.
   */
  async apply(call: Call, spec: BackendSpec): Promise<Applied> {
    const { gate, registry } = this.#parts
    const { Name } = spec
    const pass = await gate.operate(call, 'backends:edit', 'backend-apply', { Name })
    return this.#alone(async () => {
      const { backends } = await registry.read()
      if (Name === STORE_BACKEND) return this.#applyToStore(call, pass, spec, backends)
      const before = backends.find(({ name }) => name === Name)
      if (!before) {
        const creating = await gate.operate(call, 'backends:create', 'backend-apply', { Name })
        return { Result: 'created', Backend: await this.#create(call, creating, spec) }
      }
      const { id, createdAt } = before
      const after = { ...this.#settingsOf(spec, id), createdAt }
      await this.#demandAllowed(call, before, after)
      refuseLosing(before, after.config, gate.seesEach(call, 'info', '*'))
      if (isDeepStrictEqual(after, settingsIn(before))) return this.#unchanged(call, pass, Name)
      await this.#parts.open.places.refuseShared(after, before)
      await this.#save(pass, 'edit', after, backends)
      return { Result: 'changed', Backend: await this.#described(call, Name) }
    })
  }

  /**
   * Deletes a backend. Needs `backends:delete`. Rejects with `not_found`, and with `backend_in_use` for
   * the store itself, for the default, and while it keeps secrets, or (unless `LeaveValues`) values that wait to
   * be removed, or that a move kept there.
   */
  async delete(
    call: Call,
    { Name, LeaveValues }: OperationRequest<'backend-delete'>,
  ): Promise<OperationResponse<'backend-delete'>> {
    const { gate, registry, store } = this.#parts
    const pass = await gate.operate(call, 'backends:delete', 'backend-delete', { Name })
    return this.#alone(async () => {
      const found = (await registry.read()).backends.find(({ name }) => name === Name)
      if (!found && Name !== STORE_BACKEND) throw missingBackend(Name)
      await this.#demandNeeded(call, found, undefined)
      refuseInUse(found, LeaveValues, gate.seesEach(call, 'info', '*'))
      await pass.changeBackend('delete', Name, (stamp) =>
        registry.changing(() => store.removeBackend(stamp, found.id, found.mac)),
      )
      return {}
    })
  }

  /** Whether a backend is reached and permits what is needed. Needs `backends:view`. */
  async test(call: Call, { Name }: Named): Promise<OperationResponse<'backend-test'>> {
    const { gate, registry, open } = this.#parts
    const pass = await gate.operate(call, 'backends:view', 'backend-test', { Name })
    const found = await registry.named(Name)
    await pass.announce()
    if (!found) return { Ok: true, Product: 'Sotto', Notes: [] }
    try {
      const { product, notes } = await open.test(found)
      return { Ok: true, Product: product, Notes: [...notes] }
    } catch (error) {
      const { code, message, hint } = asSottoError(error)
      const failure = { Code: code, Message: message, ...(hint !== undefined && { Hint: hint }) }
      return { Ok: false, Notes: [], Error: failure }
    }
  }

  /** Runs `change` after all others. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    return this.#locks.withLock('the backends', change)
  }

  async #create(call: Call, pass: OperatorPass, spec: BackendSpec): Promise<BackendInfo> {
    const { backends, nextId } = await this.#parts.registry.read()
    const taken = spec.Name === STORE_BACKEND || backends.some(({ name }) => name === spec.Name)
    if (taken) {
      throw new SottoError('backend_exists', `There is a backend ${quote(spec.Name)} already`, {
        hint: 'Give another name, or change it with `sotto backend apply`.',
      })
    }
    const settings = this.#settingsOf(spec, nextId)
    await this.#demandAllowed(call, undefined, settings)
    await this.#parts.open.places.refuseShared(settings)
    await this.#save(pass, 'create', settings, backends)
    return this.#described(call, spec.Name)
  }

  async #all(call: Call): Promise<BackendInfo[]> {
    const { registry, store } = this.#parts
    const { backends } = await registry.read()
    const seen = await countsSeen(this.#parts, call, backends)
    const own: BackendInfo = {
      Name: STORE_BACKEND,
      Type: 'sotto',
      Default: backends.every(({ isDefault }) => !isDefault),
      Description: 'The encrypted store of this server.',
      Secrets: seen ? (seen.get(null)?.secrets ?? 0) : (await store.homed(null)).length,
      Leftovers: 0,
      Copies: seen ? (seen.get(null)?.copies ?? 0) : (await store.copied(null)).length,
    }
    return [own, ...backends.map((each) => infoOf({ ...each, ...seen?.get(each.id) }))]
  }

  async #described(call: Call, name: string): Promise<BackendInfo> {
    const found = (await this.#all(call)).find((each) => each.Name === name)
    if (found) return found
    throw missingBackend(name)
  }

  async #unchanged(call: Call, pass: OperatorPass, name: string): Promise<Applied> {
    await pass.record('unchanged')
    return { Result: 'unchanged', Backend: await this.#described(call, name) }
  }

  /** Of the store itself, only whether it is the default can be set. */
  async #applyToStore(
    call: Call,
    pass: OperatorPass,
    spec: BackendSpec,
    backends: readonly BackendRecord[],
  ): Promise<Applied> {
    if (spec.Type !== 'sotto' || spec.Config) {
      throw new SottoError('bad_request', `The backend ${quote(STORE_BACKEND)} is of type sotto`, {
        hint: 'Give another backend another name.',
      })
    }
    const other = backends.find(({ isDefault }) => isDefault)
    if (!spec.Default && !other) {
      const message = `The backend ${quote(STORE_BACKEND)} is where new secrets are kept`
      const hint = 'Make another backend the default instead.'
      throw new SottoError('backend_in_use', message, { hint })
    }
    if (!spec.Default || !other) return this.#unchanged(call, pass, spec.Name)
    const demoted = { ...settingsIn(other), isDefault: false }
    await this.#demandNeeded(call, other, demoted)
    await this.#save(pass, 'edit', demoted, backends)
    return { Result: 'changed', Backend: await this.#described(call, spec.Name) }
  }

  async #save(
    pass: OperatorPass,
    verb: 'create' | 'edit',
    settings: BackendSettings,
    backends: readonly BackendRecord[],
  ): Promise<void> {
    const { registry, store } = this.#parts
    const before = backends.find(({ id }) => id === settings.id)
    const other = backends.find(({ id, isDefault }) => isDefault && id !== settings.id)
    const saved = {
      backend: registry.sealed(settings),
      expected: before?.mac ?? null,
      // What this takes was decided by that: see `patternsNeeded`.
      unused: before !== undefined && before.secrets + before.orphans + before.copies === 0,
    }
    const demoted =
      settings.isDefault && other
        ? {
            backend: registry.sealed({ ...settingsIn(other), isDefault: false }),
            expected: other.mac,
          }
        : undefined
    await pass.changeBackend(verb, settings.name, (stamp) =>
      registry.changing(() => store.saveBackend(stamp, saved, demoted)),
    )
  }

  /** Rejects with `denied` unless `call` may `get` whatever the change could let out. */
  async #demandNeeded(...[call, before, after]: [Call, ...Parameters<typeof patternsNeeded>]) {
    const { gate } = this.#parts
    const own = ['*', ...(after?.config.mirror?.secrets ?? [])]
    for (const pattern of patternsNeeded(before, after)) {
      // What is mirrored now is for those who may see backends.
      const told = own.includes(pattern) || gate.sees(call, 'backends:view', '')
      await gate.demandEach(call, 'get', pattern, told)
    }
  }

  /** A caller may not send the server to just any address, nor have it use a secret that the caller may not read. */
  async #demandAllowed(
    call: Call,
    before: BackendRecord | undefined,
    after: BackendSettings,
  ): Promise<void> {
    const { open, gate, cache } = this.#parts
    const { config } = after
    await this.#demandNeeded(call, before, after)
    open.demandAllowed(config)
    for (const { name, key } of credentialsOf(config)) {
      await gate.enter(call, 'get', name)
      const found = await cache.read(name, 0)
      const version = found?.versions.get(found.row.active)
      if (!version) {
        throw new SottoError('not_found', `There is no secret ${quote(name)} to log in with`, {
          hint:
            (key === undefined ? await this.#fieldHint(call, name) : undefined) ??
            'Put the credential into a secret first.',
        })
      }
      if (version.backend !== undefined) {
        const reason = `The secret ${quote(name)} cannot be used to log in: it is kept in a backend itself`
        const hint = `Move it first: sotto migrate secrets --to ${STORE_BACKEND}, with --from and --names.`
        throw new SottoError('bad_request', reason, { hint })
      }
    }
  }

  /** What to give instead where `name` is a secret that the caller may get, a slash, and a field of it. */
  async #fieldHint(call: Call, name: string): Promise<string | undefined> {
    const { gate, cache } = this.#parts
    const [, secret = '', key = ''] = /^(.+)\/([^/]+)$/.exec(name) ?? []
    if (secret === '' || !gate.sees(call, 'get', secret)) return undefined
    if (!((await cache.row(secret))?.active ?? 0)) return undefined
    const [of, field] = [quote(secret), quote(key)]
    return `For the field ${field} of the secret ${of} give --token-secret ${of} --token-key ${field}, or {name: ${of}, key: ${field}} in a file.`
  }

  #settingsOf(spec: BackendSpec, id: number): BackendSettings {
    const config = configOf(spec)
    const { Name: name, Description: description, Default: isDefault } = spec
    const createdAt = this.#parts.clock().toISOString()
    return { id, name, type: 'openbao', description, isDefault, config, createdAt }
  }
}

function settingsIn(record: BackendRecord): BackendSettings {
  const { id, name, type, description, isDefault, config, createdAt } = record
  return { id, name, type, description, isDefault, config, createdAt }
}

function infoOf(record: BackendRecord): BackendInfo {
  const { name, type, description, isDefault, config, createdAt } = record
  return {
    Name: name,
    Type: type,
    Default: isDefault,
    Description: description,
    CreatedAt: createdAt,
    Config: masked(config),
    Secrets: record.secrets,
    Leftovers: record.orphans,
    Copies: record.copies,
  }
}
