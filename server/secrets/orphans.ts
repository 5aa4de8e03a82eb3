/**
 * The job that removes orphans from backends: values of versions that were removed here, and of writes that
 * failed. What could not be removed stays on the list.
 */
import { asSottoError } from '../../client/api/errors.ts'
import type { Orphan, Store } from '../store/contract.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import type { Values } from '../backends/values.ts'
import type { Gate } from '../gate/gate.ts'
import type { PlaceRecords } from '../gate/place-records.ts'
import type { Locks } from '../catalog/locks.ts'
import type { Job } from '../jobs/scheduler.ts'
import type { Adoption } from '../store/adoption.ts'
import { DOUBT_MS, type Doubts } from './doubts.ts'

/** What orphans are cleared with. */
export interface OrphansParts {
  readonly store: Store
  readonly cache: SecretCache
  readonly values: Values
  readonly registry: BackendRegistry
  readonly gate: Gate
  readonly adoption: Adoption
  /** Where a write may still be under way. */
  readonly doubts: Doubts
  /** Has the job run in so many milliseconds. */
  readonly later: (ms: number) => void
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
    // What a process before this one gave up may still be under way.
    firstMs: DOUBT_MS,
    retryMs: MINUTE_MS,
    maxMs: 10 * MINUTE_MS,
    run: ({ call, signal }) => clearAll(parts, parts.gate.places(call), signal),
  }
}

async function clearAll(
  parts: OrphansParts,
  records: PlaceRecords,
  signal: AbortSignal,
): Promise<string> {
  let cleared = 0
  const failures = new Map<number, unknown>()
  for (let cursor = 0; !signal.aborted; ) {
    const places = await parts.store.orphans(cursor, BATCH)
    if (places.length > 0) parts.adoption.demand('remove values from backends')
    for (const place of places) {
      cursor = place.cursor
      if (signal.aborted || failures.has(place.backend)) continue
      try {
        if (await clear(parts, records, place)) cleared++
      } catch (error) {
        failures.set(place.backend, error)
      }
    }
    if (places.length < BATCH) break
  }
  const wait = parts.doubts.waitMs
  if (wait !== undefined) parts.later(wait)
  const [failure] = failures.values()
  if (failures.size > 0) throw asSottoError(failure)
  return cleared === 0 ? 'nothing to clear' : `cleared ${cleared} values`
}

/** Whether there was something to clear. */
async function clear(
  { store, cache, values, registry, locks, doubts }: OrphansParts,
  records: PlaceRecords,
  { backend, name, incarnation, version }: Orphan,
): Promise<boolean> {
  return locks.withLock(name, async () => {
    if (doubts.has({ backend, name, incarnation, version })) return false
    // A change that was given up may still be committed, and say that the value is kept there.
    if (cache.isUncertain(name)) return false
    const found = await cache.read(name, version)
    const sealed = found?.row.incarnation === incarnation && found.versions.get(version)
    const kept = sealed ? sealed.backend : undefined
    // It was written after the list was made: it is not an orphan any more.
    if (kept === backend) return false
    const place = { name, incarnation, version }
    // What is not where the store says may be here alone: after a restore, or a move whose destination lost it.
    if (sealed) await values.demandReadable(place, sealed)
    const act = { verb: 'remove', secret: name, secretVersion: version } as const
    await records.during({ ...act, backend: (await registry.find(backend)).name }, () =>
      doubts.removing({ backend, ...place }, () => values.remove(backend, place, kept)),
    )
    await store.forgetOrphan({ backend, ...place })
    return true
  })
}
