/** The one row that says how far a store is, to be changed within a transaction. */
import type { Database } from 'better-sqlite3'
import type { Principal } from '../../../client/api/types.ts'
import type { AuditMark } from '../contract.ts'

/** What every announced change has. */
export interface Stamp {
  readonly intent: AuditMark
  readonly by: Principal | string
  readonly at: string
}

/** The columns of `stamp`. */
export function stampOf({ intent: { id, hash }, by, at }: Stamp): Record<string, unknown> {
  return { id, hash, by: typeof by === 'string' ? by : JSON.stringify(by), at }
}

/** The prepared statements of one connection. */
export class Head {
  readonly #revision
  readonly #setRevision
  readonly #setMark

  constructor(db: Database) {
    this.#revision = db.prepare<[], number>('SELECT revision FROM meta').pluck()
    this.#setRevision = db.prepare<[number]>('UPDATE meta SET revision = ?')
    this.#setMark = db.prepare<[AuditMark]>(`
      UPDATE meta SET audit_id = :id, audit_hash = :hash
      WHERE audit_id IS NULL OR audit_id < :id`)
  }

  get revision(): number {
    return this.#revision.get() as number
  }

  /** Has `note` record the change as the next revision, and returns that. */
  advance({ intent }: Stamp, note: (revision: number) => void): number {
    const revision = this.revision + 1
    note(revision)
    this.#setRevision.run(revision)
    this.#setMark.run(intent)
    return revision
  }

  /** Keeps `mark` unless a newer one is known. */
  remember(mark: AuditMark): void {
    this.#setMark.run(mark)
  }
}
