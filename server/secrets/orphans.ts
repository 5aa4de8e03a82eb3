/**
 * Clears what is left over in backends: values of versions that were removed here, and of writes that came
 * to nothing. What could not be cleared stays on the list.
 */
import { asSottoError } from '../../client/api/errors.ts'
import type { Leftover, Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Homes } from '../backends/values.ts'
import type { Turns } from '../catalog/locks.ts'

/** What leftovers are cleared with. */
export interface LeftoversParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly homes: Homes
  /** Those of the secrets: a write that is under way is not taken for one that came to nothing. */
  readonly turns: Turns
}

/** Places that are looked at in one go. */
const BATCH = 100

/** The leftovers of one store. */
export class Leftovers {
  readonly #parts: LeftoversParts

  constructor(parts: LeftoversParts) {
    this.#parts = parts
  }

  /**
   * Clears what can be cleared, until `signal` is aborted. Resolves with a line for the operator; rejects
   * with why, when something could not be cleared.
   */
  async clear(signal: AbortSignal): Promise<string> {
    let cleared = 0
    const failures = new Map<number, unknown>()
    for (let cursor = 0; !signal.aborted; ) {
      const places = await this.#parts.store.leftovers(cursor, BATCH)
      for (const place of places) {
        cursor = place.cursor
        if (signal.aborted || failures.has(place.backend)) continue
        try {
          if (await this.#clear(place)) cleared++
        } catch (error) {
          failures.set(place.backend, error)
        }
      }
      if (places.length < BATCH) break
    }
    const [failure] = failures.values()
    if (failures.size > 0) throw asSottoError(failure)
    return cleared === 0 ? 'nothing to clear' : `cleared ${cleared} values`
  }

  /** Whether there was something to clear. */
  async #clear(place: Leftover): Promise<boolean> {
    const { store, cache, homes, turns } = this.#parts
    const { backend, name, incarnation, version } = place
    return turns.take(name, async () => {
      const found = await cache.read(name, version)
      const kept = found?.versions.get(version)
      // It was written after the list was made: it is no leftover any more.
      if (kept?.backend === backend && found?.row.incarnation === incarnation) return false
      await homes.remove(backend, { name, incarnation, version })
      await store.forgetLeftover(place)
      return true
    })
  }
}
