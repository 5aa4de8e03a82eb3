/** What the audit log is told of backups, by those who the gate gave leave. */
import type { AuditLog } from '../../audit/log.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { Principal } from '../../client/api/types.ts'
import type { Commits } from './commits.ts'

/** What the records are written with. */
interface RecordParts {
  readonly log: AuditLog
  readonly commits: Commits
}

/** How a rehearsal ended. */
export interface Rehearsed {
  readonly backup: string
  /** Values that were opened. */
  readonly values: number
  /** Why the backup is not proven; absent where it is. */
  readonly reason?: string
}

/** Records of what one principal does to the backups in one target. */
export class BackupRecords {
  readonly #parts: RecordParts
  readonly #principal: Principal
  readonly #target: string
  #announced = 0

  constructor(parts: RecordParts, principal: Principal, target: string) {
    this.#parts = parts
    this.#principal = principal
    this.#target = target
  }

  /** Resolves when a record of the backup is durable: before it is there. Rejects with `audit_unavailable`. */
  async announce(backup: string): Promise<void> {
    const { id } = await this.#parts.log.append({ kind: 'backup', ...this.#of(backup) })
    this.#announced = id
  }

  /** The backup that was announced last does not come to be. Never rejects. */
  abandon(reason: string): Promise<void> {
    this.#parts.commits.abandon(this.#announced, reason)
    return Promise.resolve()
  }

  /** Runs `remove`, which deletes a backup, once a record of it is durable. Rejects as `announce` and `remove` do. */
  async prune(backup: string, remove: () => Promise<void>): Promise<void> {
    const { id } = await this.#parts.log.append({ kind: 'prune', ...this.#of(backup) })
    try {
      await remove()
    } catch (error) {
      this.#parts.commits.abandon(id, asSottoError(error).message)
      throw error
    }
  }

  /** Records how a rehearsal ended. Rejects with `audit_unavailable`. */
  async rehearsed({ backup, values, reason }: Rehearsed): Promise<void> {
    await this.#parts.log.append({
      kind: 'rehearsal',
      ...this.#of(backup),
      values,
      result: reason === undefined ? 'ok' : 'failed',
      ...(reason !== undefined && { reason }),
    })
  }

  #of(backup: string) {
    return { backup, target: this.#target, principal: this.#principal }
  }
}
