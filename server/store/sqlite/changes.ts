/**
 * Everything that changes a store, a verb of the contract each: its words in messages, and how the writing
 * connection does it, in a transaction that its caller began.
 */
import type { Database } from 'better-sqlite3'
import type { AuditMark, StandingChange } from '../contract.ts'
import { backendChanges, backendWords } from './backend-changes.ts'
import { committedIn } from './change-lookups.ts'
import { type Head, headOf } from './head.ts'
import { keyChanges, keyWords } from './key-changes.ts'
import { rootChanges, rootWords } from './root-changes.ts'
import { rotationChanges, rotationWords } from './rotation-changes.ts'
import { mirrorChanges, mirrorWords } from './mirror-changes.ts'
import { secretChanges, secretWords } from './secret-changes.ts'

/** The verbs about the log of changes itself. */
function logChanges(db: Database, head: Head) {
  const { revision, remember, started, adopt, signChanges, signStore } = head
  const settle = db.prepare('UPDATE meta SET settled = settled + 1')
  const found = committedIn(db)
  return {
    committed(intents: readonly number[]): Set<number> {
      // A commit that failed in its sync left frames in the log that a crash would revive. This write
      // takes their place, so that an intent that is reported absent stays absent. It must change a byte,
      // or SQLite leaves it out.
      settle.run()
      return found(intents)
    },

    remember,
    started,
    adopt,
    signChanges,
    signStore,

    /** Proves that the writer answers. */
    ping: (): void => void revision(),
  }
}

/** The verbs on one connection. */
function verbsOf(db: Database) {
  const head = headOf(db)
  const backends = backendChanges(db, head)
  return {
    ...logChanges(db, head),
    ...secretChanges(db, head, backends),
    ...keyChanges(db, head),
    ...rootChanges(db, head),
    ...backends,
    ...rotationChanges(db, head),
    ...mirrorChanges(db),
  }
}

const words = {
  committed: () => 'read which changes were committed',
  remember: ({ id }: AuditMark) => `remember audit record ${id}`,
  started: (_: StandingChange, host: string) => `note a start at ${host}`,
  adopt: (_: StandingChange, host: string) => `adopt it at ${host}`,
  signChanges: () => 'authenticate its changes',
  signStore: () => 'authenticate it',
  ping: () => 'check the store',
  ...secretWords,
  ...keyWords,
  ...rootWords,
  ...backendWords,
  ...rotationWords,
  ...mirrorWords,
}

type Verbs = ReturnType<typeof verbsOf>

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

/**
 * Does verbs on one connection. Throws a Refusal where the change does not follow from what is stored; its
 * caller undoes what was done.
 */
export function changesOf(db: Database): (verb: Verb, args: readonly unknown[]) => unknown {
  const does = verbsOf(db)
  return (verb, args) => (does[verb] as (...given: unknown[]) => unknown)(...args)
}
