/** What the process itself is and uses: names that dashboards know, and the delay of its event loop. */
import { readdir } from 'node:fs/promises'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { Registry } from './registry.ts'

/** Which release runs. */
export interface Release {
  readonly version: string
  /** The release of Node. */
  readonly node: string
}

/**
 * Defines the metrics of the process, which begin to be measured. Call what it returns when the
 * server ends.
 */
export function processMetrics(registry: Registry, { version, node }: Release): () => void {
  registry
    .gauges({
      name: 'sotto_build_info',
      help: 'Which release runs: always 1.',
      labels: { version: [version], node: [node] },
    })
    .with({ version, node })
    .set(1)
  const started = Date.now() / 1000 - process.uptime()
  registry
    .gauge({
      name: 'process_start_time_seconds',
      help: 'When the process began, in seconds since 1970.',
    })
    .set(started)
  registry
    .counter({
      name: 'process_cpu_seconds_total',
      help: 'Processor time that the process used, in its own code and in the kernel.',
    })
    .follow(() => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    })
  registry
    .gauge({ name: 'process_resident_memory_bytes', help: 'Memory that the process holds.' })
    .follow(() => process.memoryUsage.rss())
  countOpenFiles(registry)
  return watchEventLoop(registry)
}

/** Not on systems without /proc. The kernel answers out of its memory: no disk is asked. */
function countOpenFiles(registry: Registry): void {
  const open = registry.gauge({
    name: 'process_open_fds',
    help: 'Files and sockets that the process has open.',
  })
  registry.source([open], async () => {
    // One of them is the folder that is being read.
    open.set((await readdir('/proc/self/fd')).length - 1)
  })
}

/** What Node measures delays with. */
type Watched = ReturnType<typeof monitorEventLoopDelay>

/** How often the event loop is looked at, in milliseconds. */
const LOOK_MS = 20
/** How long a window of the delay is, in milliseconds. */
const WINDOW_MS = 60_000

function watchEventLoop(registry: Registry): () => void {
  registry
    .counter({
      name: 'sotto_event_loop_active_seconds_total',
      help: 'Time in which the event loop did work instead of waiting for some.',
    })
    .follow(() => performance.eventLoopUtilization().active / 1000)
  const delays = registry.gauges({
    name: 'sotto_event_loop_delay_seconds',
    help: 'How late the event loop was in the last minute or more: at worst, and within what 99 of 100 looks stayed.',
    labels: { quantile: ['0.99', '1'] },
  })
  const watched = monitorEventLoopDelay({ resolution: LOOK_MS })
  watched.enable()
  const window = new Window(watched)
  delays.with({ quantile: '0.99' }).follow(() => window.read().most)
  delays.with({ quantile: '1' }).follow(() => window.read().worst)
  return () => void watched.disable()
}

/** Delays in seconds. */
interface Delays {
  readonly most: number
  readonly worst: number
}

/**
 * The delays of the window that is open and of the one before. If each read closed the
 * window, one scraper would hide from another what it saw.
 */
class Window {
  readonly #watched: Watched
  #before: Delays = { most: 0, worst: 0 }
  #since = performance.now()

  constructor(watched: Watched) {
    this.#watched = watched
  }

  read(): Delays {
    const now = delaysIn(this.#watched)
    const { most, worst } = this.#before
    const all = { most: Math.max(now.most, most), worst: Math.max(now.worst, worst) }
    if (performance.now() - this.#since >= WINDOW_MS) {
      this.#before = now
      this.#since = performance.now()
      this.#watched.reset()
    }
    return all
  }
}

/** Node counts the time between two looks, the wait that was wanted included. */
function delaysIn(watched: Watched): Delays {
  if (watched.count === 0) return { most: 0, worst: 0 }
  return { most: lateBy(watched.percentile(99)), worst: lateBy(watched.max) }
}

function lateBy(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LOOK_MS / 1000)
}
