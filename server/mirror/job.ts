/** The job that keeps the mirrors of a server up to date. */
import { isDeepStrictEqual } from 'node:util'
import { asSottoError, quote, type SottoError } from '../../client/api/errors.ts'
import type { Subject } from '../gate/commits.ts'
import type { Job, Run, Scheduler } from '../jobs/scheduler.ts'
import type { MirrorCounts } from '../store/mirrors.ts'
import type { OnDrift } from './decide.ts'
import { Lag } from './lag.ts'
import type { MirrorMetrics } from './metrics.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'
import { Retries } from './retries.ts'
import { MAX_FOREIGN, Mirror, type MirrorMemory, type Tally, waits } from './run.ts'

/** What the job works with. */
export interface MirrorJobParts extends MirrorParts {
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
const PAGE = 1000

/** What is known of a mirror until the server stops. */
interface Memory extends MirrorMemory {
  /** Whether those that waited at the start were looked up. */
  hasBegun?: true
  /** When everything was last compared, by the timers; absent: not yet. */
  checkedAt?: number
  /** Paths of what someone else made among ours, when everything was last compared. */
  foreign?: readonly string[] | undefined
}

/** The mirrors of one server. */
export class MirrorJob {
  readonly #parts: MirrorJobParts
  readonly #last = new Map<number, LastRun>()
  /** What is wanted of each mirror, in order. */
  readonly #demands = new Map<number, readonly Demand[]>()
  readonly #memories = new Map<number, Memory>()

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
    if (subject === 'keys' || subject === 'rotations') return
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
    const spec = { ...setup.spec, onDrift }
    return new Mirror(this.#parts, { ...setup, spec }, this.#memory(setup.backend))
  }

  /** How long changes wait for the mirror in the backend of that id. */
  lag(backend: number): Lag {
    return this.#memory(backend).lag
  }

  /** Paths of what someone else made among ours; undefined: nobody looked since the start, or it may not be listed. */
  foreign(backend: number): readonly string[] | undefined {
    return this.#memory(backend).foreign
  }

  /** How the last run of the mirror in the backend of that id ended; undefined: none has since the start. */
  lastRun(backend: number): LastRun | undefined {
    return this.#last.get(backend)
  }

  /** Has the next run of the mirror in the backend of that id do this too, after what others demanded. */
  demand(backend: number, demand: Demand): void {
    const before = this.#demands.get(backend) ?? []
    if (before.some((each) => isDeepStrictEqual(each, demand))) return
    this.#demands.set(backend, [...before, demand])
  }

  /** Whether something was demanded that no run has begun to do. */
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
        for (const tally of await this.#sync(setup, signal)) said.push(`${name}: ${textOf(tally)}`)
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

  /** Does what was demanded, or else what is due. What there is no time for is left to the next run. */
  async #sync(setup: MirrorSetup, stopped: AbortSignal): Promise<Tally[]> {
    const { timers, scheduler, adoption } = this.#parts
    const { backend } = setup
    await this.#begin(backend)
    adoption.demand(`mirror to backend ${quote(setup.name)}`)
    const demands = this.#demands.get(backend) ?? []
    this.#demands.delete(backend)
    const enough = new AbortController()
    const stop = timers.after(RUN_MS, () => enough.abort())
    const tallies: Tally[] = []
    try {
      const signal = AbortSignal.any([stopped, enough.signal])
      for (const demand of demands.length === 0 ? [undefined] : demands) {
        if (demand && signal.aborted) this.demand(backend, demand)
        else tallies.push(await this.#compare(setup, demand, signal))
      }
      return tallies
    } finally {
      stop()
      if (enough.signal.aborted) scheduler.wake(MIRROR_JOB)
    }
  }

  async #compare(
    setup: MirrorSetup,
    demand: Demand | undefined,
    signal: AbortSignal,
  ): Promise<Tally> {
    const { store, timers } = this.#parts
    const { backend } = setup
    const mirror = this.mirror(setup, demand?.onDrift)
    if (demand?.acceptMount === true) await mirror.acceptPlace()
    if (demand?.secrets) return mirror.runOn(demand.secrets)
    const memory = this.#memory(backend)
    const { checkedAt = Number.NEGATIVE_INFINITY } = memory
    const check = demand !== undefined || timers.now() - checkedAt >= CHECK_MS
    const isFirst = (await store.mirrorHead(backend))?.checkedAt === undefined
    const began = timers.now()
    const tally = await mirror.run({ signal, check, gentle: demand === undefined && !isFirst })
    if (check && !signal.aborted) {
      memory.checkedAt = began
      memory.foreign = tally.foreign
    }
    return tally
  }

  /** What waits since before the start is among those that wait from now on. */
  async #begin(backend: number): Promise<void> {
    const memory = this.#memory(backend)
    if (memory.hasBegun) return
    for (let cursor = 0; ; ) {
      const page = await this.#parts.store.mirrored(backend, cursor, PAGE)
      const last = page.at(-1)
      if (!last) break
      cursor = last.cursor
      for (const each of page) if (waits(each)) memory.lag.waits(each.name)
    }
    memory.hasBegun = true
  }

  async #measure({ backend, name }: MirrorSetup): Promise<void> {
    const { store, metrics } = this.#parts
    const counts = await store.mirrorCounts(backend)
    const ok = this.#last.get(backend)?.error === undefined
    const { lag } = this.#memory(backend)
    lag.note(waiting(counts))
    metrics.note(name, counts, ok, lag)
  }

  #memory(backend: number): Memory {
    const known = this.#memories.get(backend)
    if (known) return known
    const { timers } = this.#parts
    const made = { retries: new Retries(timers), lag: new Lag(timers) }
    this.#memories.set(backend, made)
    return made
  }
}

/** How many secrets wait. */
export function waiting({ due = 0, failed = 0 }: MirrorCounts): number {
  return due + failed
}

function textOf({ checked, written, removed, failed, drifted, foreign = [] }: Tally): string {
  const parts = [`${checked} looked at`, `${written} written`]
  if (removed > 0) parts.push(`${removed} removed`)
  if (failed > 0) parts.push(`${failed} failed`)
  if (drifted > 0) parts.push(`${drifted} changed there by someone else`)
  if (foreign.length > 0) {
    const count = foreign.length < MAX_FOREIGN ? foreign.length : `at least ${MAX_FOREIGN}`
    parts.push(`${count} beside them made there by someone else`)
  }
  return parts.join(', ')
}
