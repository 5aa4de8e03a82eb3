/** Locks by key: tasks that share a key run one after another, in the order in which they came. */
import { orLate, processTimers } from '../../client/platform/timers.ts'
import { quote, SottoError } from '../../client/api/errors.ts'

/** How long a task waits for its turn by default, in milliseconds. */
const WAIT_MS = 5000

/** A lock for each key. */
export class Locks {
  readonly #waitMs: number
  /** Resolves, never rejects, once all tasks of a key until now are over. */
  readonly #last = new Map<string, Promise<unknown>>()

  constructor(waitMs: number = WAIT_MS) {
    this.#waitMs = waitMs
  }

  /**
   * Runs `task` after every earlier task of `key`, whether those failed or not. Rejects with
   * `store_unavailable` when they are not over in time, and then `task` never runs.
   */
  async withLock<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = before === undefined ? task() : this.#after(before, key, task)
    const over = Promise.allSettled([before, mine])
    this.#last.set(key, over)
    void this.#forget(key, over)
    return mine
  }

  /** Removes the lock of a key whose last task is over. */
  async #forget(key: string, over: Promise<unknown>): Promise<void> {
    await over
    if (this.#last.get(key) === over) this.#last.delete(key)
  }

  async #after<T>(before: Promise<unknown>, key: string, task: () => Promise<T>): Promise<T> {
    const first = await orLate(before, { timers: processTimers, ms: this.#waitMs })
    if (first !== 'late') return task()
    const why = `a change before it did not come to an end within ${this.#waitMs} ms`
    throw new SottoError('store_unavailable', `Cannot change ${quote(key)}: ${why}`, {
      hint: 'Look at the disks of the store and of the audit log.',
    })
  }
}
