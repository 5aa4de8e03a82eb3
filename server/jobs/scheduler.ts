/**
 * Runs the jobs of the server: each by itself from time to time, one run at a time, for a bounded time. Keeps
 * how the last run ended and when the next one is due.
 */
import { type Logger, silentLogger } from '../platform/logger.ts'
import { described } from '../../client/platform/system-error.ts'
import { orLate, processTimers, type Timers } from '../../client/platform/timers.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Action, Rule } from '../../client/api/types.ts'
import type { Call } from '../gate/gate.ts'
import { systemCall } from '../gate/system.ts'
import { type JobMetrics, jobMetrics } from './metrics.ts'

/** One run of a job. */
export interface Run {
  /** The job as a caller, for the gate. */
  readonly call: Call
  /** Aborted when the run has taken too long, and when the server stops. */
  readonly signal: AbortSignal
}

/** A task that is repeated. Times are in milliseconds. */
export interface Job {
  /** One word: operators call it by that, and its principal is `system:NAME`. */
  readonly name: string
  /** The action that an operator needs to see it and to run it. */
  readonly action: Action
  /** What the job itself may do. */
  readonly rules: readonly Rule[]
  /** From the end of a run to the next. */
  readonly everyMs: number
  /** From the start of the scheduler to the first run. Absent: `everyMs`. */
  readonly firstMs?: number
  /** From the end of a run to one that `wake` asks for. Absent: 0. */
  readonly restMs?: number
  /** From a run that failed to the next, twice as long after each further failure, at most `everyMs`. */
  readonly retryMs: number
  /** How long a run may take. */
  readonly maxMs: number
  /** Resolves with a line for the operator, or rejects with why it failed. */
  readonly run: (run: Run) => Promise<string>
}

/** The state of a job. Times are UTC. */
export interface JobState {
  readonly name: string
  readonly action: Action
  readonly running: boolean
  readonly lastStart?: string
  /** Absent before the end of the first run. */
  readonly lastEnd?: string
  readonly lastResult?: 'ok' | 'failed'
  /** The line of the last run, or why it failed. */
  readonly lastMessage?: string
  /** What it failed of. */
  readonly lastError?: SottoError
  /** The end of the last run that succeeded. */
  readonly lastSuccess?: string
  /** Absent while it runs, before the scheduler is started, and once it is closed. */
  readonly nextRun?: string
}

/** What a scheduler has of the world; each part has a default. */
export interface SchedulerWorld {
  readonly clock?: () => Date
  readonly timers?: Timers
  /** From 0 to 1. */
  readonly random?: () => number
  readonly logger?: Logger
  readonly metrics?: JobMetrics
}

/** Intervals vary by this share in both directions, so that servers do not act in step. */
const JITTER = 0.1
/** How long a run that was aborted may take to end. */
const END_MS = 5000
/** How long a caller who asks for a run waits for its end. */
const WAIT_MS = 20_000

/** The jobs of one server. */
export class Scheduler {
  readonly #world: Required<SchedulerWorld>
  readonly #entries = new Map<string, Entry>()
  #started = false

