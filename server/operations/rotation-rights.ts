/** What a caller must be allowed on secrets to set a rotation up, or to set it up differently. */
import { isDeepStrictEqual } from 'node:util'
import type { RotationConfig } from '../../client/api/rotations.ts'
import type { Action } from '../../client/api/types.ts'

/**
 * What a caller needs who makes `before` into `after`, by the name of each secret: `get`, as for a caller who becomes the
 * home of a secret, and what the server does there from then on. Undefined is a rotation that is not there.
 */
export function rightsNeeded(
  before: RotationConfig | undefined,
  after: RotationConfig,
): readonly (readonly [action: Action, name: string])[] {
  const names = new Set([after.secret, ...(before ? [before.secret] : [])])
  const deletes = after.kind !== 'manual' && after.deleteOld
  const actions: readonly Action[] = [
    'get',
    'put',
    'activate',
    ...(deletes ? (['delete'] as const) : []),
  ]
  // Who logs in to the target is at whoever the target is set to: that takes `get`, now and before.
  const logins = new Set([before, after].flatMap((config) => adminsOf(config)))
  return [
    ...[...names].flatMap((name) => actions.map((action) => [action, name] as const)),
    ...[...logins].map((name) => ['get', name] as const),
  ]
}

/** Whether `after` changes something else than `before` does, which it must not in the middle of a run. */
export function changesOther(before: RotationConfig, after: RotationConfig): boolean {
  return !isDeepStrictEqual(placeOf(before), placeOf(after))
}

/** Where it changes what, fields to come included. Values that Sotto generates alone may have another shape at any time. */
function placeOf(config: RotationConfig) {
  const { secret, kind } = config
  if (kind === 'generated' || kind === 'manual') return { secret, kind }
  const {
    schedule: _schedule,
    converge: _converge,
    owner: _owner,
    runbook: _runbook,
    window: _window,
    grace: _grace,
    deleteOld: _deleteOld,
    ...place
  } = config
  return place
}

function adminsOf(config: RotationConfig | undefined): readonly string[] {
  return config && 'admin' in config ? [config.admin.secret] : []
}
