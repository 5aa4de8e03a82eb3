/** The job `rotations`: begins what is due, and carries on every run that is under way. */
import { rotationSteps } from '../../client/api/rotations.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { Call } from '../gate/gate.ts'
import type { Job, Run } from '../jobs/scheduler.ts'
import type { Dates } from './dates.ts'
import type { RotationMetrics } from './metrics.ts'
import type { RotationRecord, RotationRegistry } from './registry.ts'
import { type Runs, runRules } from './runs.ts'
import { decide, isOverdue, type Schedule } from './schedule.ts'
import { isCarriedOn, isUnderWay } from './state.ts'

/** The name of the job. */
export const ROTATIONS_JOB = 'rotations'

/** What the job works with. */
export interface RotationsJobParts {
  readonly registry: RotationRegistry
  readonly runs: Runs
  readonly schedule: () => Promise<Schedule>
  readonly dates: Dates
  readonly clock: () => Date
  readonly timers: Timers
  readonly metrics: RotationMetrics
  /** Whether the server may act: not on a store that was restored or copied, until an operator adopts it. */
  readonly adopted: () => boolean
  /** Asks for a run of the job in so many milliseconds. */
  readonly wakeIn: (ms: number) => void
}

const EVERY_MS = 30_000
/** Runs that may begin at once: many that are due together are spread. */
const BEGIN_AT_ONCE = 10
const SPREAD_MS = 2000

/** The job. */
export function rotationsJob(parts: RotationsJobParts): Job {
  return {
    name: ROTATIONS_JOB,
    action: 'rotation:run',
    rules: runRules,
    everyMs: EVERY_MS,
    firstMs: 1000,
    retryMs: 5000,
    maxMs: 10 * 60_000,
    run: (run) => new Round(parts, run).carryOut(),
  }
}

/** One run of the job. */
class Round {
  readonly #parts: RotationsJobParts
  readonly #call: Call
  readonly #signal: AbortSignal
  /** When there is more to do, in milliseconds from now. */
  #wakeIn = Infinity
  #begun = 0

  constructor(parts: RotationsJobParts, { call, signal }: Run) {
    this.#parts = parts
    this.#call = call
    this.#signal = signal
  }

  async carryOut(): Promise<string> {
    const { registry, adopted, wakeIn } = this.#parts
    const { rotations } = await registry.read()
    if (rotations.length === 0) {
      await this.#measure([])
      return 'there are no rotations'
    }
    if (!adopted()) {
      await this.#measure(rotations)
      return 'waits until an operator adopts the store: see `sotto branch`'
    }
    const after: RotationRecord[] = []
    for (const record of rotations) {
      after.push(this.#signal.aborted ? record : await this.#carryOn(record))
    }
    await this.#measure(after)
    if (this.#wakeIn < EVERY_MS) wakeIn(this.#wakeIn)
    const held = after.filter(({ state }) => state.step === 'held').length
    const underWay = after.filter(({ state }) => isCarriedOn(state)).length
    return `rotations: ${after.length}; under way: ${underWay}; held: ${held}`
  }

  async #carryOn(record: RotationRecord): Promise<RotationRecord> {
    let current = record
    try {
      if (current.state.step === 'held') return current
      if (!isUnderWay(current.state)) current = await this.#beginIfDue(current)
      while (isCarriedOn(current.state) && !this.#signal.aborted) {
        const { step } = current.state
        const { runs } = this.#parts
        const advanced =
          runs.restOf(current) > 0 ? undefined : await runs.advance(this.#call, current)
        if (advanced === undefined) {
          this.#soon(runs.pauseOf(current))
          break
        }
        current = advanced
        if (current.state.step === step) break
        if (current.state.step === 'done') this.#succeeded()
      }
    } catch (error) {
      const { code } = asSottoError(error)
      // Somebody else was faster: the next round sees what there is then.
      if (code !== 'conflict' && code !== 'rotation_state') throw error
      this.#soon(SPREAD_MS)
    }
    return current
  }

  async #beginIfDue(record: RotationRecord): Promise<RotationRecord> {
    const { runs, dates, schedule, clock } = this.#parts
    const now = clock()
    const date = await dates.dueOf(record, now)
    if (date === undefined) return record
    const due = decide(await schedule(), record.config, date, now)
    if (due.is === 'waits') {
      this.#soon(date.getTime() - now.getTime())
      return record
    }
    const next = due.next?.toISOString()
    if (due.is === 'missed') {
      return runs.note(this.#call, record, { is: 'missed', due: next })
    }
    if (this.#begun >= BEGIN_AT_ONCE) {
      this.#soon(SPREAD_MS)
      return record
    }
    this.#begun++
    return runs.begin(this.#call, record, next)
  }

  /** By its age: a date from a clock that was ahead would pass for fresh for as long as it was. */
  #succeeded(): void {
    const { metrics, clock, timers } = this.#parts
    const at = timers.now()
    metrics.lastSuccess.follow(() => (clock().getTime() - (timers.now() - at)) / 1000)
  }

  #soon(ms: number): void {
    this.#wakeIn = Math.min(this.#wakeIn, ms)
  }

  async #measure(rotations: readonly RotationRecord[]): Promise<void> {
    const { metrics, clock, runs, dates } = this.#parts
    for (const step of rotationSteps) {
      const count = rotations.filter(({ state }) => state.step === step).length
      metrics.steps.with({ step }).set(count)
    }
    const now = clock()
    let overdue = 0
    for (const record of rotations) {
      const due = await dates.dueOf(record, now)
      if (isOverdue(record.config, { step: record.state.step, due }, now)) overdue++
    }
    metrics.overdue.set(overdue)
    const sum = { behind: 0, unknown: 0, doubt: 0, session: 0 }
    for (const record of rotations) {
      const waits = await runs.waits(record)
      sum.behind += waits?.behind ?? 0
      sum.unknown += waits?.unknown ?? 0
      sum.doubt += waits?.doubts.length ?? 0
      sum.session += waits?.sessions ?? 0
    }
    for (const [why, count] of Object.entries(sum)) {
      metrics.waits.with({ for: why as keyof typeof sum }).set(count)
    }
  }
}
