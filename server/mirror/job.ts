/** The job that keeps the mirrors of a server up to date. */
import { asSottoError, type SottoError } from '../../client/api/errors.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import type { Subject } from '../gate/commits.ts'
import type { Job, Run, Scheduler } from '../jobs/scheduler.ts'
import type { OnDrift } from './decide.ts'
import type { MirrorMetrics } from './metrics.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'
import { Mirror, type Tally } from './run.ts'

/** What the job works with. */
export interface MirrorJobParts extends MirrorParts {
  readonly registry: BackendRegistry
  readonly scheduler: Scheduler
  readonly metrics: MirrorMetrics
}

/** How the last run of a mirror ended. */
export interface LastRun {
  /** UTC. */
  readonly at: string
  /** Absent where it succeeded. */
  readonly error?: SottoError
}

/** What an operator wants from the next run of a mirror. */
export interface Demand {
  /** Keeps the mirror in the mount that is there now. */
  readonly acceptMount: boolean
  /** Only these. Absent: everything is compared with the backend. */
  readonly secrets?: readonly string[]
  /** Absent: as the mirror is set up. */
  readonly onDrift?: OnDrift
}

/** The name of the job: it runs after changes, and from time to time. */
export const MIRROR_JOB = 'mirror'

const REST_MS = 500
/** How long a run continues with what is due, before it makes room for others. */
const RUN_MS = 600_000
/** From one comparison of everything to the next. */
const CHECK_MS = 600_000

/** The mirrors of one server. */
export class MirrorJob {
  readonly #parts: MirrorJobParts
  readonly #last = new Map<number, LastRun>()
  readonly #demands = new Map<number, Demand>()

  constructor(parts: MirrorJobParts) {
    this.#parts = parts
  }

  /** The job, for the scheduler. */
  job(): Job {
    return {
      name: MIRROR_JOB,
      action: 'mirror',
      // Each mirror reads its secrets under a rule for just those.
      rules: [],
      everyMs: 60_000,
      firstMs: REST_MS,
      restMs: REST_MS,
      retryMs: 5000,
      maxMs: RUN_MS + 60_000,
      run: (run) => this.#run(run),
    }
  }

  /** Wakes the job after a commit, if there are mirrors that it may concern. Never rejects. */
  async committed(subject: Subject): Promise<void> {
    if (subject === 'keys') return
    const setups = await this.setups().catch(() => undefined)
    if (setups?.length !== 0) this.#parts.scheduler.wake(MIRROR_JOB)
  }

  /** The mirrors that are set up now. Rejects with what the store rejects with. */
  async setups(): Promise<MirrorSetup[]> {
    const backends = await this.#parts.registry.all()
    return backends.flatMap(({ id, name, config: { mirror } }) =>
      mirror ? [{ backend: id, name, spec: mirror }] : [],
    )
  }

  /** The mirror `setup`, with `onDrift` instead of its own. */
  mirror(setup: MirrorSetup, onDrift: OnDrift = setup.spec.onDrift): Mirror {
    return new Mirror(this.#parts, { ...setup, spec: { ...setup.spec, onDrift } })
  }

  /** How the last run of the mirror in the backend of that id ended; undefined: none has since the start. */
  lastRun(backend: number): LastRun | undefined {
    return this.#last.get(backend)
  }

  /** Sets what the next run of the mirror in the backend of that id does in addition. */
  demand(backend: number, demand: Demand): void {
    this.#demands.set(backend, demand)
  }

  /** Whether no run has begun that does what was demanded. */
  waits(backend: number): boolean {
    return this.#demands.has(backend)
  }

  async #run({ signal }: Run): Promise<string> {
    const said: string[] = []
    const failures: SottoError[] = []
    for (const setup of await this.setups()) {
      const { backend, name } = setup
      let error: SottoError | undefined
      try {
        said.push(`${name}: ${textOf(await this.#sync(setup, signal))}`)
      } catch (caught) {
        error = asSottoError(caught)
        failures.push(error)
      }
      this.#last.set(backend, { at: this.#parts.clock().toISOString(), ...(error && { error }) })
      await this.#measure(setup)
    }
    const [first] = failures
    if (first) throw first
    return said.length === 0 ? 'no mirror is set up' : said.join('; ')
  }

  async #sync(setup: MirrorSetup, stopped: AbortSignal): Promise<Tally> {
    const { store, clock, timers, scheduler } = this.#parts
    const { backend } = setup
    const demand = this.#demands.get(backend)
    this.#demands.delete(backend)
    const mirror = this.mirror(setup, demand?.onDrift)
    if (demand?.acceptMount === true) await mirror.acceptPlace()
    if (demand?.secrets) return mirror.runOn(demand.secrets)
    const checkedAt = (await store.mirrorHead(backend))?.checkedAt
    const old = checkedAt === undefined || clock().getTime() - Date.parse(checkedAt) >= CHECK_MS
    const enough = new AbortController()
    const stop = timers.after(RUN_MS, () => enough.abort())
    try {
      const signal = AbortSignal.any([stopped, enough.signal])
      const gentle = demand === undefined && checkedAt !== undefined
      return await mirror.run({ signal, check: demand !== undefined || old, gentle })
    } finally {
      stop()
      if (enough.signal.aborted) scheduler.wake(MIRROR_JOB)
    }
  }

  async #measure({ backend, name }: MirrorSetup): Promise<void> {
    const { store, clock, metrics } = this.#parts
    const counts = await store.mirrorCounts(backend)
    const ok = this.#last.get(backend)?.error === undefined
    metrics.note(name, counts, ok, () => clock().getTime())
  }
}

function textOf({ checked, written, removed, failed, drifted }: Tally): string {
  const parts = [`${checked} looked at`, `${written} written`]
  if (removed > 0) parts.push(`${removed} removed`)
  if (failed > 0) parts.push(`${failed} failed`)
  if (drifted > 0) parts.push(`${drifted} changed there by someone else`)
  return parts.join(', ')
}
