/** The metrics of the cache of sealed secrets. */
import { Registry } from '../metrics/registry.ts'

/** What is measured of a cache. */
export type CacheMetrics = ReturnType<typeof cacheMetrics>

/** Defines the metrics of a cache. */
export function cacheMetrics(registry: Registry = new Registry()) {
  const reads = registry.counters({
    name: 'sotto_cache_reads_total',
    help: 'Secrets that were looked for in the cache of sealed bytes, and whether the store had to be asked.',
    labels: { result: ['hit', 'miss'] },
  })
  return {
    hits: reads.with({ result: 'hit' }),
    misses: reads.with({ result: 'miss' }),
    bytes: registry.gauge({
      name: 'sotto_cache_bytes',
      help: 'About what the cache holds, of 64 MiB at most.',
    }),
    secrets: registry.gauge({ name: 'sotto_cache_secrets', help: 'Secrets in the cache.' }),
  }
}
