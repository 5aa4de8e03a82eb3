/** What a secret is while it is rotated: whether it is as the run left it, or someone else changed it. */
import type { SecretCache } from '../catalog/cache.ts'
import type { HistoryItem, SecretRow, Store } from '../store/contract.ts'
import { type HeldReason, isUnderWay, type Origin, type RotationState, type Step } from './state.ts'

/** The principal of what the job does. */
export const ROTATIONS_USER = 'system:rotations'

/** A secret, and what was done to it. */
export interface SecretView {
  readonly row: SecretRow
  readonly origin: Origin
  readonly history: readonly HistoryItem[]
}

/** The secret `name`; undefined where it does not exist. Both of a view are of one moment. */
export async function viewOf(
  {
    cache,
    store,
  }: { readonly cache: Pick<SecretCache, 'row'>; readonly store: Pick<Store, 'history'> },
  name: string,
): Promise<SecretView | undefined> {
  const row = await cache.row(name)
  if (!row || row.active === 0) return undefined
  const history = await store.history(name)
  const again = await cache.row(name)
  // Changed while it was looked at: the next look is at something whole.
  if (!again || Buffer.compare(row.mac, again.mac) !== 0) return viewOf({ cache, store }, name)
  const { incarnation, active, versions } = row
  const revision = history.at(-1)?.revision ?? 0
  return { row, history, origin: { incarnation, active, latest: versions.at(-1) ?? 0, revision } }
}

/** Versions that the run itself added since it began. */
export function ownVersions({ row, history }: SecretView, { from }: RotationState): number[] {
  const since = from?.revision ?? Infinity
  const added = history.flatMap(({ verb, version, by, revision }) => {
    const isOwn = revision > since && by.user === ROTATIONS_USER
    return isOwn && (verb === 'append' || verb === 'fill') && version !== undefined ? [version] : []
  })
  return added.filter((version) => row.versions.includes(version))
}

/**
 * Why a run cannot go on with the secret as it is: undefined where it can. Before the candidate is active nobody else
 * may have changed the secret; after that, the candidate must still be the active one.
 */
export function obstacle(
  view: SecretView | undefined,
  { from, candidate, activated = false }: RotationState,
): HeldReason | undefined {
  if (!view || view.row.incarnation !== from?.incarnation) return 'deleted'
  const { row, history } = view
  if (candidate !== undefined && !row.versions.includes(candidate)) return 'changed'
  if (activated) return row.active === candidate ? undefined : 'changed'
  const byHand = history.some(
    ({ verb, by, revision }) =>
      revision > from.revision && verb !== 'rehome' && by.user !== ROTATIONS_USER,
  )
  return byHand ? 'changed' : undefined
}

/**
 * The step at which a held run continues, by what the secret is now. Who changed it by hand has the last word: then the
 * run is to end.
 */
export function stepFound(state: RotationState, view: SecretView | undefined): Step {
  const at = state.held?.at ?? state.step
  if (!isUnderWay(state)) return at
  if (!view || view.row.incarnation !== state.from?.incarnation) return 'aborted'
  const { candidate, activated = false } = state
  if (candidate !== undefined && view.row.active === candidate) return activated ? at : 'tested'
  return obstacle(view, state) === undefined ? at : 'aborting'
}
