/** Jobs: what a server does by the clock. */
import type { Command } from '../command.ts'

export const jobCommands: readonly Command[] = [
  {
    name: 'job status',
    args: [],
    summary: 'Show what the jobs of the server did last, and when they run next.',
    details: 'It shows the jobs that you may run.',
    load: async () => (await import('../handlers/jobs.ts')).jobStatus,
  },
  {
    name: 'job run',
    args: ['JOB'],
    summary: 'Run a job of the server now, and wait for its end.',
    details: `A run that is under way is joined. The exit code is 2 when the job fails.`,
    load: async () => (await import('../handlers/jobs.ts')).jobRun,
  },
]
