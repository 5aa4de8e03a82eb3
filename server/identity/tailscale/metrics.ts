/** The metrics of questions to tailscaled. */
import { Registry, WAIT_SECONDS } from '../../metrics/registry.ts'

/** Defines the metrics of WhoIs questions. */
export function whoIsMetrics(registry = new Registry()) {
  const calls = registry.counters({
    name: 'sotto_identity_calls_total',
    help: 'WhoIs calls to tailscaled.',
    labels: { result: ['known', 'unknown', 'failed'] },
  })
  return {
    known: calls.with({ result: 'known' }),
    unknown: calls.with({ result: 'unknown' }),
    failed: calls.with({ result: 'failed' }),
    seconds: registry.histogram({
      name: 'sotto_identity_call_seconds',
      help: 'Time of WhoIs calls to tailscaled.',
      buckets: WAIT_SECONDS,
    }),
  }
}

/** What WhoIs questions are noted in. */
export type WhoIsMetrics = ReturnType<typeof whoIsMetrics>
