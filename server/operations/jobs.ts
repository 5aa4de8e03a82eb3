/** What operators ask of the jobs of the server: their states, and a run now. */
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { JobState, Scheduler } from '../jobs/scheduler.ts'
import { MIRROR_JOB } from '../mirror/job.ts'
import { ORPHANS_JOB } from '../secrets/orphans.ts'

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
    return visible.map((state) => shown(this.#gate, call, state))
  }

  /**
   * Runs a job, or joins its run, and resolves with how it ended, or with that it still runs. With
   * `Started`, the start of an earlier run, it only waits for that one's end. Needs the action of the job; where
   * there is none of that name, `backup`: only jobs of backups may be absent. Rejects with `not_found`.
   */
  async run(call: Call, { Name, Started }: OperationRequest<'job-run'>): Promise<ShownJob> {
    const job = this.#scheduler.states().find(({ name }) => name === Name)
    const asked = { Name, Started }
    const pass = await this.#gate.operate(call, job?.action ?? 'backup', 'job-run', asked)
    if (!job) throw new SottoError('not_found', `There is no job ${quote(Name)}`)
    await pass.announce()
    const waits = Started === undefined ? this.#scheduler.run(Name) : this.#scheduler.wait(Name)
    return shown(this.#gate, call, await waits)
  }

  #visible(call: Call): JobState[] {
    return this.#scheduler.states().filter(({ action }) => this.#gate.sees(call, action, ''))
  }
}

/** A state of a job as `call` may see it. */
export function shown(gate: Gate, call: Call, state: JobState): ShownJob {
  const { name, running, lastStart, lastEnd, lastResult, lastSuccess, nextRun } = state
  const lastMessage = messageFor(gate, call, state)
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

/** Jobs whose line counts some of the secrets, and not what the store has as a whole. */
const counting: ReadonlySet<string> = new Set([MIRROR_JOB, ORPHANS_JOB])

/** Counts and failures are about secrets of any name. */
function messageFor(gate: Gate, call: Call, state: JobState): string | undefined {
  const { name, lastMessage, lastError } = state
  if (lastError) return gate.told(call, lastError)
  return counting.has(name) && !gate.seesEach(call, 'info', '*') ? undefined : lastMessage
}
