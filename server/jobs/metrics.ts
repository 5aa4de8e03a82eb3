/** The metrics of the jobs of a server. */
import { Registry } from '../metrics/registry.ts'

const results = ['ok', 'failed'] as const

/** What is measured of runs. */
export type JobMetrics = ReturnType<typeof jobMetrics>

/** Defines the metrics of jobs. */
export function jobMetrics(registry: Registry = new Registry()) {
  const names: string[] = []
  return {
    /** Names of jobs: there are series for those that are in it. */
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
export type BackupMetrics = ReturnType<typeof backupMetrics>

/** Defines the metrics of backups. They have no number where none are made. */
export function backupMetrics(registry: Registry = new Registry()) {
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
