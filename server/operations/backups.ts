/** The backups of a server, as operators and probes see them. */
import { SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { keepText, type Keep } from '../backup/retention.ts'
import type { BackupTarget } from '../backup/targets/target.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { BackupJob } from '../backup/schedule/job.ts'
import type { BackupMemory } from '../backup/schedule/memory.ts'
import { BACKUP_JOB, REHEARSAL_JOB } from '../backup/schedule/names.ts'
import type { BackupMetrics } from '../jobs/metrics.ts'
import { shown } from './jobs.ts'
import type { JobState, Scheduler } from '../jobs/scheduler.ts'

/** The parts of a server that makes backups. */
export interface BackupsParts {
  readonly scheduler: Scheduler
  readonly job: BackupJob
  readonly target: BackupTarget
  readonly keep: Keep | undefined
  readonly memory: BackupMemory
}

/** The backups of a server, as callers with rules see them. */
export class Backups {
  readonly #gate: Gate
  readonly #parts: BackupsParts | undefined

  /** Without parts, of a server that makes none. */
  constructor(gate: Gate, parts: BackupsParts | undefined) {
    this.#gate = gate
    this.#parts = parts
  }

  /**
   * Makes a backup, or joins one that is being made, and resolves with how that ended, or with that it still
   * runs: `job-run` waits for it then. Needs the action `backup`. Rejects with `not_found` where none are made.
   */
  async create(call: Call): Promise<OperationResponse<'backup-create'>> {
    const pass = await this.#gate.operate(call, 'backup', 'backup-create')
    const { job, scheduler } = this.#made()
    await pass.announce()
    job.want()
    return shown(await scheduler.run(BACKUP_JOB))
  }

  /** What is known of the backups. Needs the action `backup`. Rejects with `not_found` where none are made. */
  async status(call: Call): Promise<OperationResponse<'backup-status'>> {
    const pass = await this.#gate.operate(call, 'backup', 'backup-status')
    const { target, keep, memory } = this.#made()
    await pass.record('ok')
    const { newest, proven } = memory
    const [backup, rehearsal] = this.#states()
    return {
      Target: target.description,
      Keep: keep === undefined ? 'all' : keepText(keep),
      ...(newest && { Newest: shownBackup(newest) }),
      ...(proven && { Proven: { ...shownBackup(proven), At: proven.at, Values: proven.values } }),
      ...(backup && { Backup: shown(backup) }),
      ...(rehearsal && { Rehearsal: shown(rehearsal) }),
    }
  }

  /** What `/readyz` shows. A failed backup does not make a server unready: it still serves. */
  facts(): Record<string, string> {
    if (this.#parts === undefined) return {}
    const { newest, proven } = this.#parts.memory
    const [backup, rehearsal] = this.#states()
    return {
      backup: resultOf(backup, newest !== undefined),
      ...(newest && { backupCreated: newest.created }),
      ...(rehearsal && { rehearsal: resultOf(rehearsal, proven !== undefined) }),
      ...(proven && { backupProven: proven.at }),
    }
  }

  /** Shows the same on the page of metrics. */
  follow({ newest, proven, size }: BackupMetrics): void {
    const memory = this.#parts?.memory
    if (memory === undefined) return
    newest.follow(() => memory.newest && Date.parse(memory.newest.created) / 1000)
    size.follow(() => memory.newest?.size)
    proven.follow(() => memory.proven && Date.parse(memory.proven.at) / 1000)
  }

  #made(): BackupsParts {
    if (this.#parts !== undefined) return this.#parts
    throw new SottoError('not_found', 'This server makes no backups', {
      hint: 'Start it with --backup-to.',
    })
  }

  #states(): [JobState | undefined, JobState | undefined] {
    const states = this.#parts?.scheduler.states() ?? []
    const named = (wanted: string) => states.find(({ name }) => name === wanted)
    return [named(BACKUP_JOB), named(REHEARSAL_JOB)]
  }
}

function shownBackup({ name, created, size }: NonNullable<BackupMemory['newest']>) {
  return { Name: name, Created: created, Size: size }
}

/** How the last run ended; before the first one, what is known from before. */
function resultOf(state: JobState | undefined, before: boolean): string {
  return state?.lastResult ?? (before ? 'ok' : 'none')
}
