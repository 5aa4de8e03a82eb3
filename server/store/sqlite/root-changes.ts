/** Does changes of the root key in a transaction that its caller began: it is replaced, and so are the MACs by it. */
import type { Database } from 'better-sqlite3'
import type {
  KeyChange,
  MacOwner,
  NewRoot,
  RemadeMac,
  StoredKey,
  StoredKeys,
  StoredLasting,
  StoredWrap,
} from '../contract.ts'
import { Refusal } from './faults.ts'
import { type Head, stampOf } from './head.ts'
import { keyLookUps } from './key-lookups.ts'

/** What each verb is about, to follow "Cannot" in a message. */
export const rootWords = {
  rotateRoot: () => 'replace the root key',
  remakeMacs: (of: string, { length }: readonly RemadeMac[]) => `replace ${length} MACs of ${of}s`,
  settleRoot: (_: KeyChange, number: number) => `erase what root key ${number - 1} gave`,
}

/** The verbs about the root key on one connection. */
export function rootChanges(db: Database, head: Head) {
  const read = keyLookUps.keys.prepare(db)
  const insertChange = db.prepare<[Record<string, unknown>]>(`
    INSERT INTO root_change (revision, audit_id, audit_hash, verb, number, by, at)
    VALUES (:revision, :id, :hash, :verb, :number, :by, :at)`)
  const updateWrap = db.prepare<[Record<string, unknown>]>(`
    UPDATE root_wrap SET created_at = :createdAt, proven_at = :provenAt, wrapped = :wrapped
    WHERE provider = :provider AND fingerprint = :fingerprint`)
  const setKey = db.prepare<[StoredKey]>(`
    INSERT INTO keyring_entry (id, created_at, state, sealed)
    VALUES (:id, :createdAt, :state, :sealed)
    ON CONFLICT DO UPDATE SET state = :state, sealed = :sealed`)
  const eraseLasting = db.prepare('DELETE FROM lasting_key')
  const insertLasting = db.prepare<[StoredLasting]>(`
    INSERT INTO lasting_key (purpose, number, created_at, sealed)
    VALUES (:purpose, :number, :createdAt, :sealed)`)
  const setRoot = db.prepare<[number, Uint8Array]>('UPDATE root_key SET number = ?, previous = ?')
  const erasePrevious = db.prepare('UPDATE root_key SET previous = NULL')
  const setMac = {
    secret: db.prepare<[RemadeMac]>(
      'UPDATE secret SET mac = :mac WHERE name = :name AND mac = :expected',
    ),
    backend: db.prepare<[RemadeMac]>(
      'UPDATE backend SET mac = :mac WHERE name = :name AND mac = :expected',
    ),
    rotation: db.prepare<[RemadeMac]>(
      'UPDATE rotation SET mac = :mac WHERE name = :name AND mac = :expected',
    ),
  }

  const note = (change: KeyChange, verb: string, number: number): number =>
    head.advance(change, (revision) => {
      insertChange.run({ revision, ...stampOf(change), verb, number })
    })

  return {
    rotateRoot(change: KeyChange, next: NewRoot, expected: StoredKeys): number {
      const stored = read()
      if (stored.root.previous !== undefined) {
        throw new Refusal('conflict', 'the MACs by the one before are not all replaced yet')
      }
      if (shapeOf(stored, withBytes) !== shapeOf(expected, withBytes)) {
        throw new Refusal('conflict', 'the keys were changed meanwhile')
      }
      if (!follows(next, stored)) throw new Refusal('internal', 'it does not fit the stored keys')
      for (const wrap of next.wraps) updateWrap.run({ ...wrap, provenAt: wrap.provenAt ?? null })
      for (const entry of next.keys) setKey.run(entry)
      eraseLasting.run()
      for (const lasting of next.lasting) insertLasting.run(lasting)
      setRoot.run(next.root.number, next.root.previous)
      return note(change, 'rotate', next.root.number)
    },

    remakeMacs(of: MacOwner, remade: readonly RemadeMac[]): void {
      for (const each of remade) setMac[of].run(each)
    },

    settleRoot(change: KeyChange, number: number): number {
      const { root, keys } = read()
      if (root.number !== number || root.previous === undefined) {
        throw new Refusal('conflict', 'there is nothing of it')
      }
      if (keys.some(({ state }) => state === 'retiring')) {
        throw new Refusal('conflict', 'an entry of the keyring is retiring')
      }
      erasePrevious.run()
      return note(change, 'settle', number)
    },
  }
}

type Bytes = (sealed: Uint8Array) => string
const withBytes: Bytes = (sealed) => Buffer.from(sealed).toString('base64')
const withoutBytes: Bytes = () => ''

type Shape = Pick<StoredKeys, 'keys' | 'wraps' | 'root'>

/** Two are equal where no wrap and no entry differs. */
function shapeOf({ keys, wraps, root }: Shape, bytes: Bytes): string {
  return JSON.stringify([
    root.number,
    keys.map(({ id, createdAt, state, sealed }) => [id, createdAt, state, bytes(sealed)]),
    wraps.map(({ provider, fingerprint, wrapped }: StoredWrap) => [
      provider,
      fingerprint,
      bytes(wrapped),
    ]),
  ])
}

/** Whether `next` has the same wraps, and the entries as retiring ones before a new one that is active. */
function follows({ keys, wraps, root }: NewRoot, stored: StoredKeys): boolean {
  const retired = stored.keys.map((each): StoredKey => ({ ...each, state: 'retiring' }))
  const due = { keys: retired, wraps: stored.wraps, root: { number: stored.root.number + 1 } }
  const added = keys.at(-1)
  return (
    shapeOf({ keys: keys.slice(0, -1), wraps, root }, withoutBytes) ===
      shapeOf(due, withoutBytes) &&
    added?.state === 'active' &&
    stored.keys.every(({ id }) => id < added.id)
  )
}
