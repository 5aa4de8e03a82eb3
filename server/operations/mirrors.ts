/** What operators ask of the mirrors of a server, each through the gate. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { nameAt } from '../backends/names.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Scheduler } from '../jobs/scheduler.ts'
import { MIRROR_JOB, type MirrorJob, waiting } from '../mirror/job.ts'
import type { MirrorParts, MirrorSetup } from '../mirror/parts.ts'
import { waits } from '../mirror/run.ts'
import type { MirrorCounts, Mirrored } from '../store/mirrors.ts'
import { shown } from './jobs.ts'

/** What the operations work with. */
export interface MirrorsParts extends Pick<MirrorParts, 'store' | 'timers'> {
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
   * The state of each mirror, with the secrets that are not as they should be; shown and counted are those the
   * caller has `info` on. Needs `mirror`. Rejects with `not_found` for a backend without one.
   */
  async status(call: Call, { Backend }: OperationRequest<'mirror-status'>): Promise<Status[]> {
    const pass = await this.#parts.gate.operate(call, 'mirror', 'mirror-status', {
      Backend,
    })
    const setups = await this.#named(Backend)
    const mirrors = await Promise.all(setups.map((setup) => this.#statusOf(call, setup)))
    await pass.record('ok')
    return mirrors
  }

  /**
   * Runs mirrors now, and resolves with how that ended, or with that it still runs. Of the secrets that are
   * named, those that the caller has no `info` on are left out, as if there were none of that name. Needs
   * `mirror`. Rejects with `not_found` for a backend without one.
   */
  async sync(call: Call, request: OperationRequest<'mirror-sync'>): Promise<Synced> {
    const { Backend, Secrets, OnDrift, AcceptMount } = request
    const { gate, scheduler, job } = this.#parts
    const pass = await gate.operate(call, 'mirror', 'mirror-sync', request)
    const setups = await this.#named(Backend)
    await pass.announce()
    const secrets = Secrets && (await gate.visible(call, 'info', Secrets))
    for (const { backend } of setups) {
      job.demand(backend, {
        acceptMount: AcceptMount,
        ...(secrets && { secrets }),
        ...(OnDrift && { onDrift: OnDrift }),
      })
    }
    const state = await scheduler.run(MIRROR_JOB)
    // A run that was under way already may have missed the demand.
    if (!setups.some(({ backend }) => job.waits(backend))) return shown(gate, call, state)
    if (!state.running) return shown(gate, call, await scheduler.run(MIRROR_JOB))
    scheduler.wake(MIRROR_JOB)
    return shown(gate, call, state)
  }

  /**
   * What `sync` would do, for a page of the secrets after `After`, of those the caller has `info` on. Changes
   * nothing. Needs `mirror`.
   */
  async plan(call: Call, request: OperationRequest<'mirror-plan'>): Promise<Plan> {
    const { Backend, After, OnDrift } = request
    const { gate, store, timers, job } = this.#parts
    const asked = { Backend, After, OnDrift }
    const pass = await gate.operate(call, 'mirror', 'mirror-plan', asked)
    const [setup] = await this.#named(Backend)
    if (!setup) throw missing(Backend)
    const mirror = job.mirror(setup, OnDrift)
    const until = timers.now() + PLAN_MS
    const isSeen = gate.allowing(call, 'info')
    const items: Plan['Items'] = []
    let after = After
    // A page ends at a name that the caller may see: it is where the next one begins.
    let seenUpTo: string | undefined
    do {
      const rows = (await store.states(after)).slice(0, 100)
      after = rows.at(-1)?.name
      const seen = rows.filter(({ name }) => isSeen(name))
      seenUpTo = seen.at(-1)?.name ?? seenUpTo
      for (const { name, act, reason } of seen.length > 0 ? await mirror.plan(seen) : []) {
        items.push({ Name: name, Action: act, Reason: reason })
      }
      if (seenUpTo === undefined) continue
      if (items.length >= MAX_ITEMS || timers.now() >= until) break
    } while (after !== undefined && gate.seesAny(call, 'info'))
    await pass.record('ok')
    return { Items: items, ...(after !== undefined && seenUpTo && { After: seenUpTo }) }
  }

  async #statusOf(call: Call, { backend, name, spec }: MirrorSetup): Promise<Status> {
    const { store, job, gate } = this.#parts
    const { counts, lagMs, items } = await this.#seen(call, backend)
    const head = await store.mirrorHead(backend)
    const last = job.lastRun(backend)
    const foreign = job.foreign(backend)
    return {
      Backend: name,
      Secrets: spec.secrets,
      OnDrift: spec.onDrift,
      OnDelete: spec.onDelete,
      Counts: counts,
      LagSeconds: Math.round(lagMs / 1000),
      ...(head?.checkedAt !== undefined && { CheckedAt: head.checkedAt }),
      ...(last && { LastRun: last.at, LastResult: last.error ? 'failed' : 'ok' }),
      ...(last?.error && { LastMessage: gate.told(call, last.error) }),
      ...(foreign && {
        Foreign: {
          Count: foreign.length,
          Paths: foreign.filter((path) => {
            const its = nameAt(path)
            return its === undefined
              ? gate.seesEach(call, 'info', '*')
              : gate.sees(call, 'info', its)
          }),
        },
      }),
      Items: items.map(({ name: Name, state: State, reason, since: Since }) => {
        // Why a backend did not take it is for those who may see backends.
        const knows = State !== 'failed' || gate.sees(call, 'backends:view', '')
        return { Name, State, Reason: knows ? reason : 'the backend did not take it', Since }
      }),
    }
  }

  /** What `call` may see of a mirror: how many are in each state, how long the oldest waits, and those that are not as they should be. */
  async #seen(
    call: Call,
    backend: number,
  ): Promise<{
    readonly counts: MirrorCounts
    readonly lagMs: number
    readonly items: readonly Mirrored[]
  }> {
    const { store, gate, job } = this.#parts
    const lag = job.lag(backend)
    const items: Mirrored[] = []
    const counts: MirrorCounts = {}
    let lagMs = 0
    const all = gate.seesEach(call, 'info', '*') ? await store.mirrorCounts(backend) : undefined
    const enough = all ? MAX_ITEMS : Number.POSITIVE_INFINITY
    for (let cursor = 0; items.length < enough; ) {
      const page = await store.mirrored(backend, cursor, 1000)
      const last = page.at(-1)
      if (!last) break
      cursor = last.cursor
      for (const each of page.filter(({ name }) => gate.sees(call, 'info', name))) {
        const { name, state } = each
        counts[state] = (counts[state] ?? 0) + 1
        if (waits(each)) lagMs = Math.max(lagMs, lag.of(name))
        if (state !== 'ok' && state !== 'due' && items.length < MAX_ITEMS) items.push(each)
      }
    }
    if (all === undefined) return { counts, lagMs, items }
    lag.note(waiting(all))
    return { counts: all, lagMs: lag.ms, items }
  }

  async #named(name: string | undefined): Promise<MirrorSetup[]> {
    const setups = await this.#parts.job.setups()
    if (name === undefined) return setups
    const found = setups.filter((setup) => setup.name === name)
    if (found.length === 0) throw missing(name)
    return found
  }
}

function missing(name: string): SottoError {
  return new SottoError('not_found', `There is no mirror in backend ${quote(name)}`, {
    hint: 'A mirror is set up with `mirror` in the config of its backend.',
  })
}
