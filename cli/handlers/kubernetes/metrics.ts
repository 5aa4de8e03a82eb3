/** What a controller counts. */
import { Registry } from '../../../server/metrics/registry.ts'
import type { Reason } from './status.ts'

/** Every reason that a definition may give. */
export const reasons = [
  'Synced',
  'Denied',
  'Missing',
  'Conflict',
  'Invalid',
  'Unreachable',
] as const satisfies readonly Reason[]

/** Where a controller counts. */
export type ControllerMetrics = ReturnType<typeof controllerMetrics>

/** Defines them in `registry`. */
export function controllerMetrics(registry = new Registry()) {
  return {
    definitions: registry.gauges({
      name: 'sotto_kubernetes_definitions',
      help: 'SecretDefinitions by how they are.',
      labels: { reason: reasons },
    }),
    writes: registry.counters({
      name: 'sotto_kubernetes_secret_writes_total',
      help: 'Secrets that were written, and that could not be.',
      labels: { result: ['ok', 'conflict', 'failed'] },
    }),
    restarts: registry.counter({
      name: 'sotto_kubernetes_restarts_total',
      help: 'Restarts of workloads for a new content.',
    }),
    errors: registry.counters({
      name: 'sotto_kubernetes_errors_total',
      help: 'Calls that failed, of Sotto and of the API server.',
      labels: { of: ['sotto', 'cluster'] },
    }),
    secrets: registry.gauge({
      name: 'sotto_kubernetes_secrets_held',
      help: 'Secrets of Sotto that are held in memory.',
    }),
    age: registry.gauge({
      name: 'sotto_kubernetes_sync_age_seconds',
      help: 'How long ago Sotto was last heard; 0 while it tells of changes.',
    }),
    leader: registry.gauge({
      name: 'sotto_kubernetes_leader',
      help: '1 while this controller has the Lease.',
    }),
  }
}
