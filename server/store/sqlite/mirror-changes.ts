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

/** The verbs about mirrors on one connection. */
export function mirrorChanges(db: Database) {
  const secret = '(SELECT id FROM secret WHERE name = :name)'
  const selectBackend = db.prepare<[number]>('SELECT 1 FROM backend WHERE id = ?')
  const setHead = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO mirror (backend, cursor, scope, place, checked_at)
    VALUES (:backend, :cursor, :scope, :place, :checkedAt)
    ON CONFLICT DO UPDATE SET cursor = :cursor, scope = :scope, place = :place,
      checked_at = :checkedAt`)
  const makeDue = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO mirrored (backend, secret, state, reason, since, attempts)
    SELECT :backend, id, 'due', '', :at, 0 FROM secret WHERE name = :name
    ON CONFLICT DO UPDATE SET state = 'due', reason = '', since = :at, attempts = 0, retry_at = NULL
      WHERE state <> 'due'`)
  const save = db.prepare<[Record<string, unknown>]>(`
    UPDATE mirrored SET state = :state, reason = :reason, since = :since, attempts = :attempts,
      retry_at = :retryAt, shown = :shown, intended = :intended
    WHERE backend = :backend AND secret = ${secret}`)
  const drop = db.prepare<[Record<string, unknown>]>(
    `DELETE FROM mirrored WHERE backend = :backend AND secret = ${secret}`,
  )
  const forgetCopies = db.prepare('DELETE FROM stale_copy')
  return {
    takeUp(backend: number, head: MirrorHead, due: readonly string[], at: string): void {
      if (selectBackend.get(backend) === undefined) {
        throw new Refusal('conflict', 'there is no such backend')
      }
      setHead.run({ backend, place: null, checkedAt: null, ...head })
      for (const name of due) {
        if (name.isWellFormed()) makeDue.run({ backend, name, at })
      }
    },

    saveMirrored(backend: number, { shown, intended, retries, ...row }: Mirrored): void {
      const texts = { shown: textOf(shown), intended: textOf(intended) }
      // Any time: when that is, is known to the server alone.
      save.run({ backend, retryAt: retries ? row.since : null, ...row, ...texts })
    },

    dropMirrored(backend: number, name: string): void {
      if (name.isWellFormed()) drop.run({ backend, name })
    },

    forgetStaleCopies: (): void => void forgetCopies.run(),
  }
}

function textOf(shown: Shown | undefined): string | null {
  return shown === undefined ? null : JSON.stringify(shown)
}
