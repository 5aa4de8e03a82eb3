/** The one row that says how far a store is, to be changed within a transaction. */
import type { Database } from 'better-sqlite3'
import type { AuditMark, KeyChange } from '../contract.ts'

/** The columns that every announced change has. */
export function stampOf({ intent: { id, hash }, by, at }: KeyChange): Record<string, unknown> {
  return { id, hash, by: typeof by === 'string' ? by : JSON.stringify(by), at }
}

export type Head = ReturnType<typeof headOf>

/** The head of the store that a connection writes. */
export function headOf(db: Database) {
  const select = db.prepare<[], number>('SELECT revision FROM meta').pluck()
  const setRevision = db.prepare<[number]>('UPDATE meta SET revision = ?')
  const setMark = db.prepare<[AuditMark]>(`
    UPDATE meta SET audit_id = :id, audit_hash = :hash
    WHERE audit_id IS NULL OR audit_id < :id`)
  const revision = (): number => select.get() as number
  return {
    revision,

    /** Has `note` record the change as the next revision, and returns that. */
    advance({ intent }: KeyChange, note: (revision: number) => void): number {
      const next = revision() + 1
      note(next)
      setRevision.run(next)
      setMark.run(intent)
      return next
    },

    /** Keeps `mark` unless a newer one is known. */
    remember: (mark: AuditMark): void => void setMark.run(mark),
  }
}
