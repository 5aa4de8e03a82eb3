/** The backends as operators see and change them: named places where secrets can be kept. */
import { isDeepStrictEqual } from 'node:util'
import {
  type BackendSpec,
  credentialsOf,
  masked,
  type OpenBaoConfig,
  STORE_BACKEND,
} from '../../client/api/backends.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Store } from '../store/contract.ts'
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
type Named = OperationRequest<'backend-describe' | 'backend-test'>
type Applied = OperationResponse<'backend-apply'>

/** The backends of a server, as callers with rules see them. */
export class Backends {
  readonly #parts: BackendsParts
  /** Changes run one after another. */
  readonly #locks = new Locks()

  constructor(parts: BackendsParts) {
    this.#parts = parts
  }

  /** Every backend, the store itself first. Needs `backends:view`. */
  async list(call: Call): Promise<BackendInfo[]> {
    const pass = await this.#parts.gate.operate(call, 'backends:view', 'backend-list')
    const backends = await this.#all()
    await pass.record('ok')
    return backends
  }

  /** One backend. Needs `backends:view`. Rejects with `not_found`. */
  async describe(call: Call, { Name }: Named): Promise<BackendInfo> {
    const pass = await this.#parts.gate.operate(call, 'backends:view', 'backend-describe')
    const found = (await this.#all()).find((each) => each.Name === Name)
    await pass.record(found ? 'ok' : 'not-found')
    if (found) return found
    throw missingBackend(Name)
  }

  /**
   * Sets up a backend. Needs `backends:create`, and `get` on each secret that it names to log in with or to
   * mirror.
   * Rejects with `backend_exists`, with `backend_not_allowed` for an address that the server's settings do
   * not allow, and with `not_found` for a secret that is not there.
   */
  async create(call: Call, spec: BackendSpec): Promise<BackendInfo> {
    const pass = await this.#parts.gate.operate(call, 'backends:create', 'backend-create')
    return this.#alone(pass, () => this.#create(call, pass, spec))
  }

  /**
   * Makes a backend as `spec` says. Needs `backends:edit`; where there is none yet, `backends:create` too.
   * Otherwise as `create`. Rejects with `backend_in_use` when secrets are kept there and would no longer
   * be found.
   */
  async apply(call: Call, spec: BackendSpec): Promise<Applied> {
    const { gate, registry } = this.#parts
    const pass = await gate.operate(call, 'backends:edit', 'backend-apply')
    return this.#alone(pass, async () => {
      const { backends } = await registry.read()
      if (spec.Name === STORE_BACKEND) return this.#applyToStore(pass, spec, backends)
      const before = backends.find(({ name }) => name === spec.Name)
      if (!before) {
        const creating = await gate.operate(call, 'backends:create', 'backend-apply')
        return { Result: 'created', Backend: await this.#create(call, creating, spec) }
      }
      const config = configOf(spec)
      await this.#demandAllowed(call, config)
      refuseLosing(before, config)
      const { id, createdAt } = before
      const after = { ...this.#settingsOf(spec, config, id), createdAt }
      if (isDeepStrictEqual(after, settingsIn(before))) return this.#unchanged(pass, spec.Name)
      await this.#save(pass, 'edit', after, backends)
      return { Result: 'changed', Backend: await this.#described(spec.Name) }
    })
  }

  /**
   * Deletes a backend. Needs `backends:delete`. Rejects with `not_found`, and with `backend_in_use` for
   * the store itself, for the default, and while it keeps secrets, or values that wait to be removed
   * (unless `LeaveValues`).
   */
  async delete(
    call: Call,
    { Name, LeaveValues }: OperationRequest<'backend-delete'>,
  ): Promise<OperationResponse<'backend-delete'>> {
    const { gate, registry, store } = this.#parts
    const pass = await gate.operate(call, 'backends:delete', 'backend-delete')
    return this.#alone(pass, async () => {
      const found = (await registry.read()).backends.find(({ name }) => name === Name)
      if (!found && Name !== STORE_BACKEND) throw missingBackend(Name)
      refuseInUse(found, LeaveValues)
      await pass.changeBackend('delete', Name, (stamp) =>
        registry.changing(() => store.removeBackend(stamp, found.id, found.mac)),
      )
      return {}
    })
  }

