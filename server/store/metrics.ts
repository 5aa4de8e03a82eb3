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
    help: 'Changes by how they came out: done, refused and not made, or unknown to the server so far.',
    labels: { result: results },
  })
  for (const result of results) changes.with({ result })
  const bytes = registry.gauges({
    name: 'sotto_store_bytes',
    help: 'Bytes of the file of the store, and of its log of changes.',
    labels: { file: ['database', 'wal'] },
  })
  return {
    commits: registry.counter({
      name: 'sotto_store_commits_total',
      help: 'Transactions that the writer of the store committed, each with one sync for all who waited.',
    }),
    commitSeconds: registry.histogram({
      name: 'sotto_store_commit_seconds',
      help: 'How long the writer of the store took for such a transaction, its sync included.',
      buckets: WAIT_SECONDS,
    }),
    changes,
    waiting: registry.gauge({
      name: 'sotto_store_waiting_changes',
      help: 'Work that the writer of the store has not answered yet.',
    }),
    secrets: registry.gauge({
      name: 'sotto_store_secrets',
      help: 'Secrets that have a version.',
    }),
    versions: registry.gauge({
      name: 'sotto_store_versions',
      help: 'Versions that have a value.',
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
