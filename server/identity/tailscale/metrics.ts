/** The metrics of questions to tailscaled. */
import type { Counter, Histogram } from '../../metrics/instruments.ts'
import { Registry, WAIT_SECONDS } from '../../metrics/registry.ts'

/** What WhoIs questions are noted in. */
export interface WhoIsMetrics {
  readonly known: Counter
  readonly unknown: Counter
  readonly failed: Counter
  readonly seconds: Histogram
}

/** Defines the metrics of WhoIs questions. */
export function whoIsMetrics(registry: Registry = new Registry()): WhoIsMetrics {
  const calls = registry.counters({
    name: 'sotto_identity_calls_total',
    help: 'WhoIs questions to tailscaled: it knew the node, knew none, or gave no sensible answer.',
    labels: { result: ['known', 'unknown', 'failed'] },
  })
  return {
    known: calls.with({ result: 'known' }),
    unknown: calls.with({ result: 'unknown' }),
    failed: calls.with({ result: 'failed' }),
    seconds: registry.histogram({
      name: 'sotto_identity_call_seconds',
      help: 'How long tailscaled took to answer them.',
      buckets: WAIT_SECONDS,
    }),
  }
}
