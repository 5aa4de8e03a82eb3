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
      help: 'The running release; always 1.',
      labels: { version: [version], node: [node] },
    })
    .with({ version, node })
    .set(1)
  registry
    .gauge({
      name: 'process_start_time_seconds',
      help: 'When the process started.',
    })
    .set(Date.now() / 1000 - process.uptime())
  registry
    .counter({
      name: 'process_cpu_seconds_total',
      help: 'Processor time used.',
    })
    .follow(() => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    })
  registry
    .gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.' })
    .follow(() => process.memoryUsage.rss())
  countOpenFiles(registry)
  return watchEventLoop(registry)
}

/** Not on systems without /proc. The kernel answers out of its memory: no disk is asked. */
function countOpenFiles(registry: Registry): void {
  const open = registry.gauge({
    name: 'process_open_fds',
    help: 'Open files and sockets.',
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
      help: 'Busy time of the event loop.',
    })
    .follow(() => performance.eventLoopUtilization().active / 1000)
  const delays = registry.gauges({
    name: 'sotto_event_loop_delay_seconds',
    help: 'Delay of the event loop in the last minute.',
    labels: { quantile: ['0.99', '1'] },
  })
  const watched = monitorEventLoopDelay({ resolution: LOOK_MS })
  watched.enable()
  const read = windowOf(watched)
  delays.with({ quantile: '0.99' }).follow(() => read().most)
  delays.with({ quantile: '1' }).follow(() => read().worst)
  return () => void watched.disable()
}

/** Delays in seconds. */
interface Delays {
  readonly most: number
  readonly worst: number
}

/**
 * Reads the delays of the window that is open and of the one before. If each read closed the
 * window, one scraper would hide from another what it saw.
 */
function windowOf(watched: Watched): () => Delays {
  let before: Delays = { most: 0, worst: 0 }
  let since = performance.now()
  return function read() {
    const now = delaysIn(watched)
    const most = Math.max(now.most, before.most)
    const worst = Math.max(now.worst, before.worst)
    if (performance.now() - since >= WINDOW_MS) {
      before = now
      since = performance.now()
      watched.reset()
    }
    return { most, worst }
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
