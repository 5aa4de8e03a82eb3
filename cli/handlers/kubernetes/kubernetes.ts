/** `sotto kubernetes`: runs a controller until the process is asked to stop. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { SottoError } from '../../../client/api/errors.ts'
import { durationOf } from '../../../client/api/times.ts'
import { readTextFileNow } from '../../../client/platform/text-file.ts'
import { holdingTimers } from '../../../client/platform/timers.ts'
import { parseAddress } from '../../../server/config/address.ts'
import { Registry } from '../../../server/metrics/registry.ts'
import type { Invocation } from '../../invocation.ts'
import { openServerLog } from '../../server-log.ts'
import { Interrupted, type StopSignal } from '../../terminal/interrupted.ts'
import { ApiFailure, KubernetesApi } from './api.ts'
import { Controller } from './controller.ts'
import { Lease } from './lease.ts'
import { controllerMetrics } from './metrics.ts'
import { openPage } from './page.ts'
import { placeOf } from './place.ts'
import { readPolicy } from './policy.ts'

/** Resolves with the exit code, which is not 0 where the Lease was lost. Rejects with `usage` and `local`. */
export async function kubernetes(invocation: Invocation): Promise<number> {
  const { io, env } = invocation
  const timers = holdingTimers
  const logger = openServerLog('text', io, env)
  const policyFile = invocation.text('policy')
  if (policyFile === undefined) {
    throw new SottoError('usage', 'Cannot run without --policy', {
      hint: 'It says which namespace may have which secrets: see `sotto help kubernetes`.',
    })
  }
  const policy = readPolicy(readTextFileNow(policyFile, 'policy'), policyFile)
  const place = placeOf(
    {
      url: invocation.text('api-server'),
      tokenFile: invocation.text('token-file'),
      caFile: invocation.text('ca-file'),
      namespace: invocation.text('own-namespace'),
    },
    env,
    timers,
  )
  const resyncMs = durationOf('resync', invocation.text('resync') ?? '5m', ['1s', '24d'])
  const listen = invocation.text('metrics-listen')
  const at = listen === undefined ? undefined : parseAddress('metrics-listen', listen)
  const api = new KubernetesApi(place, timers)
  const registry = new Registry()
  const metrics = controllerMetrics(registry)
  const identity = `${hostname()}_${randomUUID()}`
  const client = invocation.client({ keepAlive: true, label: 'kubernetes' })
  const clock = (): Date => new Date(io.now())
  const controller = new Controller({
    api,
    client,
    policy,
    namespaces: invocation.texts('namespace'),
    excluded: invocation.texts('exclude-namespace'),
    resyncMs,
    logger,
    metrics,
    clock,
    timers,
    random: Math.random,
  })
  const lease = new Lease({ api, namespace: place.namespace, identity, clock, timers })
  metrics.leader.set(0)
  const stop = new AbortController()
  let signal: StopSignal | undefined
  using _ = io.onInterrupt((given) => {
    signal ??= given
    stop.abort()
  })
  let isLeader = false
  // A second one that waits is well, too.
  await using page =
    at && (await openPage({ ...at, registry, isReady: () => !isLeader || controller.isReady }))
  if (page) logger.info(`metrics are on port ${page.port}`)
  try {
    await lease.acquire(stop.signal, (error) => {
      logger.warn(error instanceof ApiFailure ? error.message : 'Cannot take the Lease')
    })
    isLeader = true
    metrics.leader.set(1)
    logger.info('has the Lease')
    await controller.run(AbortSignal.any([stop.signal, lease.lost]))
    if (lease.lost.aborted && !stop.signal.aborted) {
      logger.error('Cannot continue: the Lease is lost')
      return 1
    }
    await lease.release()
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    client.close()
    api.close()
  }
  return signal === 'SIGTERM' || signal === undefined ? 0 : new Interrupted(signal).exit
}
