/** The metrics of rotations: how many there are, never which. */
import { rotationSteps } from '../../client/api/rotations.ts'
import { Registry } from '../metrics/registry.ts'

/** What holds the convergence of runs up. */
const waitedFor = ['behind', 'unknown', 'doubt', 'session'] as const

/** What is measured of rotations. */
export type RotationMetrics = ReturnType<typeof rotationMetrics>

/** Defines them. */
export function rotationMetrics(registry: Registry = new Registry()) {
  return {
    steps: registry.gauges({
      name: 'sotto_rotations',
      help: 'Rotations of secrets, by how far the newest run is.',
      labels: { step: rotationSteps },
    }),
    overdue: registry.gauge({
      name: 'sotto_rotations_overdue',
      help: 'Rotations that are due and did not begin, or wait for a version that a person makes.',
    }),
    waits: registry.gauges({
      name: 'sotto_rotation_waits',
      help: 'What holds converging rotations up: holders that are behind or unknown, doubts, sessions.',
      labels: { for: waitedFor },
    }),
    lastSuccess: registry.gauge({
      name: 'sotto_rotation_last_success_timestamp_seconds',
      help: 'End of the last run that was done, of any rotation, since the start.',
    }),
  }
}
