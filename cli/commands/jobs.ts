/** Jobs: what a server does by the clock. */
import type { Command } from '../command.ts'

export const jobCommands: readonly Command[] = [
  {
    name: 'job status',
    args: [],
    summary: 'Show the last and the next run of each job.',
    details: 'It shows the jobs that you may run.',
    load: async () => (await import('../handlers/jobs.ts')).jobStatus,
  },
  {
    name: 'job run',
    args: ['JOB'],
    summary: 'Run a job now, and wait for its end.',
    details:
      'If the job is running already, the command joins it. The exit code is 2 when the job fails.',
    load: async () => (await import('../handlers/jobs.ts')).jobRun,
  },
]