  constructor(world: SchedulerWorld = {}) {
    this.#world = {
      clock: () => new Date(),
      timers: processTimers,
      random: Math.random,
      logger: silentLogger,
      metrics: jobMetrics(),
      ...world,
    }
  }

  /** Adds a job. Its first run comes by itself, once the scheduler is started. */
  add(job: Job): void {
    if (this.#entries.has(job.name)) throw new Error(`Two jobs are named ${job.name}`)
    const entry = new Entry(job, this.#world)
    this.#entries.set(job.name, entry)
    if (this.#started) entry.start()
  }

  /** From now on jobs run by themselves: before that, also one that was woken waits. */
  start(): void {
    this.#started = true
    for (const entry of this.#entries.values()) entry.start()
  }

  /** Every job, in the order in which they were added. */
  states(): JobState[] {
    return [...this.#entries.values()].map((entry) => entry.state())
  }

  /**
   * Runs a job now, or joins the run that is under way, and resolves with its state after that; also
   * when it takes longer than 20 s, and then it still runs. A run that fails does not reject: the state
   * says so. Rejects with `not_found`, with `shutting_down`, and with `overloaded` while a run that was
   * aborted has not ended.
   */
  async run(name: string): Promise<JobState> {
    return this.#after(name, (entry) => entry.run())
  }

  /** Waits for the run that is under way, if there is one, as `run` does. Rejects with `not_found`. */
  async wait(name: string): Promise<JobState> {
    return this.#after(name, (entry) => entry.wait())
  }

  /** Asks for a run soon, since there is something to do: `restMs` after the last one. With `inMs`, not before that. */
  wake(name: string, inMs = 0): void {
    const entry = this.#named(name)
    if (inMs === 0) entry.wake()
    else entry.wakeIn(inMs)
  }

  /** Aborts every run, waits a bounded time for their end, and begins no other. */
  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => entry.close()))
  }

  async #after(name: string, end: (entry: Entry) => Promise<void>): Promise<JobState> {
    const entry = this.#named(name)
    await orLate(end(entry), { timers: this.#world.timers, ms: WAIT_MS })
    return entry.state()
  }

  #named(name: string): Entry {
    const entry = this.#entries.get(name)
    if (entry) return entry
    throw new SottoError('not_found', `There is no job ${quote(name)}`)
  }
}

interface Running {
  readonly done: Promise<void>
  readonly abort: AbortController
}

class Entry {
  readonly #job: Job
  readonly #world: Required<SchedulerWorld>
  #running: Running | undefined
  #last: Omit<JobState, 'name' | 'action' | 'running' | 'nextRun'> = {}
  /** When the last run that succeeded had ended, by the timers. */
  #succeeded: number | undefined
  #failures = 0
  /** Whether a run that was aborted has not ended. */
  #stuck = false
  #cancel: (() => void) | undefined
  #cancelWake: (() => void) | undefined
  /** When the next run is due, by the timers. */
  #due = Infinity
  #restsUntil = 0
  /** Whether there is work that the run under way may have missed. */
  #awake = false
  /** Whether the scheduler was not started yet. */
  #waits = true
  #closed = false

  constructor(job: Job, world: Required<SchedulerWorld>) {
    this.#job = job
    this.#world = world
    this.#noteAs(job.name)
  }

  start(): void {
    this.#waits = false
    this.#plan(this.#jittered(this.#job.firstMs ?? this.#job.everyMs))
    if (this.#awake) this.wake()
  }

  state(): JobState {
    const { timers, clock } = this.#world
    const waits = this.#due - timers.now()
    return {
      name: this.#job.name,
      action: this.#job.action,
      running: this.#running !== undefined,
      ...this.#last,
      ...(Number.isFinite(waits) && {
        nextRun: new Date(clock().getTime() + Math.max(0, waits)).toISOString(),
      }),
    }
  }

  async run(): Promise<void> {
    const { name } = this.#job
    const attempt = `Cannot run job ${name}`
    if (this.#closed) throw new SottoError('shutting_down', `${attempt}: the server stops`)
    if (this.#stuck)
      throw new SottoError('overloaded', `${attempt}: its last run has not ended yet`)
    this.#running ??= this.#begin()
    await this.#running.done
  }

  async wait(): Promise<void> {
    await this.#running?.done
  }

  wake(): void {
    this.#awake = true
    if (this.#running || this.#waits || this.#closed) return
    const { timers } = this.#world
    const soon = Math.max(0, this.#restsUntil - timers.now())
    if (timers.now() + soon < this.#due) this.#plan(soon)
  }

  /** One alarm at a time: the run that it asks for does what came to be since, too. */
  wakeIn(ms: number): void {
    this.#cancelWake ??= this.#world.timers.after(ms, () => {
      this.#cancelWake = undefined
      this.wake()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelWake?.()
    this.#drop()
    if (!this.#running) return
    const { done, abort } = this.#running
    abort.abort(new SottoError('shutting_down', 'the server stops'))
    await done
  }

  #noteAs(job: string): void {
    const { names, runs, running, lastSuccess } = this.#world.metrics
    names.push(job)
    for (const result of ['ok', 'failed'] as const) runs.with({ job, result })
    running.with({ job }).follow(() => (this.#running ? 1 : 0))
    const { clock, timers } = this.#world
    // By its age: a date from a clock that was ahead would pass for fresh for as long as it was.
    lastSuccess.with({ job }).follow(() => {
      if (this.#succeeded === undefined) return undefined
      return (clock().getTime() - (timers.now() - this.#succeeded)) / 1000
    })
  }

  #begin(): Running {
    this.#drop()
    this.#awake = false
    const abort = new AbortController()
    return { done: this.#carryOut(abort), abort }
  }

  async #carryOut(abort: AbortController): Promise<void> {
    const { name, rules, maxMs, run } = this.#job
    const { clock, timers, logger } = this.#world
    this.#last = { ...this.#last, lastStart: clock().toISOString() }
    const stop = timers.after(maxMs, () => {
      abort.abort(new SottoError('local', `it took longer than ${maxMs} ms`))
    })
    try {
      const { signal } = abort
      const said = await this.#endOf(run({ call: systemCall(name, rules), signal }), signal)
      this.#failures = 0
      this.#ended('ok', said)
    } catch (error) {
      const known = described(abort.signal.aborted ? abort.signal.reason : error)
      this.#failures++
      this.#ended('failed', known.message, known)
      const { code, message } = known
      if (!this.#closed)
        logger.error(`job ${name} failed: ${code}: ${message}`, { code, job: name })
    } finally {
      stop()
      this.#running = undefined
      this.#planNext()
    }
  }

  /** Settles as `task` does, or rejects some time after the abort, which a task may ignore. */
  async #endOf(task: Promise<string>, signal: AbortSignal): Promise<string> {
    const late = Promise.withResolvers<never>()
    let stop: (() => void) | undefined
    signal.addEventListener('abort', () => {
      stop = this.#world.timers.after(END_MS, () => {
        this.#stuck = true
        const freed = (): void => void (this.#stuck = false)
        task.then(freed, freed)
        late.reject(signal.reason)
      })
    })
    try {
      return await Promise.race([task, late.promise])
    } finally {
      stop?.()
    }
  }

  #ended(lastResult: 'ok' | 'failed', lastMessage: string, lastError?: SottoError): void {
    const { clock, timers, metrics } = this.#world
    const lastEnd = clock().toISOString()
    if (lastResult === 'ok') this.#succeeded = timers.now()
    metrics.runs.with({ job: this.#job.name, result: lastResult }).add()
    const success = lastResult === 'ok' && { lastSuccess: lastEnd }
    const { lastError: _before, ...last } = this.#last
    const failure = lastError && { lastError }
    this.#last = { ...last, lastEnd, lastResult, lastMessage, ...failure, ...success }
  }

  #planNext(): void {
    if (this.#closed) return
    const { everyMs, retryMs, restMs = 0 } = this.#job
    this.#restsUntil = this.#world.timers.now() + restMs
    const failed = this.#failures > 0
    const wait = failed ? Math.min(everyMs, retryMs * 2 ** (this.#failures - 1)) : everyMs
    this.#plan(this.#jittered(wait))
    if (this.#awake && !failed) this.wake()
  }

  #plan(ms: number): void {
    this.#drop()
    const { timers } = this.#world
    this.#due = timers.now() + ms
    this.#cancel = timers.after(ms, () => {
      if (this.#stuck) this.#planNext()
      else void this.run()
    })
  }

  #drop(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#due = Infinity
  }

  #jittered(ms: number): number {
    return Math.round(ms * (1 + JITTER * (2 * this.#world.random() - 1)))
  }
}
