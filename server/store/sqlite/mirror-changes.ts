/** Does changes of what mirrors show, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import { SottoError } from '../../../client/api/errors.ts'
import type { Mirrored, Shown } from '../mirrors.ts'
import { attempted, type MirrorOp } from './messages.ts'

/** The prepared statements of one connection, and what each op does with them. */
export class MirrorChanges {
  readonly #setHead
  readonly #backend
  readonly #makeDue
  readonly #save
  readonly #drop
  readonly #forgetCopies

  constructor(db: Database) {
    const secret = '(SELECT id FROM secret WHERE name = :name)'
    this.#backend = db.prepare<[number]>('SELECT 1 FROM backend WHERE id = ?')
    this.#setHead = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO mirror (backend, cursor, scope, place, checked_at)
      VALUES (:backend, :cursor, :scope, :place, :checkedAt)
      ON CONFLICT DO UPDATE SET cursor = :cursor, scope = :scope, place = :place,
        checked_at = :checkedAt`)
    this.#makeDue = db.prepare<[Record<string, unknown>]>(`
      INSERT INTO mirrored (backend, secret, state, reason, since, attempts)
      SELECT :backend, id, 'due', '', :at, 0 FROM secret WHERE name = :name
      ON CONFLICT DO UPDATE SET state = 'due', reason = '', since = :at, attempts = 0, retry_at = NULL
        WHERE state <> 'due'`)
    this.#save = db.prepare<[Record<string, unknown>]>(`
      UPDATE mirrored SET state = :state, reason = :reason, since = :since, attempts = :attempts,
        retry_at = :retryAt, shown = :shown, intended = :intended
      WHERE backend = :backend AND secret = ${secret}`)
    this.#drop = db.prepare<[Record<string, unknown>]>(
      `DELETE FROM mirrored WHERE backend = :backend AND secret = ${secret}`,
    )
    this.#forgetCopies = db.prepare('DELETE FROM stale_copy')
  }

  /** Does `op`. Throws SottoError `conflict` where there is no such backend. */
  change(op: MirrorOp): void {
    const { backend } = op
    if (op.verb === 'save-mirrored') {
      this.#save.run({ backend, ...columnsOf(op.mirrored) })
    } else if (op.verb === 'drop-mirrored') {
      this.#drop.run({ backend, name: op.name })
    } else {
      if (this.#backend.get(backend) === undefined) {
        throw new SottoError('conflict', `Cannot ${attempted(op)}: there is no such backend`)
      }
      const { cursor, scope, place = null, checkedAt = null } = op.head
      this.#setHead.run({ backend, cursor, scope, place, checkedAt })
      for (const name of op.due) this.#makeDue.run({ backend, name, at: op.at })
    }
  }

  forgetStaleCopies(): void {
    this.#forgetCopies.run()
  }
}

function columnsOf({ shown, intended, retryAt, ...row }: Mirrored): Record<string, unknown> {
  return {
    ...row,
    retryAt: retryAt ?? null,
    shown: textOf(shown),
    intended: textOf(intended),
  }
}

function textOf(shown: Shown | undefined): string | null {
  return shown === undefined ? null : JSON.stringify(shown)
}
