/**
 * Commits changes, and keeps the audit log and the store in agreement: an intent in the log was carried out,
 * or a second record says that it was not. Neither can lose its newest part unnoticed. The cache forgets what
 * was changed.
 */
import type { AuditLog } from '../../audit/log.ts'
import type { NewestIntents } from '../../audit/newest-intents.ts'
import type { Opening } from '../../audit/recovery.ts'
import type { Receipt } from '../../audit/record.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'
import { Position, type ReadPosition } from './position.ts'
import type { StoreMacs } from './store-macs.ts'

/** How often the store is asked for an outcome that is not known yet, in milliseconds. */
const RETRY_MS = 1000
/** How often the head of the log is stored, in milliseconds. */
const REMEMBER_MS = 10_000

/** Opens the log, whose batches have MACs from the record `macsFrom()` on. `accept` sees what was found before anything is written, and may reject. */
export type OpenLog = (
  revision: () => number,
  macsFrom: () => number,
  accept: (found: Opening) => Promise<void>,
) => Promise<AuditLog>

/** What a commit is about: the secret of that name, the backends, the rotations, or the keys. */
export type Subject = { readonly secret: string } | 'backends' | 'rotations' | 'keys'

/** What log and store are kept in agreement with. */
export interface CommitsParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly openLog: OpenLog
  /** The record `id` of the log; undefined where there is none. */
  readonly findRecord: (id: number) => Promise<Receipt | undefined>
  /** The newest intents of the log. */
  readonly newestIntents: () => Promise<NewestIntents>
  /** Verifies the store, and has its changes authenticated. */
  readonly openMacs: (found: Opening) => Promise<Pick<StoreMacs, 'from'>>
}

/** The log and the store of a running server. */
export class Commits {
  readonly #store: Store
  readonly #cache: SecretCache
  readonly #position: Position
  #log!: AuditLog
  #revision: number
  #remembered = 0
  #remembering: NodeJS.Timeout | undefined
  #closed = false
  readonly #listeners: ((subject: Subject) => void)[] = []
  /** Commits that failed and whose outcome is not known yet. */
  #doubts = 0
  readonly #unresolved = new Set<Promise<void>>()

  private constructor(store: Store, cache: SecretCache, revision: number) {
    this.#store = store
    this.#cache = cache
    this.#revision = revision
    this.#position = new Position(store.identity.branch, revision)
  }

  /**
   * Opens the log of the store, and closes what a crash left open: intents that the store does not have are
   * recorded as abandoned. Rejects with `audit_cut` when the log lacks what the store remembers, and with
   * `store_behind` when the store lacks what is in the log; then nothing was written.
   */
  static async open(parts: CommitsParts): Promise<Commits> {
    const { store, cache, openLog, openMacs } = parts
    const { revision } = await store.head()
    const commits = new Commits(store, cache, revision)
    let recovered: Opening | undefined
    let macs: Pick<StoreMacs, 'from'> | undefined
    commits.#log = await openLog(
      () => commits.#revision,
      () => macs?.from ?? 0,
      async (found) => {
        recovered = found
        await refuseDisagreement(parts, found)
        macs = await openMacs(found)
      },
    )
    const { open = [], macsFrom, last = null } = recovered ?? {}
    // A log that has them from its first record on says so in each segment.
    if (macs && macsFrom === undefined && last !== null) {
      await commits.#log.append({ kind: 'format', macsFrom: macs.from })
    }
    await commits.#closeOpen(open)
    commits.#remembering = setInterval(() => void commits.#remember(), REMEMBER_MS).unref()
    return commits
  }

  /** The log that agrees with the store. */
  get log(): AuditLog {
    return this.#log
  }

  /** How far what is read from now on is, at least. */
  get position(): ReadPosition {
    return this.#position
  }

  /** Calls `listener`, which never throws, after each commit: also after one that is only found later. */
  whenCommitted(listener: (subject: Subject) => void): void {
    this.#listeners.push(listener)
  }

  /**
   * Runs `commit`, which carries out `intent` on `subject`, and settles the intent. Rejects with what
   * `commit` rejects with. If the outcome is not known then, the store is asked until it is.
   */
  async carryOut(subject: Subject, intent: Receipt, commit: () => Promise<number>): Promise<void> {
    let revision: number
    this.#position.begin()
    try {
      revision = await commit()
    } catch (error) {
      const { code } = asSottoError(error)
      if (code === 'store_unavailable') this.#begin(this.#resolve(subject, intent))
      else {
        this.abandon(intent.id, code)
        this.#position.end()
      }
      // What it was computed from may be old.
      if (typeof subject === 'object') this.#cache.drop(subject.secret)
      throw error
    }
    this.#revision = Math.max(this.#revision, revision)
    this.#log.settle(intent.id)
    if (typeof subject === 'object') this.#cache.drop(subject.secret)
    this.#position.end(revision)
    this.#committed(subject)
  }

  /** Records that what the record `id` announced did not happen: now, or when the log is back. */
  abandon(id: number, reason: string): void {
    this.#begin(this.#retry(() => this.#log.append({ kind: 'abandoned', of: id, reason })))
  }

  /** Rejects with `store_unavailable` while the outcome of a commit is not known. */
  async check(): Promise<void> {
    if (this.#doubts === 0) return
    throw new SottoError(
      'store_unavailable',
      `The store takes no changes: the outcome of ${this.#doubts} is not known`,
    )
  }

  /** Stores the head of the log, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#remembering)
    this.#closed = true
    await Promise.all(this.#unresolved)
    await this.#remember()
  }

  async #closeOpen(open: readonly Receipt[]): Promise<void> {
    const committed = await this.#store.committed(open.map(({ id }) => id))
    for (const { id } of open) {
      if (committed.has(id)) this.#log.settle(id)
      else await this.#log.append({ kind: 'abandoned', of: id, reason: 'the server stopped first' })
    }
  }

  /** Finds out whether a commit that ended with an error happened, and records it if not. */
  async #resolve(subject: Subject, intent: Receipt): Promise<void> {
    const name = typeof subject === 'object' ? subject.secret : undefined
    if (name !== undefined) this.#cache.doubt(name)
    this.#doubts++
    let happened = false
    await this.#retry(async () => {
      // The writer works in order: once it answers, the commit is done or never will be.
      await this.#store.check()
      const committed = await this.#store.committed([intent.id])
      this.#revision = Math.max(this.#revision, (await this.#store.head()).revision)
      this.#position.reached(this.#revision)
      if (name !== undefined) this.#cache.settle(name)
      happened = committed.has(intent.id)
      if (happened) this.#log.settle(intent.id)
      else this.abandon(intent.id, 'the store did not take it')
    })
    this.#doubts--
    this.#position.end()
    if (happened) this.#committed(subject)
  }

  #committed(subject: Subject): void {
    for (const listener of this.#listeners) listener(subject)
  }

  /** Runs `attempt` until it succeeds or the server closes; the next start continues from there. */
  async #retry(attempt: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await attempt()
        return
      } catch {
        if (this.#closed) return
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
    }
  }

  #begin(task: Promise<void>): void {
    const tracked = task.finally(() => this.#unresolved.delete(tracked))
    this.#unresolved.add(tracked)
  }

  async #remember(): Promise<void> {
    const head = this.#log.head
    if (!head || head.id === this.#remembered) return
    try {
      await this.#store.remember(head)
      this.#remembered = head.id
    } catch {
      // The store reports its failures itself; the next round tries again.
    }
  }
}

