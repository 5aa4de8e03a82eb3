/** Audit records of what is written to backends and removed there: each stands before the act. */
import type { PlaceEntry } from '../../audit/record.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { Commits } from './commits.ts'

/** What is about to be done, and where. */
export type PlaceAct = Pick<PlaceEntry, 'verb' | 'backend' | 'secret' | 'secretVersion'>

/** Records what one principal does in backends. */
export class PlaceRecords {
  readonly #commits: Commits
  readonly #actor: Pick<PlaceEntry, 'request' | 'principal'>

  constructor(commits: Commits, actor: Pick<PlaceEntry, 'request' | 'principal'>) {
    this.#commits = commits
    const { request, principal } = actor
    this.#actor = { request, principal }
  }

  /**
   * Runs `run`, which does `act`, once a record of that is durable. Where it says false or rejects, a second
   * record says that it was not done; not where nothing is known of that. Rejects with `audit_unavailable`,
   * and then it did not run, or as `run`.
   */
  async during<T>(act: PlaceAct, run: () => Promise<T>): Promise<T> {
    const { log } = this.#commits
    const { id } = await log.append({ kind: 'place', ...this.#actor, ...act })
    try {
      const done = await run()
      if (done === false) this.#commits.abandon(id, 'what is there is not ours')
      return done
    } catch (error) {
      const { code, message } = asSottoError(error)
      if (code !== 'backend_unavailable') this.#commits.abandon(id, message)
      throw error
    }
  }
}
