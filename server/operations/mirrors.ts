/** What operators ask of the mirrors of a server, each through the gate. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Scheduler } from '../jobs/scheduler.ts'
import { MIRROR_JOB, type MirrorJob } from '../mirror/job.ts'
import type { MirrorParts, MirrorSetup } from '../mirror/parts.ts'
import type { Mirrored } from '../store/mirrors.ts'
import { shown } from './jobs.ts'

/** What the operations work with. */
export interface MirrorsParts extends Pick<MirrorParts, 'store' | 'clock' | 'timers'> {
  readonly gate: Gate
  readonly scheduler: Scheduler
  readonly job: MirrorJob
}

type Status = OperationResponse<'mirror-status'>[number]
type Synced = OperationResponse<'mirror-sync'>
type Plan = OperationResponse<'mirror-plan'>

const MAX_ITEMS = 1000
/** How long a page of a plan may take. */
const PLAN_MS = 10_000

/** The mirrors, as callers with rules see them. */
export class Mirrors {
  readonly #parts: MirrorsParts

  constructor(parts: MirrorsParts) {
    this.#parts = parts
  }

  /**
   * The state of each mirror, with the secrets that are not as they should be, of those the caller has
   * `info` on. Needs `mirror`. Rejects with `not_found` for a backend without one.
   */
  async status(call: Call, { Backend }: OperationRequest<'mirror-status'>): Promise<Status[]> {
    const pass = await this.#parts.gate.operate(call, 'mirror', 'mirror-status')
    const setups = await this.#named(Backend)
    const mirrors = await Promise.all(setups.map((setup) => this.#statusOf(call, setup)))
    await pass.record('ok')
    return mirrors
  }

  /**
   * Runs mirrors now, and resolves with how that ended, or with that it still runs. Needs `mirror`. Rejects
   * with `not_found` for a backend without one.
   */
  async sync(call: Call, request: OperationRequest<'mirror-sync'>): Promise<Synced> {
    const { Backend, Secrets, OnDrift, AcceptMount } = request
    const { gate, scheduler, job } = this.#parts
    const pass = await gate.operate(call, 'mirror', 'mirror-sync')
    const setups = await this.#named(Backend)
    await pass.announce()
    for (const { backend } of setups) {
      job.demand(backend, {
        acceptMount: AcceptMount,
        ...(Secrets && { secrets: Secrets }),
        ...(OnDrift && { onDrift: OnDrift }),
      })
    }
    const state = await scheduler.run(MIRROR_JOB)
    // A run that was under way already may have missed the demand.
    if (!setups.some(({ backend }) => job.waits(backend))) return shown(state)
    if (!state.running) return shown(await scheduler.run(MIRROR_JOB))
    scheduler.wake(MIRROR_JOB)
    return shown(state)
  }

  /**
   * What `sync` would do, for a page of the secrets after `After`, of those the caller has `info` on. Changes
   * nothing. Needs `mirror`.
   */
  async plan(call: Call, request: OperationRequest<'mirror-plan'>): Promise<Plan> {
    const { Backend, After, OnDrift } = request
    const { gate, store, timers, job } = this.#parts
    const pass = await gate.operate(call, 'mirror', 'mirror-plan')
    const [setup] = await this.#named(Backend)
    if (!setup) throw missing(Backend)
    const mirror = job.mirror(setup, OnDrift)
    const until = timers.now() + PLAN_MS
    const items: Plan['Items'] = []
    let after = After
    do {
      const rows = (await store.states(after)).slice(0, 100)
      after = rows.at(-1)?.name
      for (const { name, act, reason } of await mirror.plan(rows)) {
        if (gate.sees(call, 'info', name)) items.push({ Name: name, Action: act, Reason: reason })
      }
    } while (after !== undefined && items.length < MAX_ITEMS && timers.now() < until)
    await pass.record('ok')
    return { Items: items, ...(after !== undefined && { After: after }) }
  }

  async #statusOf(call: Call, { backend, name, spec }: MirrorSetup): Promise<Status> {
    const { store, gate, clock, job } = this.#parts
    const { states, waitsSince } = await store.mirrorCounts(backend)
    const head = await store.mirrorHead(backend)
    const last = job.lastRun(backend)
    const troubled = await this.#troubled(backend)
    const items = troubled.filter((each) => gate.sees(call, 'info', each.name))
    return {
      Backend: name,
      Secrets: spec.secrets,
      OnDrift: spec.onDrift,
      OnDelete: spec.onDelete,
      Counts: states,
      LagSeconds: waitsSince === undefined ? 0 : secondsBetween(waitsSince, clock()),
      ...(head?.checkedAt !== undefined && { CheckedAt: head.checkedAt }),
      ...(last && { LastRun: last.at, LastResult: last.error ? 'failed' : 'ok' }),
      ...(last?.error && { LastMessage: last.error.message }),
      Items: items.map(({ name: Name, state: State, reason: Reason, since: Since }) => {
        return { Name, State, Reason, Since }
      }),
    }
  }

  async #troubled(backend: number): Promise<Mirrored[]> {
    const found: Mirrored[] = []
    for (let cursor = 0; found.length < MAX_ITEMS; ) {
      const page = await this.#parts.store.mirrored(backend, cursor, 1000)
      found.push(...page.filter(({ state }) => state !== 'ok' && state !== 'due'))
      const last = page.at(-1)
      if (!last) break
      cursor = last.cursor
    }
    return found.slice(0, MAX_ITEMS)
  }

  async #named(name: string | undefined): Promise<MirrorSetup[]> {
    const setups = await this.#parts.job.setups()
    if (name === undefined) return setups
    const found = setups.filter((setup) => setup.name === name)
    if (found.length === 0) throw missing(name)
    return found
  }
}

function secondsBetween(from: string, to: Date): number {
  return Math.max(0, Math.round((to.getTime() - Date.parse(from)) / 1000))
}

function missing(name: string): SottoError {
  return new SottoError('not_found', `There is no mirror in backend ${quote(name)}`, {
    hint: 'A mirror is set up with `mirror` in the config of its backend.',
  })
}
