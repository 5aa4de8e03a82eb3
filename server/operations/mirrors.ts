/** The mirrors of a server: the job that keeps them, and what operators ask of them. */
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Mirrored } from '../store/mirrors.ts'
import { shown } from './jobs.ts'
import type { Job, Run, Scheduler } from '../jobs/scheduler.ts'
import { Mirror, type Tally } from '../mirror/run.ts'
import { MirrorMetrics } from '../mirror/metrics.ts'
import type { MirrorParts, MirrorSetup } from '../mirror/parts.ts'

/** What the service works with. */
export interface MirrorsParts extends MirrorParts {
  /** The mirrors that are set up now. */
  readonly setups: () => Promise<MirrorSetup[]>
  readonly gate: Gate
  readonly scheduler: Scheduler
  /** From one comparison of everything to the next, in milliseconds. */
  readonly checkMs?: number
  readonly metrics?: MirrorMetrics
}

/** How the last run on a mirror ended. */
interface LastRun {
  readonly at: string
  readonly error?: SottoError
}

/** What an operator asked for, until the next run. */
interface Demand {
  readonly check: boolean
  readonly acceptMount: boolean
  readonly secrets?: readonly string[]
  readonly onDrift?: 'overwrite' | 'adopt'
}

/** The name of the job. */
export const MIRROR_JOB = 'mirror'
const EVERY_MS = 60_000
const REST_MS = 500
const RETRY_MS = 5000
/** How long a run goes on with what is due, before it makes room for others. */
const RUN_MS = 600_000
const CHECK_MS = 600_000
const MAX_ITEMS = 1000
/** How long a page of a plan may take. */
const PLAN_MS = 10_000

/** The mirrors, as callers with rules see them. */
export class Mirrors {
  readonly #parts: MirrorsParts
  readonly #metrics: MirrorMetrics
  readonly #last = new Map<number, LastRun>()
  readonly #demands = new Map<number, Demand>()

  constructor(parts: MirrorsParts) {
    this.#parts = parts
    this.#metrics = parts.metrics ?? new MirrorMetrics()
  }

  /** What keeps the mirrors up. */
  job(): Job {
    return {
      name: MIRROR_JOB,
      action: 'mirror',
      // Each mirror asks for secrets with a rule for those that it is for.
      rules: [],
      everyMs: EVERY_MS,
      firstMs: REST_MS,
      restMs: REST_MS,
      retryMs: RETRY_MS,
      maxMs: RUN_MS + 60_000,
      run: (run) => this.#run(run),
    }
  }

  /** A secret was changed. */
  changed(): void {
    this.#parts.scheduler.wake(MIRROR_JOB)
  }

