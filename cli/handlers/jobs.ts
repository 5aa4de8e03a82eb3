/** Jobs of a server: how they are, and a run now. */
import type { OperationResponse } from '../../client/api/operations.ts'
import { SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'

type JobState = OperationResponse<'job-run'>

/** Prints each job that the caller may run. */
export async function jobStatus(invocation: Invocation): Promise<void> {
  const states = await invocation.client().operate('job-status', {})
  const rows = states.map(cellsOf)
  await invocation.print(states, (room) =>
    table([['JOB', 'LAST RUN', 'RESULT', 'NEXT RUN', 'NOTE'], ...rows], { room }),
  )
  if (states.length > 0 || invocation.json) return
  await invocation.io.stderr.write('No jobs that you may run: most need the action `backup`.\n')
}

/** Runs a job, and prints how it ended. Then throws `job_failed` when it failed. */
export async function jobRun(invocation: Invocation): Promise<void> {
  const client = invocation.client()
  const Name = invocation.word(0) ?? ''
  await followRun(invocation, client, await client.operate('job-run', { Name }))
}

/** Waits for the end of the run that `begun` is of, and prints it. Throws `job_failed` when it failed. */
export async function followRun(
  invocation: Invocation,
  client: Client,
  begun: JobState,
): Promise<void> {
  const { Name } = begun
  let state = begun
  // A long run is answered before its end.
  const Started = state.LastStart
  while (state.Running && state.LastStart === Started) {
    state = await client.operate('job-run', { Name, ...(Started !== undefined && { Started }) })
  }
  await invocation.print(state, () => `${visible(state.LastMessage ?? state.LastResult ?? '')}\n`)
  if (state.LastResult === 'failed') {
    const hint = '`sotto job status` says when it is tried next.'
    throw new SottoError('job_failed', `Job ${visible(Name)} failed`, { hint })
  }
}

function cellsOf({
  Name,
  Running,
  LastStart = 'never',
  LastResult,
  NextRun = '',
  LastMessage = '',
}: JobState): string[] {
  return [Name, LastStart, Running ? 'running' : (LastResult ?? ''), NextRun, LastMessage]
}
