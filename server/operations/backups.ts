/** The backups of a server, as operators and probes see them. */
import { SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { keepText, type Keep } from '../backup/retention.ts'
import type { BackupTarget } from '../backup/targets/target.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { BackupJob } from '../backup/schedule/job.ts'
import type { BackupMemory } from '../backup/schedule/memory.ts'
import { BACKUP_JOB, REHEARSAL_JOB } from '../backup/schedule/names.ts'
import { backupFindings, type BackupMetrics } from '../jobs/metrics.ts'
import { shown } from './jobs.ts'
import type { JobState, Scheduler } from '../jobs/scheduler.ts'

/** The parts of a server that makes backups. */
export interface BackupsParts {
  readonly scheduler: Scheduler
  readonly job: BackupJob
  readonly target: BackupTarget
  readonly keep: Keep | undefined
  readonly memory: BackupMemory
  readonly clock: () => Date
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
   * Makes a backup of what there is now, and resolves with how that ended, or with that it still runs: `job-run`
   * waits for it then. Needs the action `backup`. Rejects with `not_found` where none are made, and with `overloaded`
   * where one that began before is not ended soon: it need not have what was changed since, and the next one follows.
   */
  async create(call: Call): Promise<OperationResponse<'backup-create'>> {
    const pass = await this.#gate.operate(call, 'backup', 'backup-create')
    const { job, scheduler } = this.#made()
    await pass.announce()
    const wanted = job.want()
    const state = await scheduler.run(BACKUP_JOB)
    if (job.hasBegun(wanted)) return shown(this.#gate, call, state)
    // That one was under way already.
    if (!state.running) return shown(this.#gate, call, await scheduler.run(BACKUP_JOB))
    scheduler.wake(BACKUP_JOB)
    const message = 'Cannot make a backup yet: one that began before is still being made'
    throw new SottoError('overloaded', message, { hint: 'The next one follows by itself.' })
  }

  /**
   * Has the next run use the target as it is: also where nothing is there any more, or another server with this
   * store used it. Needs the action `backup`. Rejects with `not_found` where none are made.
   */
  async adopt(call: Call): Promise<OperationResponse<'backup-adopt'>> {
    const pass = await this.#gate.operate(call, 'backup', 'backup-adopt')
    const { job, scheduler } = this.#made()
    await pass.announce()
    await job.takeTarget()
    return shown(this.#gate, call, await scheduler.run(BACKUP_JOB))
  }

  /** As `adopt`, for an adoption of the whole store: the run comes soon. Does nothing where no backups are made. */
  async takeTarget(): Promise<void> {
    if (this.#parts === undefined) return
    const { job, scheduler } = this.#parts
    await job.takeTarget()
    scheduler.wake(BACKUP_JOB)
  }

  /** Where backups go; undefined where none are made. */
  get target(): string | undefined {
    return this.#parts?.target.description
  }

  /** What is known of the backups. Needs the action `backup`. Rejects with `not_found` where none are made. */
  async status(call: Call): Promise<OperationResponse<'backup-status'>> {
    const pass = await this.#gate.operate(call, 'backup', 'backup-status')
    const { target, keep, memory, job } = this.#made()
    await pass.record('ok')
    const { newest, proven } = memory
    const [backup, rehearsal] = this.#states()
    return {
      Target: target.description,
      Keep: keep === undefined ? 'all' : keepText(keep),
      ...(newest && { Newest: shownBackup(newest) }),
      ...(proven && { Proven: { ...shownBackup(proven), At: proven.at, Values: proven.values } }),
      ...(backup && { Backup: shown(this.#gate, call, backup) }),
      ...(rehearsal && { Rehearsal: shown(this.#gate, call, rehearsal) }),
      Findings: job.findings.all().map(({ kind, words }) => ({ Kind: kind, Words: words })),
    }
  }

  /** What `/readyz` shows. A failed backup does not make a server unready: it still serves. */
  facts(): Record<string, string> {
    if (this.#parts === undefined) return {}
    const { memory, job } = this.#parts
    const { newest, proven } = memory
    const [backup, rehearsal] = this.#states()
    const result = resultOf(backup, newest !== undefined)
    return {
      // A run that ended well may have found what is odd.
      backup: result === 'failed' ? result : (job.findings.worst() ?? result),
      ...(rehearsal && { rehearsal: resultOf(rehearsal, proven !== undefined) }),
    }
  }

  /** Shows the same on the page of metrics. */
  follow({ newest, proven, size, findings }: BackupMetrics): void {
    if (this.#parts === undefined) return
    const { memory, job, clock } = this.#parts
    const there = (found: { readonly name: string } | undefined) =>
      found !== undefined && !memory.lost.includes(found.name)
    // Where the age is not known, a date ahead of the clock would pass for fresh for as long as it is ahead.
    const momentOf = (date: string, age: number | undefined): number | undefined => {
      const now = clock().getTime()
      const at = age === undefined ? Date.parse(date) : now - age
      return at <= now ? at / 1000 : undefined
    }
    newest.follow(() => {
      if (memory.newest === undefined || !there(memory.newest)) return undefined
      return momentOf(memory.newest.created, memory.newestAge)
    })
    size.follow(() => (there(memory.newest) ? memory.newest?.size : undefined))
    proven.follow(() => {
      if (memory.proven === undefined || !there(memory.proven)) return undefined
      return momentOf(memory.proven.at, memory.provenAge)
    })
    for (const kind of backupFindings) {
      findings.with({ kind }).follow(() => job.findings.count(kind))
    }
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