  /** Whether a backend is reached and permits what is needed. Needs `backends:view`. */
  async test(call: Call, { Name }: Named): Promise<OperationResponse<'backend-test'>> {
    const { gate, registry, open } = this.#parts
    const pass = await gate.operate(call, 'backends:view', 'backend-test')
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

  /** Runs `change` after all others. A refusal is recorded. */
  #alone<T>(pass: OperatorPass, change: () => Promise<T>): Promise<T> {
    return this.#locks.withLock('the backends', async () => {
      try {
        return await change()
      } catch (error) {
        const { code } = asSottoError(error)
        if (code === 'not_found') await pass.record('not-found')
        else if (refusing.has(code)) await pass.record('refused')
        throw error
      }
    })
  }

  async #create(call: Call, pass: OperatorPass, spec: BackendSpec): Promise<BackendInfo> {
    const { backends, nextId } = await this.#parts.registry.read()
    const taken = spec.Name === STORE_BACKEND || backends.some(({ name }) => name === spec.Name)
    if (taken) {
      throw new SottoError('backend_exists', `There is a backend ${quote(spec.Name)} already`, {
        hint: 'Give another name, or change it with `sotto backend apply`.',
      })
    }
    const config = configOf(spec)
    await this.#demandAllowed(call, config)
    await this.#save(pass, 'create', this.#settingsOf(spec, config, nextId), backends)
    return this.#described(spec.Name)
  }

  async #all(): Promise<BackendInfo[]> {
    const { registry, store } = this.#parts
    const { backends } = await registry.read()
    const own: BackendInfo = {
      Name: STORE_BACKEND,
      Type: 'sotto',
      Default: backends.every(({ isDefault }) => !isDefault),
      Description: 'The encrypted store of this server.',
      Secrets: (await store.homed(null)).length,
      Leftovers: 0,
    }
    return [own, ...backends.map(infoOf)]
  }

  async #described(name: string): Promise<BackendInfo> {
    const found = (await this.#all()).find((each) => each.Name === name)
    if (found) return found
    throw missingBackend(name)
  }

  async #unchanged(pass: OperatorPass, name: string): Promise<Applied> {
    await pass.record('unchanged')
    return { Result: 'unchanged', Backend: await this.#described(name) }
  }

  /** Of the store itself, only whether it is the default can be set. */
  async #applyToStore(
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
    if (!spec.Default || !other) return this.#unchanged(pass, spec.Name)
    await this.#save(pass, 'edit', { ...settingsIn(other), isDefault: false }, backends)
    return { Result: 'changed', Backend: await this.#described(spec.Name) }
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
    const saved = { backend: registry.sealed(settings), expected: before?.mac ?? null }
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

  /** A caller may not send the server to just any address, nor have it use a secret that the caller may not read. */
  async #demandAllowed(call: Call, config: OpenBaoConfig): Promise<void> {
    const { open, gate, cache } = this.#parts
    open.demandAllowed(config.url)
    for (const pattern of config.mirror?.secrets ?? []) await gate.demandEach(call, 'get', pattern)
    for (const { name } of credentialsOf(config)) {
      await gate.enter(call, 'get', name)
      const found = await cache.read(name, 0)
      const version = found?.versions.get(found.row.active)
      if (!version) {
        throw new SottoError('not_found', `There is no secret ${quote(name)} to log in with`, {
          hint: 'Put the credential into a secret first.',
        })
      }
      if (version.backend !== undefined) {
        const reason = `The secret ${quote(name)} cannot be used to log in: it is kept in a backend itself`
        const hint = `Move it first: sotto migrate secrets --to ${STORE_BACKEND}, with --from and --names.`
        throw new SottoError('bad_request', reason, { hint })
      }
    }
  }

  #settingsOf(spec: BackendSpec, config: OpenBaoConfig, id: number): BackendSettings {
    const { Name: name, Description: description, Default: isDefault } = spec
    const createdAt = this.#parts.clock().toISOString()
    return { id, name, type: 'openbao', description, isDefault, config, createdAt }
  }
}

/** Errors that say that a change is not permitted as things are. */
const refusing: ReadonlySet<string> = new Set([
  'backend_exists',
  'backend_in_use',
  'backend_not_allowed',
])

function settingsIn(record: BackendRecord): BackendSettings {
  const { id, name, type, description, isDefault, config, createdAt } = record
  return { id, name, type, description, isDefault, config, createdAt }
}

function infoOf(record: BackendRecord): BackendInfo {
  const { name, type, description, isDefault, config, createdAt, secrets, orphans } = record
  return {
    Name: name,
    Type: type,
    Default: isDefault,
    Description: description,
    CreatedAt: createdAt,
    Config: masked(config),
    Secrets: secrets,
    Leftovers: orphans,
  }
}
