/** The metrics of the jobs of a server. */
import type { Family } from '../metrics/family.ts'
import type { Counter, Gauge } from '../metrics/instruments.ts'
import { Registry } from '../metrics/registry.ts'

const results = ['ok', 'failed'] as const

/** What is measured of runs. */
export interface JobMetrics {
  /** Names of jobs: there are series for those that are in it. */
  readonly names: string[]
  readonly runs: Family<
    { readonly job: readonly string[]; readonly result: typeof results },
    Counter
  >
  readonly running: Family<{ readonly job: readonly string[] }, Gauge>
  readonly lastSuccess: Family<{ readonly job: readonly string[] }, Gauge>
}

/** Defines the metrics of jobs. */
export function jobMetrics(registry: Registry = new Registry()): JobMetrics {
  const names: string[] = []
  return {
    names,
    runs: registry.counters({
      name: 'sotto_job_runs_total',
      help: 'Runs of each job of the server that have ended, by how they ended.',
      labels: { job: names, result: results },
    }),
    running: registry.gauges({
      name: 'sotto_job_running',
      help: 'Whether each job runs now.',
      labels: { job: names },
    }),
    lastSuccess: registry.gauges({
      name: 'sotto_job_last_success_timestamp_seconds',
      help: 'When the last run of each job that succeeded had ended, in seconds since 1970; none since the start of the server: no number.',
      labels: { job: names },
    }),
  }
}

/** What is measured of backups. */
export interface BackupMetrics {
  readonly newest: Gauge
  readonly size: Gauge
  readonly proven: Gauge
}

/** Defines the metrics of backups. They have no number where none are made. */
export function backupMetrics(registry: Registry = new Registry()): BackupMetrics {
  return {
    newest: registry.gauge({
      name: 'sotto_backup_newest_timestamp_seconds',
      help: 'When the newest backup was made, in seconds since 1970; none is known: no number.',
    }),
    size: registry.gauge({ name: 'sotto_backup_bytes', help: 'Bytes of the newest backup.' }),
    proven: registry.gauge({
      name: 'sotto_backup_proven_timestamp_seconds',
      help: 'When a backup was last restored and opened whole, in seconds since 1970; never: no number.',
    }),
  }
}
