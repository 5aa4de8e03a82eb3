/**
 * Everything that a store can be asked, a verb of the contract each: its words in messages, and how a
 * connection that cannot write answers it. Look-ups take microseconds and are answered whole; walks may be
 * long, and are answered in slices of one snapshot.
 */
import { statSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import type { StoreHead, StoreIdentity, StoreMeasure } from '../contract.ts'
import { backendLookUps, backendWalks } from './backend-lookups.ts'
import { changeLookUps } from './change-lookups.ts'
import { keyLookUps } from './key-lookups.ts'
import { schemaOf } from './migrate.ts'
import { mirrorLookUps } from './mirror-lookups.ts'
import { NO_BRANCH } from '../branch.ts'
import { rotationLookUps } from './rotation-changes.ts'
import { secretLookUps, secretWalks } from './secret-lookups.ts'

/** What is counted, and the revision at which it was so. */
type Counts = Pick<StoreMeasure, 'secrets' | 'versions'> & { readonly revision: number }

type IdentityRow = Omit<StoreIdentity, 'former' | 'development' | 'adopted' | 'restored'> &
  Readonly<Record<'development' | 'adopted', number>>

export const lookUps = {
  identify: {
    words: 'read which store it is',
    prepare(db: Database) {
      // A store that was not migrated yet is of the branch that has no id.
      const old = schemaOf(db) < 8
      const select = db.prepare<[], IdentityRow>(`
        SELECT store_id AS id, development, created_at AS createdAt,
          ${old ? `'${NO_BRANCH}' AS branch, 1 AS adopted, 0 AS starts, '' AS host` : 'branch, adopted, starts, host'}
        FROM meta`)
      const restores = changeLookUps.restores.prepare(db)
      return (): StoreIdentity => {
        const row = select.get()
        if (!row) throw new Error('the store has no identity')
        const all = restores()
        const restored = all.at(-1)
        const [development, adopted] = [row.development === 1, row.adopted === 1]
        const former = [...new Set(all.map((each) => each.former))]
        return { ...row, former, development, adopted, ...(restored && { restored }) }
      }
    },
  },
  head: {
    words: 'read its head',
    prepare(db: Database) {
      const select = db.prepare<[], { revision: number; id: number | null; hash: string | null }>(
        'SELECT revision, audit_id AS id, audit_hash AS hash FROM meta',
      )
      return (): StoreHead => {
        const row = select.get()
        if (!row) throw new Error('the store has no head')
        const { revision, id, hash } = row
        return { revision, audit: id === null || hash === null ? null : { id, hash } }
      }
    },
  },
  isOwnStart: {
    words: 'read which starts are its own',
    prepare(db: Database) {
      const select = db.prepare<[string]>('SELECT 1 FROM start WHERE record = ?')
      return (record: string): boolean => select.get(record) !== undefined
    },
  },
  measure: {
    words: 'measure it',
    prepare(db: Database) {
      const revision = db.prepare<[], number>('SELECT revision FROM meta').pluck()
      const count = db.prepare<[], Counts>(`
        SELECT revision, (SELECT count(*) FROM secret WHERE active <> 0) AS secrets,
          (SELECT count(*) FROM version WHERE key_id IS NOT NULL) AS versions
        FROM meta`)
      let counted: Counts | undefined
      return (): StoreMeasure => {
        // Only after a change: 100,000 secrets take some milliseconds.
        if (counted?.revision !== revision.get()) counted = count.get()
        const { secrets = 0, versions = 0 } = counted ?? {}
        const log = statSync(`${db.name}-wal`, { throwIfNoEntry: false })
        const databaseBytes = statSync(db.name).size
        return { secrets, versions, databaseBytes, logBytes: log?.size ?? 0 }
      }
    },
  },
  ...changeLookUps,
  ...secretLookUps,
  ...keyLookUps,
  ...backendLookUps,
  ...rotationLookUps,
  ...mirrorLookUps,
}

export const walks = { ...secretWalks, ...backendWalks }

type LookUps = typeof lookUps
type Walks = typeof walks

export type LookUp = keyof LookUps
export type Walk = keyof Walks

/** What a look-up or a walk takes. */
export type Asked<V extends LookUp | Walk> = Parameters<ReturnType<(LookUps & Walks)[V]['prepare']>>

/** What a look-up finds. */
export type Found<V extends LookUp> = ReturnType<ReturnType<LookUps[V]['prepare']>>

/** What a walk is of. */
export type Row<V extends Walk> =
  ReturnType<ReturnType<Walks[V]['prepare']>> extends Iterable<infer T> ? T : never

/** What `verb` is about, to follow "Cannot" in a message. */
export function attemptedRead(verb: LookUp | Walk, args: readonly unknown[]): string {
  const { words } = isWalk(verb) ? walks[verb] : lookUps[verb]
  return typeof words === 'string' ? words : words(args[0] as string)
}

export function isWalk(verb: LookUp | Walk): verb is Walk {
  return verb in walks
}
