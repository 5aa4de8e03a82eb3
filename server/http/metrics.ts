/** The metrics of what callers ask for and of what is in hand, and of the parts that answers need. */
import { orLate, processTimers } from '../../client/platform/timers.ts'
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
      help: 'Answered requests, by method and by error code or `ok`.',
      labels: { method: subjects, code: outcomes },
    }),
    seconds: registry.histograms({
      name: 'sotto_request_seconds',
      help: 'Time from the head of a request to its answer.',
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
      help: 'Open connections.',
    }),
    connectionsLimit: registry.gauge({
      name: 'sotto_connections_limit',
      help: 'Limit of open connections; half for one address.',
    }),
    requests: registry.gauge({
      name: 'sotto_requests_in_flight',
      help: 'Requests in work, or with an answer not yet taken.',
    }),
    requestsLimit: registry.gauge({
      name: 'sotto_requests_limit',
      help: 'Limit of requests in flight; half for one address.',
    }),
    bytes: registry.gauge({
      name: 'sotto_held_bytes',
      help: 'Bytes of large bodies, and of answers not yet taken.',
    }),
    bytesLimit: registry.gauge({
      name: 'sotto_held_bytes_limit',
      help: 'Limit of held bytes; half for one address.',
    }),
    refused: registry.counter({
      name: 'sotto_connections_refused_total',
      help: 'Connections refused at a limit.',
    }),
    cut: registry.counter({
      name: 'sotto_connections_cut_total',
      help: 'Connections closed because they sent too much ahead.',
    }),
  }
}

/** What the load is noted in. */
export type LoadMetrics = ReturnType<typeof loadMetrics>

/** Defines the metrics of watches. */
export function watchMetrics(registry = new Registry()) {
  return {
    open: registry.gauge({
      name: 'sotto_watches',
      help: 'Open watches: streams, and blocking queries that wait.',
    }),
    limit: registry.gauge({
      name: 'sotto_watches_limit',
      help: 'Limit of open watches.',
    }),
    refused: registry.counter({
      name: 'sotto_watches_refused_total',
      help: 'Watches refused at a limit.',
    }),
    events: registry.counter({
      name: 'sotto_watch_changes_total',
      help: 'Changes told by streams.',
    }),
    byes: registry.counters({
      name: 'sotto_watch_ends_total',
      help: 'Streams that the server ended: for their age, since they did not take what was told, or since it stopped.',
      labels: { reason: ['age', 'lag', 'stopping'] },
    }),
  }
}

/** What watches are noted in. */
export type WatchMetrics = ReturnType<typeof watchMetrics>

/** Defines when the certificate of the server ends; without one there is no sample. */
export function certificateMetric(registry: Registry): Gauge {
  return registry.gauge({
    name: 'sotto_certificate_expires_timestamp_seconds',
    help: 'When the certificate expires.',
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
    help: '1 if a part works, as in `/readyz`.',
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
