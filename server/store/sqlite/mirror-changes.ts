/** Does changes of what mirrors show, in a transaction that its caller began. */
import type { Database } from 'better-sqlite3'
import type { Mirrored, MirrorHead, Shown } from '../mirrors.ts'
import { Refusal } from './faults.ts'

const noteState = (backend: number): string => `note the state of the mirror in backend ${backend}`

/** What each verb is about, to follow "Cannot" in a message. */
export const mirrorWords = {
  takeUp: noteState,
  saveMirrored: noteState,
  dropMirrored: noteState,
  forgetStaleCopies: () => 'note that copies in backends were reported',
}

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

  takeUp(backend: number, head: MirrorHead, due: readonly string[], at: string): void {
    if (this.#backend.get(backend) === undefined) {
      throw new Refusal('conflict', 'there is no such backend')
    }
    const { cursor, scope, place = null, checkedAt = null } = head
    this.#setHead.run({ backend, cursor, scope, place, checkedAt })
    for (const name of due) {
      if (name.isWellFormed()) this.#makeDue.run({ backend, name, at })
    }
  }

  saveMirrored(backend: number, mirrored: Mirrored): void {
    this.#save.run({ backend, ...columnsOf(mirrored) })
  }

  dropMirrored(backend: number, name: string): void {
    if (name.isWellFormed()) this.#drop.run({ backend, name })
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
