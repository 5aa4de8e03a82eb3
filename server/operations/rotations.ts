/** Rotations as operators see and change them: what makes new versions of secrets, and how far each is. */
import { isDeepStrictEqual } from 'node:util'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { RotationSpec } from '../../client/api/rotations.ts'
import { Locks } from '../catalog/locks.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Call, Gate, OperatorPass } from '../gate/gate.ts'
import { canAbort } from '../rotation/machine.ts'
import type { KindOf } from '../rotation/kinds/contract.ts'
import {
  missingRotation,
  type RotationRecord,
  type RotationRegistry,
} from '../rotation/registry.ts'
import type { Dates } from '../rotation/dates.ts'
import type { Runs } from '../rotation/runs.ts'
import type { Schedule } from '../rotation/schedule.ts'
import { loginsOf, type Targets } from '../rotation/targets.ts'
import { isUnderWay, newState } from '../rotation/state.ts'
import { changesOther, rightsNeeded } from './rotation-rights.ts'
import { datesOf, plannedSteps, rotationShown } from './rotation-shown.ts'

/** What the operations work with. */
export interface RotationsParts {
  readonly gate: Gate
  readonly cache: Pick<SecretCache, 'row'>
  readonly rotations: RotationRegistry
  readonly runs: Runs
  readonly kindOf: KindOf
  readonly targets: Targets
  readonly schedule: () => Promise<Schedule>
  readonly dates: Dates
  readonly clock: () => Date
  /** Whether the job runs at all: not on a store that no operator adopted. */
  readonly adopted: () => boolean
  /** Called when there is something for the job to do. */
  readonly begun: () => void
}

type Shown = OperationResponse<'rotation-describe'>
type Named = OperationRequest<'rotation-describe'>
type Applied = OperationResponse<'rotation-apply'>

/** How often an operation is tried that meets a step of the job. */
const TRIES = 5

/** The rotations of a server, as callers with rules see them. */
export class Rotations {
  readonly #parts: RotationsParts
  /** Changes of how rotations are set up run one after another. */
  readonly #locks = new Locks()

  constructor(parts: RotationsParts) {
    this.#parts = parts
  }