  /**
   * How each mirror is doing, with the secrets that are not as they should be, of those the caller has
   * `info` on. Needs `mirror`. Rejects with `not_found` for a backend without one.
   */
  async status(
    call: Call,
    { Backend }: OperationRequest<'mirror-status'>,
  ): Promise<OperationResponse<'mirror-status'>> {
    const pass = await this.#parts.gate.operate(call, 'mirror', 'mirror-status')
    const setups = await this.#named(Backend)
    const mirrors = await Promise.all(setups.map((setup) => this.#statusOf(call, setup)))
    await pass.tell('ok')
    return mirrors
  }

  /**
   * Brings mirrors up now, and resolves with how the run ended, or with that it goes on. Needs `mirror`.
   * Rejects with `not_found` for a backend without one, and for a secret that it is not for.
   */
  async sync(
    call: Call,
    request: OperationRequest<'mirror-sync'>,
  ): Promise<OperationResponse<'mirror-sync'>> {
    const { Backend, Secrets, OnDrift, AcceptMount } = request
    const { gate, scheduler } = this.#parts
    const pass = await gate.operate(call, 'mirror', 'mirror-sync')
    const setups = await this.#named(Backend)
    await pass.announce()
    for (const { backend } of setups) {
      this.#demands.set(backend, {
        check: true,
        acceptMount: AcceptMount,
        ...(Secrets && { secrets: Secrets }),
        ...(OnDrift && { onDrift: OnDrift }),
      })
    }
    const state = await scheduler.run(MIRROR_JOB)
    // A run that was under way already may have missed what was asked for just now.
    if (!setups.some(({ backend }) => this.#demands.has(backend))) return shown(state)
    if (!state.running) return shown(await scheduler.run(MIRROR_JOB))
    scheduler.wake(MIRROR_JOB)
    return shown(state)
  }

  /**
   * What `sync` would do, for a page of secrets behind `After`, of those the caller has `info` on. Changes
   * nothing. Needs `mirror`.
   */
  async plan(
    call: Call,
    { Backend, After, OnDrift }: OperationRequest<'mirror-plan'>,
  ): Promise<OperationResponse<'mirror-plan'>> {
    const { gate, store, timers } = this.#parts
    const pass = await gate.operate(call, 'mirror', 'mirror-plan')
    const [setup] = await this.#named(Backend)
    if (!setup) throw missing(Backend)
    const mirror = new Mirror(this.#parts, withDrift(setup, OnDrift))
    const until = timers.now() + PLAN_MS
    const items: OperationResponse<'mirror-plan'>['Items'] = []
    let after = After
    do {
      const rows = (await store.states(after)).slice(0, 100)
      after = rows.at(-1)?.name
      for (const { name, act, reason } of await mirror.plan(rows)) {
        if (gate.sees(call, 'info', name)) items.push({ Name: name, Action: act, Reason: reason })
      }
    } while (after !== undefined && items.length < MAX_ITEMS && timers.now() < until)
    await pass.tell('ok')
    return { Items: items, ...(after !== undefined && { After: after }) }
  }

  async #run({ signal }: Run): Promise<string> {
    const setups = await this.#parts.setups()
    const said: string[] = []
    const failures: SottoError[] = []
    for (const setup of setups) {
      try {
        said.push(`${setup.name}: ${wordsOf(await this.#bring(setup, signal))}`)
      } catch (error) {
        const known = asSottoError(error)
        failures.push(known)
        this.#last.set(setup.backend, { at: this.#now(), error: known })
      }
      await this.#note(setup)
    }
    const [first] = failures
    if (first) throw first
    return said.length === 0 ? 'no mirror is set up' : said.join('; ')
  }

  async #bring(setup: MirrorSetup, stopped: AbortSignal): Promise<Tally> {
    const { store, clock, timers, checkMs = CHECK_MS } = this.#parts
    const { backend } = setup
    const demand = this.#demands.get(backend)
    this.#demands.delete(backend)
    const mirror = new Mirror(this.#parts, withDrift(setup, demand?.onDrift))
    if (demand?.acceptMount === true) await mirror.acceptPlace()
    if (demand?.secrets) return this.#ended(backend, await mirror.runOn(demand.secrets))
    const checkedAt = (await store.mirrorHead(backend))?.checkedAt
    const old = checkedAt === undefined || clock().getTime() - Date.parse(checkedAt) >= checkMs
    const enough = new AbortController()
    const stop = timers.after(RUN_MS, () => enough.abort())
    try {
      const signal = AbortSignal.any([stopped, enough.signal])
      const check = demand?.check === true || old
      const gentle = demand === undefined && checkedAt !== undefined
      return this.#ended(backend, await mirror.run({ signal, check, gentle }))
    } finally {
      stop()
      if (enough.signal.aborted) this.changed()
    }
  }

  async #note({ backend, name }: MirrorSetup): Promise<void> {
    const { store, clock } = this.#parts
    const counts = await store.mirrorCounts(backend)
    const ok = this.#last.get(backend)?.error === undefined
    this.#metrics.note(name, counts, ok, () => clock().getTime())
  }

  #ended(backend: number, tally: Tally): Tally {
    this.#last.set(backend, { at: this.#now() })
    return tally
  }

  async #statusOf(
    call: Call,
    { backend, name, spec }: MirrorSetup,
  ): Promise<OperationResponse<'mirror-status'>[number]> {
    const { store, gate, clock } = this.#parts
    const { states, waitsSince } = await store.mirrorCounts(backend)
    const head = await store.mirrorHead(backend)
    const last = this.#last.get(backend)
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
      Items: items.map(({ name: Name, state, reason, since }) => ({
        Name,
        State: state,
        Reason: reason,
        Since: since,
      })),
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
    const setups = await this.#parts.setups()
    if (name === undefined) return setups
    const found = setups.filter((setup) => setup.name === name)
    if (found.length === 0) throw missing(name)
    return found
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}

function withDrift(setup: MirrorSetup, onDrift: 'overwrite' | 'adopt' | undefined): MirrorSetup {
  return onDrift === undefined ? setup : { ...setup, spec: { ...setup.spec, onDrift } }
}

function wordsOf({ checked, written, removed, failed, drifted }: Tally): string {
  const parts = [`${checked} looked at`, `${written} written`]
  if (removed > 0) parts.push(`${removed} removed`)
  if (failed > 0) parts.push(`${failed} failed`)
  if (drifted > 0) parts.push(`${drifted} changed there by someone else`)
  return parts.join(', ')
}

function secondsBetween(from: string, to: Date): number {
  return Math.max(0, Math.round((to.getTime() - Date.parse(from)) / 1000))
}

function missing(name: string): SottoError {
  return new SottoError('not_found', `There is no mirror in backend ${quote(name)}`, {
    hint: 'A mirror is set up with `mirror` in the config of its backend.',
  })
}
