/** The one row that says how far a store is, to be changed within a transaction. */
import type { Database } from 'better-sqlite3'
import type {
  AuditMark,
  KeyChange,
  RevisionMac,
  Signed,
  StandingChange,
  StoredStanding,
} from '../contract.ts'
import { keysShape } from '../shapes.ts'
import { Refusal } from './faults.ts'
import { keyLookUps } from './key-lookups.ts'

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
  const insertMac = db.prepare<[Record<string, unknown>]>(
    'INSERT OR REPLACE INTO change_mac (revision, state, mac) VALUES (:revision, :state, :mac)',
  )
  const countStart = db.prepare<[string]>('UPDATE meta SET starts = starts + 1, host = ?')
  const starts = db.prepare<[], number>('SELECT starts FROM meta').pluck()
  const noteStart = db.prepare<[number, string]>('INSERT INTO start (number, record) VALUES (?, ?)')
  const setAdopted = db.prepare<[string]>('UPDATE meta SET adopted = 1, host = ?')
  const setStanding = db.prepare<[Record<string, unknown>]>(`
    UPDATE meta SET adopted = :adopted, starts = :starts, host = :host, macs_from = :macsFrom,
      checked = :checked, checked_digest = :digest, mac = :mac`)
  const signStore = ({
    adopted,
    macsFrom,
    checked,
    digest,
    mac,
    ...standing
  }: StoredStanding): void =>
    void setStanding.run({
      ...standing,
      adopted: adopted ? 1 : 0,
      macsFrom: macsFrom ?? null,
      checked: checked ?? 0,
      digest: digest ?? null,
      mac: mac ?? null,
    })
  const sign = ({ revision: of, state, mac }: RevisionMac): void =>
    void insertMac.run({ revision: of, state: state ?? null, mac: mac ?? null })
  const revision = (): number => select.get() as number
  const keys = keyLookUps.keys.prepare(db)
  return {
    revision,

    /** Has `note` record the change as the next revision, and returns that. */
    advance(change: KeyChange & Signed, note: (revision: number) => void): number {
      const { intent, signed, shape, standing } = change
      if (shape !== undefined && shape !== keysShape(keys())) {
        throw new Refusal('conflict', 'the keys were changed meanwhile')
      }
      const next = revision() + 1
      note(next)
      if (signed) sign({ revision: next, ...signed })
      if (standing) signStore(standing)
      setRevision.run(next)
      setMark.run(intent)
      return next
    },

    /** Keeps `mark` unless a newer one is known. */
    remember: (mark: AuditMark): void => void setMark.run(mark),

    started: ({ intent, standing }: StandingChange & Signed, host: string): number => {
      setMark.run(intent)
      if (standing) signStore(standing)
      else countStart.run(host)
      const number = starts.get() as number
      noteStart.run(number, `${intent.id} ${intent.hash}`)
      return number
    },

    adopt: ({ intent, standing }: StandingChange & Signed, host: string): void => {
      setMark.run(intent)
      if (standing) signStore(standing)
      else setAdopted.run(host)
    },

    signChanges: (macs: readonly RevisionMac[]): void => macs.forEach(sign),
    signStore,
  }
}
