/**
 * The metrics of a server: those of every room, each defined in a file of its own there. The order
 * here is the order of the page.
 */
import { logMetrics } from '../../audit/metrics.ts'
import { BackendMetrics } from '../backends/metrics.ts'
import { cacheMetrics } from '../catalog/metrics.ts'
import { consumerMetrics } from '../consumers/metrics.ts'
import { keyMetrics } from '../crypto/metrics.ts'
import { certificateMetric, loadMetrics, requestMetrics, watchMetrics } from '../http/metrics.ts'
import { whoIsMetrics } from '../identity/tailscale/metrics.ts'
import { backupMetrics, jobMetrics } from '../jobs/metrics.ts'
import type { Registry } from '../metrics/registry.ts'
import { MirrorMetrics } from '../mirror/metrics.ts'
import { rotationMetrics } from '../rotation/metrics.ts'
import { storeMetrics } from '../store/metrics.ts'

/** What the parts of a server note into. */
export type Instruments = ReturnType<typeof instruments>

/** Defines all of them. */
export function instruments(registry: Registry) {
  return {
    requests: requestMetrics(registry),
    load: loadMetrics(registry),
    watches: watchMetrics(registry),
    log: logMetrics(registry),
    store: storeMetrics(registry),
    cache: cacheMetrics(registry),
    consumers: consumerMetrics(registry),
    keys: keyMetrics(registry),
    whoIs: whoIsMetrics(registry),
    backends: new BackendMetrics(registry),
    mirrors: new MirrorMetrics(registry),
    rotations: rotationMetrics(registry),
    jobs: jobMetrics(registry),
    backups: backupMetrics(registry),
    certificate: certificateMetric(registry),
  }
}
