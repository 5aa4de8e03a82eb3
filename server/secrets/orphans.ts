/**
 * Removes orphans from backends: values of versions that were removed here, and of writes that failed. What
 * could not be removed stays on the list.
 */
import { asSottoError } from '../../client/api/errors.ts'
import type { Orphan, Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Values } from '../backends/values.ts'
import type { Locks } from '../catalog/locks.ts'

/** What orphans are cleared with. */
export interface OrphansParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly values: Values
  /** Those of the secrets, so that a write that is under way is not taken for one that failed. */
  readonly locks: Locks
}

/** Places that are looked at in one go. */
const BATCH = 100

/** The orphans of one store. */
export class Orphans {
  readonly #parts: OrphansParts

  constructor(parts: OrphansParts) {
    this.#parts = parts
  }

  /**
   * Removes what can be removed, until `signal` is aborted. Resolves with a line for the operator; rejects
   * with the reason when something could not be removed.
   */
  async clear(signal: AbortSignal): Promise<string> {
    let cleared = 0
    const failures = new Map<number, unknown>()
    for (let cursor = 0; !signal.aborted; ) {
      const places = await this.#parts.store.orphans(cursor, BATCH)
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
  async #clear(place: Orphan): Promise<boolean> {
    const { store, cache, values, locks } = this.#parts
    const { backend, name, incarnation, version } = place
    return locks.withLock(name, async () => {
      const found = await cache.read(name, version)
      const kept = found?.versions.get(version)
      // It was written after the list was made: it is not an orphan any more.
      if (kept?.backend === backend && found?.row.incarnation === incarnation) return false
      await values.remove(backend, { name, incarnation, version })
      await store.forgetOrphan(place)
      return true
    })
  }
}
