/** Decides what a mirror does about one secret, from what is wanted, what was written, and what is there. */
import type { MirrorSpec } from '../../client/api/mirrors.ts'
import type { Mirrored, Shown } from '../store/mirrors.ts'

/** What is done about drift. `adopt`, for one sync alone, also overwrites what someone else made. */
export type OnDrift = MirrorSpec['onDrift'] | 'adopt'

/** A version that other readers are to see. */
export interface Wanted {
  readonly incarnation: number
  readonly version: number
}

/** What is in the backend. */
export interface Seen {
  readonly revision: number
  /** What of ours it is; absent where it is not ours, or was deleted. */
  readonly ours?: Shown | undefined
  /** Whether it is marked as of this store, but of a branch or a copy that this server is not. */
  readonly branched?: boolean
  /** Whether its newest revision was deleted. */
  readonly deleted: boolean
  /** When the backend deletes it by itself. Absent: never. UTC. */
  readonly expires?: string | undefined
}

/** What someone else did. */
export type Drift = 'foreign' | 'edited' | 'deleted' | 'removed' | 'recreated' | 'branched'

/** What to do. */
export type Decision =
  /** It is as it should be. */
  | { readonly act: 'nothing'; readonly shown: Shown; readonly expires?: string }
  /** It has the revision `expected` (0: there is none). `undoes` is what someone else did. */
  | { readonly act: 'write'; readonly expected: number; readonly undoes?: Drift }
  | { readonly act: 'remove'; readonly expected: number }
  /** It was deleted here, and stays there. */
  | { readonly act: 'keep' }
  /** Nothing of it is there, nor should be. */
  | { readonly act: 'forget' }
  | { readonly act: 'report'; readonly drift: Drift }

/** What each drift is, for an operator. */
export const driftReasons: Readonly<Record<Drift, string>> = {
  foreign: 'someone else made it there',
  edited: 'someone else changed it there',
  deleted: 'someone else deleted it there',
  removed: 'someone else removed it there, with its history',
  recreated: 'someone else removed it there and recreated it',
  branched: 'another branch or a copy of this store wrote it there',
}

/**
 * Decides. `wanted` is undefined where the secret is deleted here, `seen` where nothing is in the backend.
 * What someone else wrote is never removed; what was never ours, or is of another branch, is only overwritten by
 * `adopt`.
 */
export function decide(
  wanted: Wanted | undefined,
  { shown }: Pick<Mirrored, 'shown'>,
  seen: Seen | undefined,
  { onDrift, onDelete }: Pick<MirrorSpec, 'onDelete'> & { readonly onDrift: OnDrift },
): Decision {
  const known = shown !== undefined || seen?.ours !== undefined
  if (!wanted) {
    if (!known) return { act: 'forget' }
    if (onDelete === 'keep') return { act: 'keep' }
    if (!seen) return { act: 'forget' }
    if (seen.ours) return { act: 'remove', expected: seen.revision }
    return { act: 'report', drift: driftOf(shown, seen) }
  }
  const drift = seen ? driftOf(shown, seen) : 'removed'
  if (!seen && !known) return { act: 'write', expected: 0 }
  if (seen?.ours) {
    const { ours, expires } = seen
    const isWanted = ours.incarnation === wanted.incarnation && ours.version === wanted.version
    if (!isWanted) return { act: 'write', expected: seen.revision }
    return { act: 'nothing', shown: ours, ...(expires !== undefined && { expires }) }
  }
  const isStrange = drift === 'foreign' || drift === 'branched'
  const undo = onDrift === 'adopt' || (onDrift === 'overwrite' && !isStrange)
  if (!undo) return { act: 'report', drift }
  return { act: 'write', expected: seen?.revision ?? 0, undoes: drift }
}

/** What someone else did, where `decision` is about that. */
export function driftIn(decision: Decision): Drift | undefined {
  if (decision.act === 'report') return decision.drift
  return decision.act === 'write' ? decision.undoes : undefined
}

function driftOf(shown: Shown | undefined, seen: Seen): Drift {
  if (seen.branched === true) return 'branched'
  if (!shown) return 'foreign'
  if (seen.revision < shown.revision) return 'recreated'
  return seen.deleted ? 'deleted' : 'edited'
}
