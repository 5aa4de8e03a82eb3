/**
 * The job that removes orphans from backends: values of versions that were removed here, and of writes that
 * failed. What could not be removed stays on the list.
 */
import { asSottoError } from '../../client/api/errors.ts'
import type { Orphan, Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Values } from '../backends/values.ts'
import type { Locks } from '../catalog/locks.ts'
import type { Job } from '../jobs/scheduler.ts'

/** What orphans are cleared with. */
export interface OrphansParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly values: Values
  /** Those of the secrets, so that a write that is under way is not taken for one that failed. */
  readonly locks: Locks
}

/** The name of the job: it runs after each delete, and from time to time. */
export const ORPHANS_JOB = 'backends'

const MINUTE_MS = 60_000
/** Places that are looked at in one go. */
const BATCH = 100

/** The job that removes what can be removed. A run rejects with the reason when something cannot. */
export function orphansJob(parts: OrphansParts): Job {
  return {
    name: ORPHANS_JOB,
    action: 'backends:edit',
    rules: [],
    everyMs: 60 * MINUTE_MS,
    firstMs: MINUTE_MS / 2,
    retryMs: MINUTE_MS,
    maxMs: 10 * MINUTE_MS,
    run: ({ signal }) => clearAll(parts, signal),
  }
}

async function clearAll(parts: OrphansParts, signal: AbortSignal): Promise<string> {
  let cleared = 0
  const failures = new Map<number, unknown>()
  for (let cursor = 0; !signal.aborted; ) {
    const places = await parts.store.orphans(cursor, BATCH)
    for (const place of places) {
      cursor = place.cursor
      if (signal.aborted || failures.has(place.backend)) continue
      try {
        if (await clear(parts, place)) cleared++
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
async function clear(
  { store, cache, values, locks }: OrphansParts,
  { backend, name, incarnation, version }: Orphan,
): Promise<boolean> {
  return locks.withLock(name, async () => {
    const found = await cache.read(name, version)
    const kept = found?.versions.get(version)
    // It was written after the list was made: it is not an orphan any more.
    if (kept?.backend === backend && found?.row.incarnation === incarnation) return false
    await values.remove(backend, { name, incarnation, version })
    await store.forgetOrphan({ backend, name, incarnation, version })
    return true
  })
}
