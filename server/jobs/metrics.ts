/** The metrics of the jobs of a server. */
import { Registry } from '../metrics/registry.ts'

const results = ['ok', 'failed'] as const

/** What can be odd about backups: held back, lost, not what its name says, dated as it cannot be, of another branch. */
export const backupFindings = ['held', 'lost', 'stranger', 'dated', 'other', 'skipped'] as const

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
      help: 'Runs of a job that ended.',
      labels: { job: names, result: results },
    }),
    running: registry.gauges({
      name: 'sotto_job_running',
      help: '1 while a job runs.',
      labels: { job: names },
    }),
    lastSuccess: registry.gauges({
      name: 'sotto_job_last_success_timestamp_seconds',
      help: 'End of the last success since the start.',
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
      help: 'When the newest backup was made.',
    }),
    size: registry.gauge({ name: 'sotto_backup_bytes', help: 'Bytes of the newest backup.' }),
    findings: registry.gauges({
      name: 'sotto_backup_findings',
      help: 'Findings about the backups, by kind.',
      labels: { kind: backupFindings },
    }),
    proven: registry.gauge({
      name: 'sotto_backup_proven_timestamp_seconds',
      help: 'When a backup last passed a restore test.',
    }),
  }
}
