/** The metrics of key providers, and a provider whose calls are noted in them. */
import { asSottoError } from '../../client/api/errors.ts'
import type { Family } from '../metrics/family.ts'
import type { Counter, Histogram } from '../metrics/instruments.ts'
import type { Registry } from '../metrics/registry.ts'
import type { KeyProvider } from './provider.ts'

/** Names of providers that have a label of their own; any other is `other`. */
const providers = ['aws-kms', 'openbao-transit', 'local', 'recovery', 'other'] as const
/** Codes of errors that have a label of their own; any other is `failed`. */
const results = ['ok', 'key_missing', 'key_wrong', 'key_exposed', 'failed'] as const
const calls = ['fingerprint', 'wrap', 'unwrap'] as const

/** What calls to key providers are noted in. */
export interface KeyMetrics {
  readonly calls: Family<
    {
      readonly provider: typeof providers
      readonly call: typeof calls
      readonly result: typeof results
    },
    Counter
  >
  readonly seconds: Family<{ readonly provider: typeof providers }, Histogram>
}

/** Upper bounds for what a service far away is waited for, in seconds. */
const CALL_SECONDS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** Defines the metrics of key providers. */
export function keyMetrics(registry: Registry): KeyMetrics {
  return {
    calls: registry.counters({
      name: 'sotto_key_calls_total',
      help: 'Calls to key providers.',
      labels: { provider: providers, call: calls, result: results },
    }),
    seconds: registry.histograms({
      name: 'sotto_key_call_seconds',
      help: 'Time of calls to key providers.',
      labels: { provider: providers },
      buckets: CALL_SECONDS,
    }),
  }
}

/** `provider`, each of whose calls is noted once it has ended. */
export function measured(provider: KeyProvider, metrics: KeyMetrics): KeyProvider {
  const name = providers.find((each) => each === provider.name) ?? 'other'
  const note = async <T>(call: (typeof calls)[number], answer: Promise<T>): Promise<T> => {
    const began = performance.now()
    const count = (result: (typeof results)[number]): void =>
      metrics.calls.with({ provider: name, call, result }).add()
    try {
      const value = await answer
      count('ok')
      return value
    } catch (error) {
      const { code } = asSottoError(error)
      count(results.find((each) => each === code) ?? 'failed')
      throw error
    } finally {
      if (call !== 'fingerprint') {
        metrics.seconds.with({ provider: name }).observe((performance.now() - began) / 1000)
      }
    }
  }
  return {
    name: provider.name,
    fingerprint: (wraps) => note('fingerprint', provider.fingerprint(wraps)),
    wrap: (rootKey, storeId) => note('wrap', provider.wrap(rootKey, storeId)),
    unwrap: (wrapped, storeId) => note('unwrap', provider.unwrap(wrapped, storeId)),
  }
}
