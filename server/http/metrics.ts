/** The metrics of what callers ask for and of what is in hand, and of the parts that answers need. */
import { orLate, processTimers } from '../platform/timers.ts'
import { type ErrorCode, errorTable } from '../../client/api/errors.ts'
import { callErrors } from '../../client/api/calls.ts'
import type { Gauge } from '../metrics/instruments.ts'
import { Registry, WAIT_SECONDS } from '../metrics/registry.ts'

/** What a request can be for. */
export type Subject = keyof typeof callErrors | 'metrics' | 'other'

/** How a request can come out: a code of the table of errors, or one of two that are none. */
export type Outcome = ErrorCode | 'ok' | 'not_ready'

export const subjects: readonly Subject[] = [
  ...(Object.keys(callErrors) as Subject[]),
  'metrics',
  'other',
]

const outcomes: readonly Outcome[] = [
  'ok',
  'not_ready',
  ...(Object.keys(errorTable) as ErrorCode[]).filter((code) => errorTable[code].status > 0),
]

/** Defines the metrics of requests. */
export function requestMetrics(registry: Registry) {
  return {
    requests: registry.counters({
      name: 'sotto_requests_total',
      help: 'Requests that were answered, by method (`other`: no method of the API) and by the code of the error, or `ok`.',
      labels: { method: subjects, code: outcomes },
    }),
    seconds: registry.histograms({
      name: 'sotto_request_seconds',
      help: 'How long requests took from their head to their answer, the time of their bodies included.',
      labels: { method: subjects },
      buckets: WAIT_SECONDS,
    }),
  }
}

/** What requests are noted in. */
export type RequestMetrics = ReturnType<typeof requestMetrics>

/** Defines the metrics of the load. */
export function loadMetrics(registry = new Registry()) {
  return {
    connections: registry.gauge({
      name: 'sotto_connections',
      help: 'Connections that are open, TLS handshakes among them.',
    }),
    connectionsLimit: registry.gauge({
      name: 'sotto_connections_limit',
      help: 'Connections that may be open at once, half of them of one address.',
    }),
    requests: registry.gauge({
      name: 'sotto_requests_in_flight',
      help: 'Requests that are worked on, or whose answers were not taken yet.',
    }),
    requestsLimit: registry.gauge({
      name: 'sotto_requests_limit',
      help: 'Requests that may be in flight at once, half of them of one address.',
    }),
    bytes: registry.gauge({
      name: 'sotto_held_bytes',
      help: 'Bytes of large bodies, and of large answers that were not taken yet.',
    }),
    bytesLimit: registry.gauge({
      name: 'sotto_held_bytes_limit',
      help: 'Bytes that may be held so at once, half of them for one address.',
    }),
    refused: registry.counter({
      name: 'sotto_connections_refused_total',
      help: 'Connections past a limit, which were answered 503 or closed.',
    }),
    cut: registry.counter({
      name: 'sotto_connections_cut_total',
      help: 'Connections that were closed because too many requests were sent ahead of their answers.',
    }),
  }
}

/** What the load is noted in. */
export type LoadMetrics = ReturnType<typeof loadMetrics>

/** Defines when the certificate of the server ends; without one there is no sample. */
export function certificateMetric(registry: Registry): Gauge {
  return registry.gauge({
    name: 'sotto_certificate_expires_timestamp_seconds',
    help: 'When the certificate that is shown ends, in seconds since 1970.',
  })
}

/** How long a page waits for a part to say that it is well, in milliseconds. */
const PROBE_MS = 1500

/** Defines whether each part is well, and asks for each page; one that does not answer is not well. */
export function readyMetrics(
  registry: Registry,
  probes: Readonly<Record<string, () => Promise<void>>>,
): void {
  const ready = registry.gauges({
    name: 'sotto_ready',
    help: 'Whether each part of the server works, as `/readyz` reports.',
    labels: { part: Object.keys(probes) },
  })
  registry.source([], async () => {
    const asked = Object.entries(probes).map(async ([part, probe]) => {
      const gauge = ready.with({ part })
      const end = Promise.allSettled([probe()])
      const state = await orLate(end, { timers: processTimers, ms: PROBE_MS })
      gauge.set(state !== 'late' && state[0].status === 'fulfilled' ? 1 : 0)
    })
    await Promise.all(asked)
  })
}
