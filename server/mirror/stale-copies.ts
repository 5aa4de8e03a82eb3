/** Reports where copies of versions lie that mirrors of earlier releases kept, which nothing reads. */
import { quote } from '../../client/api/errors.ts'
import { pathOf } from '../backends/names.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import type { Logger } from '../platform/logger.ts'
import type { Store } from '../store/contract.ts'

/**
 * Says to the operator, a line at a time, which copies each backend has and how to remove them, once: a
 * copy that was reported is forgotten. Rejects as the store does; then the same is reported again.
 */
export async function reportStaleCopies(
  store: Store,
  registry: Pick<BackendRegistry, 'all'>,
  { warn }: Pick<Logger, 'warn'>,
): Promise<void> {
  const copies = await store.staleCopies()
  if (copies.length === 0) return
  for (const { id, name, config } of await registry.all()) {
    const ours = copies.filter(({ backend }) => backend === id)
    if (ours.length === 0) continue
    const count = ours.reduce((sum, { versions }) => sum + versions.length, 0)
    warn(
      `backend ${quote(name)} has ${count} copies of versions that its mirror kept; nothing reads them, and Sotto leaves them there`,
    )
    const folder = `${config.pathPrefix}/versions`
    warn(`each is removed with: bao kv metadata delete -mount=${config.mount} PATH/VERSION`)
    for (const { name: secret, versions } of ours) {
      warn(`PATH ${folder}/${pathOf(secret)}: VERSION ${versions.join(', ')}`)
    }
  }
  await store.forgetStaleCopies()
}
