/** Audit records about backups. */
import { asSottoError } from '../../client/api/errors.ts'
import type { Principal } from '../../client/api/types.ts'
import type { Commits } from './commits.ts'

/** How a rehearsal ended. */
export interface Rehearsed {
  readonly backup: string
  /** Values that were opened. */
  readonly values: number
  /** Why the backup is not proven; absent where it is. */
  readonly reason?: string
}

/** Records what one principal does to the backups in one target. */
export class BackupRecords {
  readonly #commits: Commits
  readonly #principal: Principal
  readonly #target: string
  #announced = 0

  constructor(commits: Commits, principal: Principal, target: string) {
    this.#commits = commits
    this.#principal = principal
    this.#target = target
  }

  /** Records a backup under the root key of that fingerprint before it is made: resolves once that is durable. Rejects with `audit_unavailable`. */
  async announce(backup: string, root: string): Promise<void> {
    const { id } = await this.#commits.log.append({ kind: 'backup', ...this.#of(backup), root })
    this.#announced = id
  }

  /** Records that the backup that was announced last was not made. Never rejects. */
  async abandon(reason: string): Promise<void> {
    this.#commits.abandon(this.#announced, reason)
  }

  /** Runs `remove`, which deletes a backup, once a record of that is durable. Rejects as `announce` and `remove`. */
  async prune(backup: string, remove: () => Promise<void>): Promise<void> {
    const { id } = await this.#commits.log.append({ kind: 'prune', ...this.#of(backup) })
    try {
      await remove()
    } catch (error) {
      this.#commits.abandon(id, asSottoError(error).message)
      throw error
    }
  }

  /** Records how a rehearsal ended. Rejects with `audit_unavailable`. */
  async rehearsed({ backup, values, reason }: Rehearsed): Promise<void> {
    await this.#commits.log.append({
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
