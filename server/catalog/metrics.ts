/** The metrics of the cache of sealed secrets. */
import { Registry } from '../metrics/registry.ts'

/** What is measured of a cache. */
export type CacheMetrics = ReturnType<typeof cacheMetrics>

/** Defines the metrics of a cache. */
export function cacheMetrics(registry: Registry = new Registry()) {
  const reads = registry.counters({
    name: 'sotto_cache_reads_total',
    help: 'Lookups in the cache of sealed values.',
    labels: { result: ['hit', 'miss'] },
  })
  return {
    hits: reads.with({ result: 'hit' }),
    misses: reads.with({ result: 'miss' }),
    bytes: registry.gauge({
      name: 'sotto_cache_bytes',
      help: 'Size of the cache; at most 64 MiB.',
    }),
    secrets: registry.gauge({ name: 'sotto_cache_secrets', help: 'Secrets in the cache.' }),
  }
}
