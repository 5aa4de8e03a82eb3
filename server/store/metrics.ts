/** The metrics of a store. */
import type { Counter, Gauge, Histogram } from '../metrics/instruments.ts'
import type { Family } from '../metrics/family.ts'
import { Registry, WAIT_SECONDS } from '../metrics/registry.ts'
import type { Store } from './contract.ts'

/** How a change came out. */
const results = ['done', 'refused', 'unknown'] as const

/** What a store notes. */
export interface StoreMetrics {
  readonly commits: Counter
  readonly commitSeconds: Histogram
  readonly changes: Family<{ readonly result: typeof results }, Counter>
  readonly waiting: Gauge
  readonly secrets: Gauge
  readonly versions: Gauge
  readonly databaseBytes: Gauge
  readonly logBytes: Gauge
}

/** Defines the metrics of a store. */
export function storeMetrics(registry: Registry = new Registry()): StoreMetrics {
  const changes = registry.counters({
    name: 'sotto_store_changes_total',
    help: 'Changes: done, refused, or unknown so far.',
    labels: { result: results },
  })
  for (const result of results) changes.with({ result })
  const bytes = registry.gauges({
    name: 'sotto_store_bytes',
    help: 'Size of the store, and of its write-ahead log.',
    labels: { file: ['database', 'wal'] },
  })
  return {
    commits: registry.counter({
      name: 'sotto_store_commits_total',
      help: 'Transactions of the store.',
    }),
    commitSeconds: registry.histogram({
      name: 'sotto_store_commit_seconds',
      help: 'Time of a transaction of the store, with its sync.',
      buckets: WAIT_SECONDS,
    }),
    changes,
    waiting: registry.gauge({
      name: 'sotto_store_waiting_changes',
      help: 'Changes that wait for the store.',
    }),
    secrets: registry.gauge({
      name: 'sotto_store_secrets',
      help: 'Secrets with a version.',
    }),
    versions: registry.gauge({
      name: 'sotto_store_versions',
      help: 'Versions with a value.',
    }),
    databaseBytes: bytes.with({ file: 'database' }),
    logBytes: bytes.with({ file: 'wal' }),
  }
}

/** Has `store` measured before each page. */
export function followStore(
  registry: Registry,
  { secrets, versions, databaseBytes, logBytes }: StoreMetrics,
  store: Pick<Store, 'measure'>,
): void {
  registry.source([secrets, versions, databaseBytes, logBytes], async () => {
    const found = await store.measure()
    secrets.set(found.secrets)
    versions.set(found.versions)
    databaseBytes.set(found.databaseBytes)
    logBytes.set(found.logBytes)
  })
}
