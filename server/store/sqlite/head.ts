/** The one row that says how far a store is, to be changed within a transaction. */
import type { Database } from 'better-sqlite3'
import type { AuditMark } from '../contract.ts'

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

  /** Notes the change `revision`, which `intent` announced. */
  advance(revision: number, intent: AuditMark): void {
    this.#setRevision.run(revision)
    this.#setMark.run(intent)
  }

  /** Keeps `mark` unless a newer one is known. */
  remember(mark: AuditMark): void {
    this.#setMark.run(mark)
  }
}
