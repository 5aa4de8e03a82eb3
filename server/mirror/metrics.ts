/** The metrics of mirrors. */
import type { Registry } from '../metrics/registry.ts'
import type { Lag } from './lag.ts'
import { type MirrorCounts, mirroredStates } from '../store/mirrors.ts'

/** What is measured of mirrors. */
export class MirrorMetrics {
  /** Names of backends with a mirror: operators choose them, and there are series for no others. */
  readonly #names: string[] = []
  readonly #lag
  readonly #secrets
  readonly #ok

  constructor(registry: Registry) {
    const backend = this.#names
    this.#lag = registry.gauges({
      name: 'sotto_mirror_lag_seconds',
      help: 'Age of the oldest change not yet mirrored.',
      labels: { backend },
    })
    this.#secrets = registry.gauges({
      name: 'sotto_mirror_secrets',
      help: 'Secrets in a mirror, by state.',
      labels: { backend, state: mirroredStates },
    })
    this.#ok = registry.gauges({
      name: 'sotto_mirror_ok',
      help: '1 if the last run of a mirror completed.',
      labels: { backend },
    })
  }

  /** Notes the state of the mirror of the backend `name` after a run. */
  note(name: string, counts: MirrorCounts, ok: boolean, lag: Lag): void {
    if (!this.#names.includes(name)) this.#names.push(name)
    this.#lag.with({ backend: name }).follow(() => lag.ms / 1000)
    for (const state of mirroredStates) {
      this.#secrets.with({ backend: name, state }).set(counts[state] ?? 0)
    }
    this.#ok.with({ backend: name }).set(ok ? 1 : 0)
  }
}