/**
 * Compares what was found of the log with the store. Rejects with `audit_cut` when the log lacks what the store
 * remembers, and with `store_behind` when the store lacks what is in the log.
 */
export async function refuseDisagreement(
  {
    store,
    findRecord,
    newestIntents,
  }: Pick<CommitsParts, 'findRecord' | 'newestIntents'> & {
    readonly store: Pick<Store, 'head' | 'committed'>
  },
  { last, revision, open }: Opening,
): Promise<void> {
  const head = await store.head()
  const known = head.audit
  if (known) {
    const found = known.id === last?.id ? last : await findRecord(known.id)
    if (!found) {
      throw refusal(
        'audit_cut',
        `The store has audit record ${known.id}, and the log ends at ${last?.id ?? 0}`,
        'Put the missing part of the audit log back; the store was not changed. If that part is lost, `sotto restore` makes a store that continues without it.',
      )
    }
    if (found.hash !== known.hash) {
      throw refusal(
        'audit_cut',
        `Audit record ${known.id} is not the one that the store has: the log was altered or belongs to another copy`,
        'Put the audit log back that belongs to this store. If it is lost, `sotto restore` makes a store that continues without it.',
      )
    }
  }
  if (revision > head.revision) {
    throw refusal(
      'store_behind',
      `The audit log has revision ${revision}, and the store is at ${head.revision}: it was rolled back`,
      NEWER_STORE,
    )
  }
  const newest = await newestIntents()
  const committed = await store.committed(newest.intents.map(({ id }) => id))
  const missing = firstMissing(newest, committed, new Set(open.map(({ id }) => id)))
  if (missing !== undefined) {
    throw refusal(
      'store_behind',
      `The audit log has the change of record ${missing}, and the store does not: it was rolled back`,
      NEWER_STORE,
    )
  }
  const due = newest.revisionWith(committed)
  if (due > head.revision) {
    throw refusal(
      'store_behind',
      `The audit log and the changes in the store make revision ${due}, and the store is at ${head.revision}: it was rolled back`,
      NEWER_STORE,
    )
  }
}

const NEWER_STORE =
  'Put the newer store back. If it is lost, `sotto restore FILE --to DIR --audit LOG` continues from a backup on purpose, and gives no number twice.'

/** The first intent that was carried out, by what the log tells, and that the store does not have. */
function firstMissing(
  { intents }: NewestIntents,
  committed: ReadonlySet<number>,
  open: ReadonlySet<number>,
): number | undefined {
  return intents.find(({ id }) => !committed.has(id) && !open.has(id))?.id
}

function refusal(code: 'audit_cut' | 'store_behind', message: string, hint: string): SottoError {
  return new SottoError(code, message, { hint })
}
