/** The metrics of holdings. */
import { Registry } from '../metrics/registry.ts'

/** What is measured of holdings. */
export type ConsumerMetrics = ReturnType<typeof consumerMetrics>

/** Defines them. */
export function consumerMetrics(registry: Registry = new Registry()) {
  return {
    holders: registry.gauge({
      name: 'sotto_holders',
      help: 'Nodes and programs that were given versions of secrets.',
    }),
    rows: registry.gauge({
      name: 'sotto_holdings',
      help: 'Pairs of such a holder and a secret; at most 1,000,000.',
    }),
    dropped: registry.gauge({
      name: 'sotto_holdings_dropped',
      help: 'Holdings for which there was no room: rollouts of their secrets are unknown.',
    }),
  }
}
