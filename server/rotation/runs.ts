/**
 * Carries runs on, a step at a time. A step is looked at before it is done, since a crash may have done it already;
 * what is reached is one compare-and-set and one record. No second candidate is made while one is in doubt.
 */
import { asSottoError, type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { Rule } from '../../client/api/types.ts'
import { parseDuration } from '../../client/api/times.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Consumers } from '../consumers/consumers.ts'
import type { Call, Gate, OperatorPass } from '../gate/gate.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { SecretRow, Store } from '../store/contract.ts'
import { mayRetire, type Waits, waitsOf } from './converge.ts'
import type { Kind, KindOf } from './kinds/contract.ts'
import { next, type RotationEvent } from './machine.ts'
import type { RotationRecord, RotationRegistry } from './registry.ts'
import { withValues } from './run-values.ts'
import { obstacle, ownVersions, type SecretView, stepFound, viewOf } from './secret-view.ts'
import type { RotationState } from './state.ts'

/** What the job may do: put, activate and delete what it rotates, and read what it made. */
export const runRules: readonly Rule[] = [
  { action: ['rotation:run', 'get', 'put', 'activate', 'delete'], secret: ['*'] },
]

/** What runs work with. */
export interface RunsParts {
  readonly store: Pick<Store, 'history'>
  readonly cache: Pick<SecretCache, 'row' | 'read'>
  readonly gate: Gate
  readonly secrets: Pick<Secrets, 'put' | 'activate' | 'deleteVersion'>
  readonly consumers: Pick<Consumers, 'rollout'>
  readonly registry: RotationRegistry
  readonly kindOf: KindOf
  readonly clock: () => Date
  readonly timers: Timers
  /** From 0 to 1. */
  readonly random: () => number
}

/** From a failure to the next attempt, twice as long after each further one. */
const RETRY_MS = 10_000
const MAX_RETRY_MS = 3_600_000
/** The same where somebody else was in the way, or the server. */
const SOON_MS = 1000
/** How often waiting is noted in the store. */
const NOTED_MINUTES = 60
/** The least time until a run that waits for others is looked at again, in milliseconds. */
const MIN_PAUSE_MS = 1000
/** Failures of the server itself, which are not the run's. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'conflict',
  'overloaded',
  'shutting_down',
  'store_unavailable',
  'audit_unavailable',
])

/** The runs of rotations. */
export class Runs {
  readonly #parts: RunsParts
  /** When each rotation may be tried again, by the timers. */
  readonly #retryAt = new Map<number, number>()
  /** Since when each waits in its step, by the timers, and the minutes before that. */
  readonly #waiting = new Map<
    number,
    { readonly key: string; readonly since: number; readonly before: number }
  >()

  /** How many sessions of the version before the target had, in which step. */
  readonly #sessions = new Map<number, { readonly key: string; readonly count: number }>()

  constructor(parts: RunsParts) {
    this.#parts = parts
  }

  /** Milliseconds until `record` may be tried again after a failure; 0: now. */
  restOf({ id }: RotationRecord): number {
    return Math.max(0, (this.#retryAt.get(id) ?? 0) - this.#parts.timers.now())
  }

  /**
   * Milliseconds until it is worth while to look at `record` again: its rest after a failure, or as long as it has
   * waited in its step for others, and a second at least, since what holds it up at first is often over at once.
   */
  pauseOf(record: RotationRecord): number {
    const waiting = this.#waiting.get(record.id)
    const waits =
      waiting?.key === stepKey(record) ? this.#parts.timers.now() - waiting.since : Infinity
    return this.restOf(record) || Math.max(MIN_PAUSE_MS, waits)
  }

  /** Has `record` tried again at once. */
  hurry({ id }: RotationRecord): void {
    this.#retryAt.delete(id)
  }

  /** Begins a run for `call`; `due` is when the one after it is. Rejects with `rotation_state` and `conflict`. */
  async begin(
    call: Call,
    record: RotationRecord,
    due: string | undefined,
  ): Promise<RotationRecord> {
    const view = await viewOf(this.#parts, record.config.secret)
    // Where the secret is gone, the first step holds the run for that.
    const from = view?.origin ?? { incarnation: 0, active: 0, latest: 0, revision: 0 }
    return this.note(call, record, { is: 'begun', from, due })
  }

  /**
   * Takes `version` as what a person made in a run that waits for it. Rejects with `not_found` where there is no such
   * version, and as `note`.
   */
  async named(call: Call, record: RotationRecord, version: number): Promise<RotationRecord> {
    const { config, state } = record
    const view = await viewOf(this.#parts, config.secret)
    if (!view?.row.versions.includes(version)) {
      const message = `There is no version ${version} of ${quote(config.secret)}`
      throw new SottoError('not_found', message, { hint: 'Put the value first: `sotto put`.' })
    }
    const { active } = view.row
    // The person may have made it active already.
    const previous = active === version ? (state.from?.active ?? active) : active
    const from = { ...view.origin, active: previous }
    return this.note(call, record, { is: 'named', version, from })
  }

  /**
   * Stores what `event` makes of `record`, for `call`, and resolves with what it is then. Rejects with `rotation_state`
   * and `conflict`.
   */
  async note(call: Call, record: RotationRecord, event: RotationEvent): Promise<RotationRecord> {
    return this.#save(call, record, next(record.state, event, this.#now()), event)
  }

  /** Who holds which version, of a run that converges; sessions as they were when it was last looked at them. */
  async waits(record: RotationRecord): Promise<Waits | undefined> {
    const { config, state, id } = record
    if (state.step !== 'converging' || state.candidate === undefined) return undefined
    const seen = this.#sessions.get(id)
    const sessions = seen?.key === stepKey(record) ? seen.count : 0
    return waitsOf(this.#parts.consumers, config.secret, state.candidate, sessions)
  }

  /**
   * Takes a step of a run, if one can be taken now, and resolves with what the rotation is then; undefined: nothing is
   * to be done for now. Never rejects: a failure is noted, and tried again later.
   */
  async advance(call: Call, record: RotationRecord): Promise<RotationRecord | undefined> {
    try {
      const event = await this.#eventOf(call, record)
      return event && (await this.note(call, record, event))
    } catch (error) {
      await this.#failed(call, record, error)
      return undefined
    }
  }

  /**
   * What a person's leave makes of a held run: where what was found lets it continue, or `aborting`. One that was held
   * while nothing ran is as before.
   */
  async reconcile(call: Call, record: RotationRecord): Promise<RotationRecord> {
    const { state, config } = record
    const { branch } = this.#parts.registry
    this.hurry(record)
    const view = await viewOf(this.#parts, config.secret)
    const step = stepFound(state, view)
    const { from, candidate } = state
    // What was done by hand until now is accepted; without a candidate it is still to be found what the run added.
    const isSettled = view && from && candidate !== undefined && step !== 'aborting'
    const rebased = isSettled && { ...from, revision: view.origin.revision }
    return this.note(call, record, {
      is: 'reconciled',
      step,
      branch,
      ...(rebased && { from: rebased }),
    })
  }

  async #eventOf(call: Call, record: RotationRecord): Promise<RotationEvent | undefined> {
    const { state, config } = record
    const { step } = state
    if (step === 'held') return undefined
    const kind = this.#parts.kindOf(config)
    const view = await viewOf(this.#parts, config.secret)
    if (step === 'aborting') return this.#abort(call, record, kind, view)
    // What a person makes is put by hand.
    if (step === 'planned' && kind.byHand) return undefined
    const blocked = obstacle(view, state)
    if (blocked !== undefined || !view) return { is: 'held', reason: blocked ?? 'deleted' }
    switch (step) {
      case 'planned':
        return this.#stage(call, record, kind, view)
      case 'staged':
        await withValues(this.#parts, call, record, async (values) => {
          if (!(await kind.accepts(values.candidate))) await kind.apply(values)
        })
        return { is: 'reached', step: 'applied' }
      case 'applied':
        await withValues(this.#parts, call, record, (values) => kind.test(values))
        return { is: 'reached', step: 'tested' }
      case 'tested':
        return this.#activate(call, record, view.row)
      case 'activated':
        return { is: 'reached', step: 'converging' }
      case 'converging':
        return this.#converge(call, record, kind)
      case 'retiring':
        return this.#retire(call, record, kind, view.row)
      case 'idle':
      case 'done':
      case 'aborted':
        break
    }
    return undefined
  }

  async #stage(
    call: Call,
    record: RotationRecord,
    kind: Kind,
    view: SecretView,
  ): Promise<RotationEvent> {
    const { config, state } = record
    const [own] = ownVersions(view, state)
    if (own !== undefined) return { is: 'staged', version: own }
    const { secret: Name } = config
    return withValues(this.#parts, call, record, async (values) => {
      const Value = await kind.generate(await values.previous(), values)
      const { version } = await this.#parts.secrets.put(call, { Name, Value }, state.from?.latest)
      return { is: 'staged', version }
    })
  }

  async #activate(
    call: Call,
    { config, state }: RotationRecord,
    { active }: SecretRow,
  ): Promise<RotationEvent> {
    const { candidate = 0 } = state
    if (active !== candidate) {
      const request = { Name: config.secret, Version: candidate }
      await this.#parts.secrets.activate(call, request, active)
    }
    return { is: 'reached', step: 'activated' }
  }

  async #converge(
    call: Call,
    record: RotationRecord,
    kind: Kind,
  ): Promise<RotationEvent | undefined> {
    const { config, state, id } = record
    const minutes = this.#minutes(record)
    const holders = await waitsOf(this.#parts.consumers, config.secret, state.candidate ?? 0)
    // Only then the target is asked, since that takes the value of whoever logs in to it.
    if (mayRetire(config.converge, holders, minutes)) {
      const count = await withValues(this.#parts, call, record, (values) => kind.sessions(values))
      const sessions = count ?? 0
      this.#sessions.set(id, { key: stepKey(record), count: sessions })
      if (mayRetire(config.converge, { ...holders, sessions }, minutes)) {
        return { is: 'reached', step: 'retiring' }
      }
    }
    const counts = typeof config.converge === 'object'
    return counts && minutes - state.waited >= NOTED_MINUTES ? { is: 'waited', minutes } : undefined
  }

  async #retire(
    call: Call,
    record: RotationRecord,
    kind: Kind,
    row: SecretRow,
  ): Promise<RotationEvent | undefined> {
    const { config, state } = record
    const previous = state.from?.active ?? 0
    const isLeft = row.versions.includes(previous) && previous !== row.active
    const { deleteOld, grace } =
      config.kind === 'manual' ? { deleteOld: false, grace: '0s' } : config
    const deletes = deleteOld && isLeft
    if (kind.retires || deletes) {
      const minutes = this.#minutes(record)
      if (minutes * 60_000 < (parseDuration(grace) ?? 0)) {
        return minutes - state.waited >= NOTED_MINUTES ? { is: 'waited', minutes } : undefined
      }
      await withValues(this.#parts, call, record, (values) => kind.retire(values))
    }
    if (deletes) {
      await this.#parts.secrets.deleteVersion(call, { Name: config.secret, Version: previous })
    }
    return { is: 'reached', step: 'done' }
  }

  /** Makes the version before active again where the run changed that; else takes away what it stored. */
  async #abort(
    call: Call,
    record: RotationRecord,
    kind: Kind,
    view: SecretView | undefined,
  ): Promise<RotationEvent> {
    const { config, state } = record
    const previous = state.from?.active ?? 0
    if (!view || view.row.incarnation !== state.from?.incarnation) return { is: 'aborted' }
    const { row } = view
    const own = state.candidate ?? ownVersions(view, state)[0]
    if (own === undefined || !row.versions.includes(own)) return { is: 'aborted' }
    const wasOurs = row.active === own && row.versions.includes(previous)
    const told = { ...record, state: { ...state, candidate: own } }
    const restore = (): Promise<void> =>
      withValues(this.#parts, call, told, (values) => kind.restore(values))
    // Else the version before would be active, and work for nobody.
    if (wasOurs && !kind.overlaps) await restore()
    if (wasOurs) {
      await this.#parts.secrets.activate(call, { Name: config.secret, Version: previous }, own)
    }
    // Programs may hold one that was active: it stays, as what a person made does.
    if (kind.byHand || state.activated === true || row.active === own) return { is: 'aborted' }
    await restore()
    await this.#parts.secrets.deleteVersion(call, { Name: config.secret, Version: own })
    return { is: 'aborted' }
  }

  /** Minutes that `record` has been in its step, by timers. */
  #minutes(record: RotationRecord): number {
    const { id, state } = record
    const now = this.#parts.timers.now()
    const key = stepKey(record)
    const known = this.#waiting.get(id)
    const waiting = known?.key === key ? known : { key, since: now, before: state.waited }
    this.#waiting.set(id, waiting)
    return waiting.before + Math.floor((now - waiting.since) / 60_000)
  }

  async #failed(call: Call, record: RotationRecord, error: unknown): Promise<void> {
    const { code, message } = asSottoError(error)
    const { timers, random } = this.#parts
    const { attempts } = record.state
    const wait = passing.has(code) ? SOON_MS : Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** attempts)
    this.#retryAt.set(record.id, timers.now() + wait * (0.75 + random() / 2))
    if (passing.has(code)) return
    await this.note(call, record, { is: 'failed', code, found: message }).catch(() => undefined)
  }

  async #save(
    call: Call,
    record: RotationRecord,
    state: RotationState,
    event: RotationEvent,
  ): Promise<RotationRecord> {
    const pass: OperatorPass = await this.#parts.gate.operate(call, 'rotation:run', 'rotation-step')
    const failed = event.is === 'failed' ? record.state.step : undefined
    const reason = state.held?.reason ?? (event.is === 'failed' ? event.code : undefined)
    return this.#parts.registry.step(pass, record, state, {
      ...(failed !== undefined && { failed }),
      ...(reason !== undefined && { reason }),
    })
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}

/** What a run waits in: another one, or another step, is another wait. */
function stepKey({ state }: RotationRecord): string {
  return `${state.run} ${state.step}`
}
