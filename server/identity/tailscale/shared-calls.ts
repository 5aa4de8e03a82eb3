/**
 * Calls that are shared by those who wait for the same answer at the same time. As in a group
 * commit, a call that is under way is never joined: its answer may be older than the request. Who
 * comes while one is under way waits for the next one, together with all who come until that begins.
 */
import { SottoError } from '../../../client/api/errors.ts'

/** A call that begins when the one before it has ended. */
interface Next<T> extends PromiseWithResolvers<T> {
  readonly call: () => Promise<T>
}

/** The call of a key that is under way, and the one that follows if anybody waits for it. */
interface Turn<T> {
  next: Next<T> | undefined
}

/** Keys that may be asked about at once. */
const MAX_KEYS = 1024

/** Shares calls by key; at most one call of a key is under way. */
export class SharedCalls<T> {
  readonly #turns = new Map<string, Turn<T>>()
  readonly #maxKeys: number

  constructor(maxKeys: number = MAX_KEYS) {
    this.#maxKeys = maxKeys
  }

  /**
   * Resolves with the answer of a call that begins now or later, never of one that began before, or
   * rejects as it does. All calls of one `key` must ask the same. Rejects with `overloaded` when too
   * many keys are being asked about.
   */
  ask(key: string, call: () => Promise<T>): Promise<T> {
    const turn = this.#turns.get(key)
    if (turn) {
      turn.next ??= { ...Promise.withResolvers<T>(), call }
      return turn.next.promise
    }
    if (this.#turns.size >= this.#maxKeys) {
      const error = new SottoError('overloaded', `${this.#maxKeys} callers are being named already`)
      return Promise.reject(error)
    }
    const first: Turn<T> = { next: undefined }
    this.#turns.set(key, first)
    return this.#run(key, first, call)
  }

  async #run(key: string, turn: Turn<T>, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } finally {
      const { next } = turn
      turn.next = undefined
      if (next) next.resolve(this.#run(key, turn, next.call))
      else this.#turns.delete(key)
    }
  }
}
