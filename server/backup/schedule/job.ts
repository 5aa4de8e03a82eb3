/** The job that makes backups, and deletes those that are not to be kept any longer. */
import type { AuditLog } from '../../../audit/log.ts'
import { asSottoError } from '../../../client/api/errors.ts'
import { createBackup, type CreateParts } from '../create.ts'
import { ownBackups } from '../name.ts'
import { expired, type Keep } from '../retention.ts'
import type { TargetObject } from '../targets/target.ts'
import type { BackupRecords } from '../../gate/backup-records.ts'
import type { Gate } from '../../gate/gate.ts'
import type { BackupMemory, KnownBackup } from './memory.ts'
import { BACKUP_JOB } from './names.ts'
import type { Job, Run } from '../../jobs/scheduler.ts'

/** What backups are made of, and with. */
export interface BackupJobParts
  extends Pick<CreateParts, 'store' | 'keyring' | 'auditDirectory' | 'target'> {
  readonly gate: Gate
  readonly log: AuditLog
  /** Undefined: nothing is deleted. */
  readonly keep: Keep | undefined
  readonly memory: BackupMemory
  readonly clock: () => Date
  /** Where words for the operator go. */
  readonly say: (line: string) => void
}

/** When a server that started looks whether there is a backup of what it has. */
const FIRST_MS = 10_000
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** How old the newest backup becomes where nothing changes: some less than a day, since runs are an hour apart. */
const DAILY_MS = 23 * HOUR_MS

/** Makes backups: one at most a minute when something changed, and one a day at least. */
export class BackupJob {
  readonly #parts: BackupJobParts
  #wanted = false
  #prunesAfter = 0

  constructor(parts: BackupJobParts) {
    this.#parts = parts
  }

  /** The job, for the scheduler, which is to be woken when something changes. */
  job(): Job {
    return {
      name: BACKUP_JOB,
      action: 'backup',
      rules: [{ action: ['backup'], secret: ['*'] }],
      everyMs: HOUR_MS,
      firstMs: FIRST_MS,
      restMs: MINUTE_MS,
      retryMs: MINUTE_MS,
      maxMs: HOUR_MS,
      run: (run) => this.#run(run),
    }
  }

  /** The next run makes a backup also where nothing changed. */
  want(): void {
    this.#wanted = true
  }

  async #run({ call, signal }: Run): Promise<string> {
    const { store, target, gate, clock } = this.#parts
    const pass = await gate.operate(call, 'backup', BACKUP_JOB)
    const wanted = this.#wanted
    this.#wanted = false
    const objects = await target.list()
    const newest = ownBackups(objects, store.identity.id).at(-1)
    await this.#note(newest)
    const { revision } = await store.head()
    const age = newest && clock().getTime() - Date.parse(newest.created)
    const same = newest?.revision === revision && (age ?? DAILY_MS) < DAILY_MS
    if (same && !wanted) return `nothing changed since ${newest.name}`
    const records = pass.backups(target.description)
    const logHead = () => this.#parts.log.head
    const made = await createBackup({ ...this.#parts, logHead, objects, records, signal })
    const { name, size, manifest } = made
    await this.#note({ name, size, created: manifest.created })
    const { secrets, versions } = manifest.store.counts
    const words = `${name}: ${size} bytes; secrets: ${secrets}; values: ${versions}`
    return words + (await this.#prune([...objects, made], records, signal))
  }

  /** Deletes what is not kept; resolves with words about it. What cannot be deleted is left for an hour. */
  async #prune(
    objects: readonly TargetObject[],
    records: BackupRecords,
    signal: AbortSignal,
  ): Promise<string> {
    const { keep, target, store, memory, say, clock } = this.#parts
    if (keep === undefined || clock().getTime() < this.#prunesAfter) return ''
    let deleted = 0
    try {
      const names = objects.map(({ name }) => name)
      const needed = new Set(memory.proven && [memory.proven.name])
      for (const name of expired(names, store.identity.id, keep, needed)) {
        signal.throwIfAborted()
        await records.prune(name, () => target.delete(name))
        deleted++
      }
      return deleted === 0 ? '' : `; ${deleted} deleted that were not to be kept`
    } catch (error) {
      const { code, message } = asSottoError(error)
      this.#prunesAfter = clock().getTime() + HOUR_MS
      // A lock is meant to do that.
      if (code !== 'backup_locked') say(`old backups were not deleted: ${message}`)
      return `; ${deleted} deleted, then: ${message}`
    }
  }

  async #note(newest: KnownBackup | undefined): Promise<void> {
    const { memory, say } = this.#parts
    const known = newest && { name: newest.name, size: newest.size, created: newest.created }
    await memory.noteNewest(known).catch((error: Error) => {
      say(`what is known of the backups was not written down: ${error.message}`)
    })
  }
}
