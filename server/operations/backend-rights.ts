/** What a change of a backend could let out, and so needs `get` on. */
import { isDeepStrictEqual } from 'node:util'
import type { OpenBaoConfig } from '../../client/api/backends.ts'
import type { BackendRecord, BackendSettings } from '../backends/registry.ts'

/**
 * Patterns of the names that a caller who makes `before` into `after` must be allowed to `get`, those to come
 * included. Undefined is a backend that is not there. It is every name where what keeps new secrets changes,
 * and where one that keeps secrets is to be elsewhere, logs in differently, or trusts others; and the names of
 * a mirror, old and new, since a run that is under way may still write the old ones.
 */
export function patternsNeeded(
  before: BackendRecord | undefined,
  after: BackendSettings | undefined,
): readonly string[] {
  const rehomes = (before?.isDefault ?? false) !== (after?.isDefault ?? false)
  const keeps = before && (before.isDefault || before.secrets + before.orphans + before.copies > 0)
  const moves = after && !isDeepStrictEqual(placeOf(before?.config), placeOf(after.config))
  if (rehomes || (keeps && moves)) return ['*']
  const mirrors = after ? [before?.config.mirror, after.config.mirror] : []
  return mirrors.flatMap((mirror) => mirror?.secrets ?? [])
}

/** Everything but what is mirrored, fields to come included. */
function placeOf(config: OpenBaoConfig | undefined) {
  const { mirror: _mirror, ...place } = config ?? {}
  return place
}
