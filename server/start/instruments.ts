/**
 * The metrics of a server: those of every room, each defined in a file of its own there. The order
 * here is the order of the page.
 */
import { type LogMetrics, logMetrics } from '../../audit/metrics.ts'
import { type KeyMetrics, keyMetrics } from '../crypto/metrics.ts'
import {
  certificateMetric,
  type LoadMetrics,
  loadMetrics,
  type RequestMetrics,
  requestMetrics,
} from '../http/metrics.ts'
import { type WhoIsMetrics, whoIsMetrics } from '../identity/tailscale/metrics.ts'
import { type BackupMetrics, backupMetrics, type JobMetrics, jobMetrics } from '../jobs/metrics.ts'
import type { Gauge } from '../metrics/instruments.ts'
import type { Registry } from '../metrics/registry.ts'
import { MirrorMetrics } from '../mirror/metrics.ts'
import { BackendMetrics } from '../backends/metrics.ts'
import { type CacheMetrics, cacheMetrics } from '../catalog/metrics.ts'
import { type StoreMetrics, storeMetrics } from '../store/metrics.ts'

/** What the parts of a server note into. */
export interface Instruments {
  readonly requests: RequestMetrics
  readonly load: LoadMetrics
  readonly log: LogMetrics
  readonly store: StoreMetrics
  readonly cache: CacheMetrics
  readonly keys: KeyMetrics
  readonly whoIs: WhoIsMetrics
  readonly backends: BackendMetrics
  readonly mirrors: MirrorMetrics
  readonly jobs: JobMetrics
  readonly backups: BackupMetrics
  /** When the certificate ends. */
  readonly certificate: Gauge
}

/** Defines all of them. */
export function instruments(registry: Registry): Instruments {
  return {
    requests: requestMetrics(registry),
    load: loadMetrics(registry),
    log: logMetrics(registry),
    store: storeMetrics(registry),
    cache: cacheMetrics(registry),
    keys: keyMetrics(registry),
    whoIs: whoIsMetrics(registry),
    backends: new BackendMetrics(registry),
    mirrors: new MirrorMetrics(registry),
    jobs: jobMetrics(registry),
    backups: backupMetrics(registry),
    certificate: certificateMetric(registry),
  }
}