  /** Every rotation. Needs `rotation:view`; and `info` on the secret of each, or only how far it is is shown. */
  async list(call: Call): Promise<Shown[]> {
    const { gate, rotations } = this.#parts
    const pass = await gate.operate(call, 'rotation:view', 'rotation-list')
    const found = (await rotations.read()).rotations
    await pass.record('ok')
    return Promise.all(found.map((record) => this.#shown(call, record)))
  }

  /** One rotation, with how it is set up. Otherwise as `list`. Rejects with `not_found`. */
  async describe(call: Call, { Name }: Named): Promise<Shown> {
    const { gate, rotations } = this.#parts
    const pass = await gate.operate(call, 'rotation:view', 'rotation-describe', { Name })
    const record = await rotations.named(Name)
    await pass.record('ok')
    const isSeen = gate.sees(call, 'info', record.config.secret)
    return { ...(await this.#shown(call, record)), ...(isSeen && { Config: { ...record.config } }) }
  }

  /** How far rotations are, or one, and what holds them up. Otherwise as `list`. Rejects with `not_found`. */
  async status(call: Call, { Name }: OperationRequest<'rotation-status'>): Promise<Shown[]> {
    const { gate, rotations } = this.#parts
    const pass = await gate.operate(call, 'rotation:view', 'rotation-status', { Name })
    const all = (await rotations.read()).rotations
    const found = all.filter(({ name }) => Name === undefined || name === Name)
    if (Name !== undefined && found.length === 0) throw missingRotation(Name)
    await pass.record('ok')
    return Promise.all(found.map((record) => this.#shown(call, record)))
  }

  /**
   * Sets up a rotation. Needs `rotation:edit`, and what `rightsNeeded` gives. Rejects with `rotation_exists` where one
   * has that name or that secret, with `not_found` where there is no such secret, and with `bad_request`.
   */
  async create(call: Call, spec: RotationSpec): Promise<Shown> {
    const { Name } = spec
    const pass = await this.#parts.gate.operate(call, 'rotation:edit', 'rotation-create', { Name })
    return this.#alone(() => this.#create(call, pass, spec))
  }

  /**
   * Makes a rotation as `spec` says. Needs what `create` needs, on the secret that it has until now, too. Rejects as
   * that does, and with `rotation_state` where a run is under way and the secret or the kind would be another.
   */
  async apply(call: Call, spec: RotationSpec): Promise<Applied> {
    const { gate, rotations, clock, schedule, begun } = this.#parts
    const { Name, Config } = spec
    const pass = await gate.operate(call, 'rotation:edit', 'rotation-apply', { Name })
    return this.#alone(async () => {
      const all = (await rotations.read()).rotations
      const before = all.find(({ name }) => name === Name)
      if (!before) return { Result: 'created', Rotation: await this.#create(call, pass, spec) }
      await this.#demandAllowed(call, before, spec)
      refuseSecond(all, before.id, spec)
      if (isDeepStrictEqual(before.config, Config)) {
        await pass.record('unchanged')
        return { Result: 'unchanged', Rotation: await this.#described(call, Name) }
      }
      const { config, state } = before
      if (changesOther(config, Config) && isUnderWay(state))
        throw underWay(`change what rotation ${quote(Name)} rotates`)
      const { due: _due, ...rest } = state
      const due = (await schedule()).first(Config, clock())?.toISOString()
      const next = { ...rest, ...(due !== undefined && { due }) }
      await rotations.set(pass, before, { ...before, config: Config, state: next })
      begun()
      return { Result: 'changed', Rotation: await this.#described(call, Name) }
    })
  }

  /** Deletes a rotation. Needs `rotation:edit`. Rejects with `not_found`, and with `rotation_state` while a run is under way. */
  async delete(call: Call, { Name }: Named): Promise<OperationResponse<'rotation-delete'>> {
    const { gate, rotations } = this.#parts
    const pass = await gate.operate(call, 'rotation:edit', 'rotation-delete', { Name })
    return this.#alone(async () => {
      const found = await rotations.named(Name)
      if (isUnderWay(found.state)) throw underWay(`delete rotation ${quote(Name)}`)
      await rotations.remove(pass, found)
      return {}
    })
  }

  /** What a run would do now. Needs `rotation:view`. Rejects with `not_found`. */
  async plan(call: Call, { Name }: Named): Promise<OperationResponse<'rotation-plan'>> {
    const { gate, rotations, cache, kindOf, schedule, dates, clock, adopted } = this.#parts
    const pass = await gate.operate(call, 'rotation:view', 'rotation-plan', { Name })
    const record = await rotations.named(Name)
    const { config, state } = record
    const row = await cache.row(config.secret)
    const Problems = [...(await kindOf(config).plan())]
    const now = clock()
    if (!row || row.active === 0) Problems.push('the secret does not exist')
    if (!adopted()) Problems.push('no operator adopted the store: see `sotto branch`')
    if (state.step === 'held') Problems.push('it is held: see `sotto rotation status`')
    else if (isUnderWay(state)) Problems.push(`run ${state.run} is under way`)
    await pass.record('ok')
    return {
      Steps: plannedSteps(record),
      Problems,
      Dates: datesOf(await schedule(), record, await dates.dueOf(record, now), now),
    }
  }

  /** Begins a run. Needs `rotation:run`. Rejects with `not_found`, `rotation_state` and `conflict`. */
  async run(call: Call, { Name }: Named): Promise<Shown> {
    return this.#running(call, 'rotation-run', Name, async (record) => {
      const { runs, cache, schedule, clock } = this.#parts
      const row = await cache.row(record.config.secret)
      if (!row || row.active === 0) {
        throw new SottoError(
          'not_found',
          `Cannot run rotation ${quote(Name)}: its secret does not exist`,
        )
      }
      const due = (await schedule()).after(record.config, clock())?.toISOString()
      await runs.begin(call, record, due)
    })
  }

  /**
   * Takes a version that a person made. Needs `rotation:run`, and `activate` on the secret. Rejects with `not_found`,
   * `rotation_state` and `conflict`.
   */
  async done(call: Call, { Name, Version }: OperationRequest<'rotation-done'>): Promise<Shown> {
    return this.#running(call, 'rotation-done', Name, async (record) => {
      const { gate, runs, kindOf, schedule, clock } = this.#parts
      const { config, state } = record
      await gate.enter(call, 'activate', config.secret, 'rotation-done')
      if (!kindOf(config).byHand) {
        throw new SottoError(
          'rotation_state',
          `Rotation ${quote(Name)} makes its versions itself`,
          {
            hint: `Begin a run: sotto rotation run ${Name}`,
          },
        )
      }
      const due = (await schedule()).after(config, clock())?.toISOString()
      const begun = isUnderWay(state) || state.held ? record : await runs.begin(call, record, due)
      await runs.named(call, begun, Version)
    })
  }

  /** Ends a run. Needs `rotation:run`. Rejects with `not_found`, `rotation_state` and `conflict`. */
  async abort(call: Call, { Name }: Named): Promise<Shown> {
    return this.#running(call, 'rotation-abort', Name, async (record) => {
      const { runs } = this.#parts
      if (!canAbort(record.state)) throw noRun(`abort rotation ${quote(Name)}`, record)
      runs.hurry(record)
      await runs.note(call, record, { is: 'abort' })
    })
  }

  /** Retires the old version of a run that converges. Needs `rotation:run`. Rejects as `abort`. */
  async retire(call: Call, { Name }: Named): Promise<Shown> {
    return this.#running(call, 'rotation-retire', Name, async (record) => {
      if (record.state.step !== 'converging')
        throw noRun(`retire by rotation ${quote(Name)}`, record)
      await this.#parts.runs.note(call, record, { is: 'reached', step: 'retiring' })
    })
  }

  /** Has a held run continue from what there is, or end. Needs `rotation:run`. Rejects as `abort`. */
  async reconcile(call: Call, { Name }: Named): Promise<Shown> {
    return this.#running(call, 'rotation-reconcile', Name, async (record) => {
      if (record.state.step !== 'held') throw noRun(`reconcile rotation ${quote(Name)}`, record)
      await this.#parts.runs.reconcile(call, record)
    })
  }

  async #running(
    call: Call,
    operation:
      | 'rotation-run'
      | 'rotation-done'
      | 'rotation-abort'
      | 'rotation-retire'
      | 'rotation-reconcile',
    Name: string,
    act: (record: RotationRecord) => Promise<void>,
  ): Promise<Shown> {
    const { gate, rotations, begun } = this.#parts
    await gate.operate(call, 'rotation:run', operation, { Name })
    await this.#inTurn(async () => act(await rotations.named(Name)))
    begun()
    return this.#described(call, Name)
  }

  /** Does `act` again where the job was faster: it looks at what there is then. */
  async #inTurn(act: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await act()
      } catch (error) {
        if (asSottoError(error).code !== 'conflict' || tries === TRIES) throw error
      }
    }
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    return this.#locks.withLock('the rotations', change)
  }

  async #create(call: Call, pass: OperatorPass, spec: RotationSpec): Promise<Shown> {
    const { rotations, clock, schedule, begun } = this.#parts
    const { Name: name, Config: config } = spec
    const all = await rotations.read()
    const taken = all.rotations.some((each) => each.name === name)
    await this.#demandAllowed(call, undefined, spec)
    if (taken) {
      throw new SottoError('rotation_exists', `There is a rotation ${quote(name)} already`, {
        hint: 'Give another name, or change it with `sotto rotation apply`.',
      })
    }
    refuseSecond(all.rotations, undefined, spec)
    const now = clock()
    const due = (await schedule()).first(config, now)?.toISOString()
    const state = newState(rotations.branch, now.toISOString(), due)
    const settings = { id: all.nextId, name, config, state, createdAt: now.toISOString() }
    await rotations.set(pass, undefined, settings)
    begun()
    return this.#described(call, name)
  }

  /** Who has the server change a secret must be allowed to do the same. */
  async #demandAllowed(
    call: Call,
    before: RotationRecord | undefined,
    { Config }: RotationSpec,
  ): Promise<void> {
    const { gate, cache, targets } = this.#parts
    for (const [action, name] of rightsNeeded(before?.config, Config)) {
      await gate.enter(call, action, name)
    }
    const problem = targets.problemOf(Config)
    if (problem) throw problem
    const row = await cache.row(Config.secret)
    if (row && row.active > 0) return
    throw new SottoError('not_found', `There is no secret ${quote(Config.secret)} to rotate`, {
      hint: 'Put its first value: `sotto put`.',
    })
  }

  async #described(call: Call, name: string): Promise<Shown> {
    return this.#shown(call, await this.#parts.rotations.named(name))
  }

  #shown(call: Call, record: RotationRecord): Promise<Shown> {
    return rotationShown(this.#parts, call, record)
  }
}

/** Two that rotate one secret, or one login, would each make a candidate. */
function refuseSecond(
  all: readonly RotationRecord[],
  own: number | undefined,
  { Config }: RotationSpec,
): void {
  const others = all.filter(({ id }) => id !== own)
  const same = others.find(({ config }) => config.secret === Config.secret)
  const logins = new Set(loginsOf(Config))
  const other = same ?? others.find(({ config }) => loginsOf(config).some((of) => logins.has(of)))
  if (!other) return
  const what = same ? quote(Config.secret) : 'one of those logins'
  const message = `Rotation ${quote(other.name)} rotates ${what} already`
  throw new SottoError('rotation_exists', message, { hint: 'Change that one, or delete it first.' })
}

function underWay(act: string): SottoError {
  return new SottoError('rotation_state', `Cannot ${act}: a run is under way`, {
    hint: 'Wait for its end, or end it: `sotto rotation abort`.',
  })
}

function noRun(act: string, { state }: RotationRecord): SottoError {
  const found = state.held ? `it is held (${state.held.reason})` : `it is ${state.step}`
  return new SottoError('rotation_state', `Cannot ${act}: ${found}`, {
    hint: 'See `sotto rotation status`.',
  })
}
