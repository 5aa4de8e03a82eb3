/** What operators ask of the jobs of the server: their states, and a run now. */
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { JobState, Scheduler } from '../jobs/scheduler.ts'

type ShownJob = OperationResponse<'job-run'>

/** The jobs of a server, as callers with rules see them. */
export class Jobs {
  readonly #scheduler: Scheduler
  readonly #gate: Gate

  constructor(scheduler: Scheduler, gate: Gate) {
    this.#scheduler = scheduler
    this.#gate = gate
  }

  /** The jobs whose action the caller has. Needs no permission itself. */
  async status(call: Call): Promise<ShownJob[]> {
    const visible = this.#visible(call)
    await this.#gate.listed(call, visible.length)
    return visible.map(shown)
  }

  /**
   * Runs a job, or joins its run, and resolves with how it ended, or with that it still runs. With
   * `Started`, the start of an earlier run, it only waits for that one's end. Needs the action of the job. Rejects
   * with `not_found`, also for a job that the caller may not see.
   */
  async run(call: Call, { Name, Started }: OperationRequest<'job-run'>): Promise<ShownJob> {
    const job = this.#visible(call).find(({ name }) => name === Name)
    if (!job) throw new SottoError('not_found', `There is no job ${quote(Name)}`)
    if (Started !== undefined) return shown(await this.#scheduler.wait(Name))
    const pass = await this.#gate.operate(call, job.action, 'job-run')
    await pass.announce()
    return shown(await this.#scheduler.run(Name))
  }

  #visible(call: Call): JobState[] {
    return this.#scheduler.states().filter(({ action }) => this.#gate.sees(call, action, ''))
  }
}

/** A state of a job as operators see it. */
export function shown(state: JobState): ShownJob {
  const { name, running, lastStart, lastEnd, lastResult, lastMessage, lastSuccess, nextRun } = state
  return {
    Name: name,
    Running: running,
    ...(lastStart !== undefined && { LastStart: lastStart }),
    ...(lastEnd !== undefined && { LastEnd: lastEnd }),
    ...(lastResult !== undefined && { LastResult: lastResult }),
    ...(lastMessage !== undefined && { LastMessage: lastMessage }),
    ...(lastSuccess !== undefined && { LastSuccess: lastSuccess }),
    ...(nextRun !== undefined && { NextRun: nextRun }),
  }
}
