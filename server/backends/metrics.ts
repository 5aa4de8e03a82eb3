/** The metrics of the backends that are in use. */
import type { Backend } from './contract.ts'
import { type Registry, WAIT_SECONDS } from '../metrics/registry.ts'

const results = ['ok', 'unavailable', 'refused', 'failed'] as const
const attempts = ['ok', 'failed'] as const

/** How a call to a backend came out. */
export type CallResult = (typeof results)[number]

/** What is measured of backends. */
export class BackendMetrics {
  /** Names of backends that were in use: operators choose them, and there are series for no others. */
  readonly #names: string[] = []
  readonly #calls
  readonly #seconds
  readonly #tokenTtl
  readonly #logins
  readonly #renewals

  constructor(registry: Registry) {
    const backend = this.#names
    this.#calls = registry.counters({
      name: 'sotto_backend_calls_total',
      help: 'Calls for a secret to a backend.',
      labels: { backend, result: results },
    })
    this.#seconds = registry.histograms({
      name: 'sotto_backend_call_seconds',
      help: 'Time of calls for a secret to a backend.',
      labels: { backend },
      buckets: WAIT_SECONDS,
    })
    this.#tokenTtl = registry.gauges({
      name: 'sotto_backend_token_ttl_seconds',
      help: 'Remaining life of the token of a backend.',
      labels: { backend },
    })
    this.#logins = registry.counters({
      name: 'sotto_backend_logins_total',
      help: 'Logins at a backend.',
      labels: { backend, result: attempts },
    })
    this.#renewals = registry.counters({
      name: 'sotto_backend_renewals_total',
      help: 'Renewals of the token of a backend.',
      labels: { backend, result: attempts },
    })
  }

  /** Reads the numbers of the backend `name` from `current`, which gives it while it is open. */
  follow(name: string, current: () => Backend | undefined): void {
    if (!this.#names.includes(name)) this.#names.push(name)
    const status = () => current()?.status()
    this.#tokenTtl.with({ backend: name }).follow(() => {
      const ttl = status()?.tokenTtlMs
      return ttl === undefined ? undefined : ttl / 1000
    })
    const ok = { backend: name, result: 'ok' } as const
    const failed = { backend: name, result: 'failed' } as const
    this.#logins.with(ok).follow(() => status()?.logins)
    this.#logins.with(failed).follow(() => status()?.failedLogins)
    this.#renewals.with(ok).follow(() => status()?.renewals)
    this.#renewals.with(failed).follow(() => status()?.failedRenewals)
    for (const result of results) this.#calls.with({ backend: name, result })
  }

  /** Counts a call to the backend `name`, which is followed. */
  called(name: string, result: CallResult, seconds: number): void {
    this.#calls.with({ backend: name, result }).add()
    this.#seconds.with({ backend: name }).observe(seconds)
  }
}
