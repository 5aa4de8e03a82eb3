/** What a caller must be allowed on secrets to set a rotation up, or to set it up differently. */
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
  const deletes = after.kind === 'generated' && after.deleteOld
  const actions: readonly Action[] = [
    'get',
    'put',
    'activate',
    ...(deletes ? (['delete'] as const) : []),
  ]
  return [...names].flatMap((name) => actions.map((action) => [action, name] as const))
}
