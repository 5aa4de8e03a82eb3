/** The job that removes from backends what was deleted here, and what failed writes left there. */
import type { Orphans } from './orphans.ts'
import type { Job } from '../jobs/scheduler.ts'

const MINUTE_MS = 60_000

/** The name of the job: it runs after each delete, and from time to time. */
export const ORPHANS_JOB = 'backends'

/** The job over `orphans`. */
export function orphansJob(orphans: Orphans): Job {
  return {
    name: ORPHANS_JOB,
    action: 'backends:edit',
    rules: [],
    everyMs: 60 * MINUTE_MS,
    firstMs: MINUTE_MS / 2,
    retryMs: MINUTE_MS,
    maxMs: 10 * MINUTE_MS,
    run: ({ signal }) => orphans.clear(signal),
  }
}
