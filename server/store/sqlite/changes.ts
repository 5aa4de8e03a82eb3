/**
 * Everything that changes a store, a verb of the contract each: its words in messages, and how the writing
 * connection does it, in a transaction that its caller began.
 */
import type { Database } from 'better-sqlite3'
import type { AuditMark } from '../contract.ts'
import { BackendChanges, backendWords } from './backend-changes.ts'
import { Head } from './head.ts'
import { KeyChanges, keyWords } from './key-changes.ts'
import { MirrorChanges, mirrorWords } from './mirror-changes.ts'
import { SecretChanges, secretWords } from './secret-changes.ts'

/** The verbs about the log of changes itself. */
class LogChanges {
  readonly #head: Head
  readonly #committed
  readonly #settle

  constructor(db: Database, head: Head) {
    this.#head = head
    this.#settle = db.prepare('UPDATE meta SET settled = settled + 1')
    this.#committed = db
      .prepare<[{ intent: number }], number>(`
        SELECT audit_id FROM change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM wrap_change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM keyring_change WHERE audit_id = :intent
        UNION ALL SELECT audit_id FROM backend_change WHERE audit_id = :intent`)
      .pluck()
  }

  committed(intents: readonly number[]): Set<number> {
    // A commit that failed in its sync left frames in the log that a crash would revive. This write
    // takes their place, so that an intent that is reported absent stays absent. It must change a byte, or
    // SQLite leaves it out.
    this.#settle.run()
    return new Set(intents.filter((intent) => this.#committed.get({ intent }) !== undefined))
  }

  remember(mark: AuditMark): void {
    this.#head.remember(mark)
  }

  /** Proves that the writer answers. */
  ping(): void {
    void this.#head.revision
  }
}

const words = {
  committed: () => 'read which changes were committed',
  remember: ({ id }: AuditMark) => `remember audit record ${id}`,
  ping: () => 'check the store',
  ...secretWords,
  ...keyWords,
  ...backendWords,
  ...mirrorWords,
}

type Verbs = LogChanges & SecretChanges & KeyChanges & BackendChanges & MirrorChanges

export type Verb = keyof typeof words

/** What a verb is given. */
export type Given<V extends Verb> = Parameters<Verbs[V]>

/** What a verb returns. */
export type Outcome<V extends Verb> = ReturnType<Verbs[V]>

export const verbs = Object.keys(words) as readonly Verb[]

/** What `verb` is about, to follow "Cannot" in a message. */
export function attempted(verb: Verb, args: readonly unknown[]): string {
  return (words[verb] as (...given: unknown[]) => string)(...args)
}

/** Whether the verb changes a secret. */
export function changesSecret(verb: Verb): boolean {
  return verb in secretWords
}

/** The verbs on one connection. */
export class Changes {
  readonly #doers = new Map<string, Record<string, (...args: unknown[]) => unknown>>()

  constructor(db: Database) {
    const head = new Head(db)
    const backends = new BackendChanges(db, head)
    const add = (doer: object, names: object): void => {
      for (const name of Object.keys(names)) this.#doers.set(name, doer as never)
    }
    add(new LogChanges(db, head), words)
    add(new SecretChanges(db, head, backends), secretWords)
    add(new KeyChanges(db, head), keyWords)
    add(backends, backendWords)
    add(new MirrorChanges(db), mirrorWords)
  }

  /** Throws a Refusal where the change does not follow from what is stored; its caller undoes what was done. */
  apply(verb: Verb, args: readonly unknown[]): unknown {
    return this.#doers.get(verb)?.[verb]?.(...args)
  }
}
