/** Brings one secret over, and compares it. Whatever was done before is found and not done again. */
import { timingSafeEqual } from 'node:crypto'
import { SottoError } from '../../../client/api/errors.ts'
import { valueLimit } from '../../value.ts'
import { isComplete, type Task } from './plan.ts'
import { digestOf, isDown, type Side } from './side.ts'

/** The two servers, and what their values are compared under. */
export interface Ends {
  readonly source: Side
  readonly destination: Side
  /** Random, of this run alone. */
  readonly key: Uint8Array
}

/** What came of one secret. */
export interface Copied {
  /** Versions that were written. */
  readonly added: readonly number[]
  /** Whether the active version was set by a call of its own. */
  readonly activated: boolean
  /** Why it did not come over whole; absent where it did. */
  readonly reason?: string
}

/**
 * Writes what the destination lacks of a secret and makes the right version active. Where a version
 * of it has another value there, nothing is written. Throws only what stops the whole import: a
 * server that is down, and the reason of an aborted signal.
 */
export async function copySecret(task: Task, ends: Ends): Promise<Copied> {
  const nothing = { added: [], activated: false }
  if (task.obstacle) return { ...nothing, reason: task.obstacle.reason }
  if (isComplete(task)) return nothing
  const difference = await differenceIn(task, task.shared, ends)
  if (difference !== undefined) return { ...nothing, reason: difference }
  const added: number[] = []
  const troubles: string[] = []
  for (const version of task.missing) {
    const trouble = await asReason(() => bring(task.name, version, ends))
    if (trouble === undefined) added.push(version)
    else {
      troubles.push(trouble)
      if (version === task.active) break
    }
  }
  const last = added.at(-1) ?? task.heldActive
  const activeIsThere = task.shared.includes(task.active) || added.includes(task.active)
  const activated = last !== task.active && activeIsThere
  if (activated) {
    const trouble = await asReason(() =>
      ends.destination.ask((client, options) => client.activate(task.name, task.active, options)),
    )
    if (trouble !== undefined) troubles.push(trouble)
  }
  return { added, activated, ...(troubles.length > 0 && { reason: troubles.join('; ') }) }
}

/**
 * Reads versions of a secret from both ends and resolves with how they differ, undefined where they
 * are equal. Throws what stops the whole import.
 */
export async function differenceIn(
  { name }: Task,
  versions: readonly number[],
  { source, destination, key }: Ends,
): Promise<string | undefined> {
  return asReason(async () => {
    for (const version of versions) {
      const wanted = await source.digest(name, version, key)
      const found = await destination.digest(name, version, key)
      if (!timingSafeEqual(wanted, found)) return conflict(version)
    }
    return undefined
  })
}

/** Copies one version; resolves with what is in the way. */
async function bring(
  name: string,
  version: number,
  { source, destination, key }: Ends,
): Promise<string | undefined> {
  const { Value } = await source.ask((client, options) => client.getVersion(name, version, options))
  try {
    const limit = valueLimit(name, version)
    if (Value.length > limit) {
      return `version ${version} has ${Value.length} bytes, and a request to Sotto holds ${limit}`
    }
    await destination.ask((client, options) => client.createVersion(name, version, Value, options))
    return undefined
  } catch (error) {
    if (!(error instanceof SottoError) || error.code !== 'version_taken') throw error
    // Also the answer to a second attempt, where that to the first was lost.
    return await numberTaken(name, version, digestOf(Value, key), { destination, key })
  } finally {
    Value.fill(0)
  }
}

async function numberTaken(
  name: string,
  version: number,
  wanted: Uint8Array,
  { destination, key }: Pick<Ends, 'destination' | 'key'>,
): Promise<string | undefined> {
  try {
    const found = await destination.digest(name, version, key)
    return timingSafeEqual(wanted, found) ? undefined : conflict(version)
  } catch (error) {
    if (!(error instanceof SottoError) || error.code !== 'not_found') throw error
    return `version ${version} was deleted at the destination, and no number is given twice`
  }
}

function conflict(version: number): string {
  return `version ${version} has another value at the destination`
}

/** The reason that `act` gives, or that it fails for. Throws what stops the whole import. */
async function asReason(
  act: () => Promise<string | undefined> | Promise<void>,
): Promise<string | undefined> {
  try {
    return (await act()) ?? undefined
  } catch (error) {
    if (!(error instanceof SottoError) || isDown(error)) throw error
    return error.message
  }
}
