/**
 * Commits changes, and keeps the audit log and the store in agreement: an intent that is on the log was carried out, or
 * a second record says that it was not; and neither can lose its newest part unnoticed.
 */
import type { AuditLog } from '../../audit/log.ts'
import type { Recovered } from '../../audit/recovery.ts'
import type { Receipt } from '../../audit/record.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'

/** How often an outcome that is not known yet is looked for, in milliseconds. */
const RETRY_MS = 1000
/** How often the store is told how far the log is, in milliseconds. */
const REMEMBER_MS = 10_000

/** Opens the log. `accept` sees what was found before anything is written, and may reject. */
export type OpenLog = (
  revision: () => number,
  accept: (recovered: Recovered) => Promise<void>,
) => Promise<AuditLog>

/** What log and store are kept in agreement with. */
export interface CommitsParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly openLog: OpenLog
  /** The record `id` as it stands on the log; undefined where there is none. */
  readonly findRecord: (id: number) => Promise<Receipt | undefined>
}

/** The log and the store of a running server. */
export class Commits {
  readonly #store: Store
  readonly #cache: SecretCache
  #log!: AuditLog
  #revision = 0
  #remembered = 0
  #remembering: NodeJS.Timeout | undefined
  #closed = false
  #changed = (): void => {}
  /** Commits that failed and whose outcome the store did not tell yet. */
  #doubts = 0
  readonly #unresolved = new Set<Promise<void>>()

  private constructor(store: Store, cache: SecretCache) {
    this.#store = store
    this.#cache = cache
  }

  /**
   * Opens the log beside the store, and closes what a crash left open: intents that the store does
   * not know are recorded as abandoned. Rejects with `audit_cut` when the log lacks what the store
   * remembers, with `store_behind` when the store lacks what the log tells, and then wrote nothing.
   */
  static async open(parts: CommitsParts): Promise<Commits> {
    const { store, cache, openLog, findRecord } = parts
    const commits = new Commits(store, cache)
    const head = await store.head()
    commits.#revision = head.revision
    let recovered: Recovered | undefined
    commits.#log = await openLog(
      () => commits.#revision,
      async (found) => {
        recovered = found
        await refuseDisagreement(store, found, findRecord)
      },
    )
    await commits.#closeOpen(recovered?.open ?? [])
    commits.#remembering = setInterval(() => void commits.#remember(), REMEMBER_MS).unref()
    return commits
  }

  /** The log that agrees with the store. */
  get log(): AuditLog {
    return this.#log
  }

  /** Has `act` called after each change of the store. */
  whenChanged(act: () => void): void {
    this.#changed = act
  }

  /**
   * Runs `commit`, which carries out `intent` on the secret `name` (undefined: on none), and settles
   * the intent. Rejects with what `commit` rejects with; an outcome that is not known then is looked
   * for until it is.
   */
  async carryOut(
    name: string | undefined,
    intent: Receipt,
    commit: () => Promise<number>,
  ): Promise<void> {
    try {
      const revision = await commit()
      this.#revision = Math.max(this.#revision, revision)
      this.#log.settle(intent.id)
      if (name !== undefined) this.#cache.drop(name)
      this.#changed()
    } catch (error) {
      const { code } = asSottoError(error)
      if (code === 'store_unavailable') {
        if (name !== undefined) this.#cache.doubt(name)
        this.#begin(this.#resolve(name, intent))
      } else {
        this.abandon(intent.id, code)
      }
      throw error
    }
  }

  /** Records that what the record `id` announced did not happen: now, or when the log is back. */
  abandon(id: number, reason: string): void {
    this.#begin(this.#retry(() => this.#log.append({ kind: 'abandoned', of: id, reason })))
  }

  /** Rejects with `store_unavailable` from a commit that failed until the store tells its outcome. */
  async check(): Promise<void> {
    if (this.#doubts === 0) return
    throw new SottoError(
      'store_unavailable',
      `The store takes no changes: the outcome of ${this.#doubts} is not known`,
    )
  }

  /** Lets the store know how far the log is, and ends. */
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

  /** Finds out whether a commit that was given up on came to pass, and says so on the log. */
  async #resolve(name: string | undefined, intent: Receipt): Promise<void> {
    this.#doubts++
    await this.#retry(async () => {
      // The writer works in order: once it answers, the commit is done or never will be.
      await this.#store.check()
      const committed = await this.#store.committed([intent.id])
      this.#revision = Math.max(this.#revision, (await this.#store.head()).revision)
      if (name !== undefined) this.#cache.settle(name)
      if (committed.has(intent.id)) this.#log.settle(intent.id)
      else this.abandon(intent.id, 'the store did not take it')
    })
    this.#doubts--
  }

  /** Runs `attempt` until it succeeds or the server closes; the next start goes on from there. */
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
      // The store says by itself when it fails; the next round tells it again.
    }
  }
}

async function refuseDisagreement(
  store: Store,
  { last, revision }: Recovered,
  findRecord: CommitsParts['findRecord'],
): Promise<void> {
  const head = await store.head()
  if (head.audit) {
    const known = head.audit
    const found = known.id === last?.id ? last : await findRecord(known.id)
    if (!found) {
      throw new SottoError(
        'audit_cut',
        `The store knows of audit record ${known.id}, and the log ends at ${last?.id ?? 0}`,
        {
          hint: 'Put the missing part of the audit log back; the store was not changed. If that part is lost, `sotto restore` makes a store that goes on without it.',
        },
      )
    }
    if (found.hash !== known.hash) {
      throw new SottoError(
        'audit_cut',
        `Audit record ${known.id} is not the one that the store knows: the log was altered or belongs to another copy`,
        {
          hint: 'Put the audit log back that belongs to this store. If it is lost, `sotto restore` makes a store that goes on without it.',
        },
      )
    }
  }
  if (revision > head.revision) {
    throw new SottoError(
      'store_behind',
      `The audit log tells of revision ${revision}, and the store is at ${head.revision}: it was rolled back`,
      {
        hint: 'Put the newer store back. If it is lost, `sotto restore FILE --to DIR --audit LOG` goes on from a backup on purpose, and gives no number twice.',
      },
    )
  }
}
