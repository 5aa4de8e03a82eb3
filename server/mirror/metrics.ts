/** The metrics of mirrors. */
import type { Registry } from '../metrics/registry.ts'
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
      help: 'How long the oldest change waits to be mirrored to each backend; 0 where none does.',
      labels: { backend },
    })
    this.#secrets = registry.gauges({
      name: 'sotto_mirror_secrets',
      help: 'Secrets in the mirror of each backend, by how they stand after its last run.',
      labels: { backend, state: mirroredStates },
    })
    this.#ok = registry.gauges({
      name: 'sotto_mirror_ok',
      help: 'Whether the last run of the mirror of each backend came to its end.',
      labels: { backend },
    })
  }

  /** Notes the state of the mirror of the backend `name` after a run; `now` is the time, in milliseconds. */
  note(name: string, { states, waitsSince }: MirrorCounts, ok: boolean, now: () => number): void {
    if (!this.#names.includes(name)) this.#names.push(name)
    const since = waitsSince === undefined ? undefined : Date.parse(waitsSince)
    this.#lag
      .with({ backend: name })
      .follow(() => (since === undefined ? 0 : Math.max(0, (now() - since) / 1000)))
    for (const state of mirroredStates) {
      this.#secrets.with({ backend: name, state }).set(states[state] ?? 0)
    }
    this.#ok.with({ backend: name }).set(ok ? 1 : 0)
  }
}
