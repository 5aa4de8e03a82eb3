/**
 * Watches the event loop of a server's thread for turns that take much of its own processor time. In the
 * process of the server it is loaded by `--import` and watches between two signals; a test starts the server
 * with `watched()` and asks for what was seen.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryDirectory, type Running, type StartOptions, startSotto } from './sotto.ts'

/**
 * What a turn may take of the thread's processor time without garbage collection, in milliseconds of a machine that does
 * the piece of work below in `PIECE_MS`: one that is slower, or shared, is given longer by as much.
 */
export const MAX_TURN_MS = 10
const PIECE_MS = 15

/** What was seen of turns: processor time without garbage collection, in milliseconds of that machine. */
export interface Turns {
  readonly count: number
  /** The longest ones, the longest first. */
  readonly longest: readonly number[]
}

/** A server whose event loop can be watched. */
export interface Watched extends AsyncDisposable {
  readonly server: Running
  /** Watches while `task` runs, and resolves with the turns of that time. */
  during(task: () => Promise<unknown>): Promise<Turns>
}

const FILE = 'WATCHDOG_FILE'
const LONGEST = 10

/** Starts a development server that is watched. */
export async function watched(options: StartOptions = {}): Promise<Watched> {
  const scratch = temporaryDirectory()
  const file = join(scratch.path, 'turns.json')
  const server = await startSotto({
    ...options,
    env: { ...options.env, [FILE]: file },
    node: [...(options.node ?? []), '--import', import.meta.url],
  })
  let round = 0
  const reported = async (): Promise<Turns> => {
    for (;;) {
      if (existsSync(file)) {
        const { round: found, ...turns } = JSON.parse(readFileSync(file, 'utf8')) as Report
        if (found === round) return turns
      }
      await sleep(20)
    }
  }
  return {
    server,
    async during(task) {
      round++
      server.process.kill('SIGUSR2')
      await reported()
      try {
        await task()
      } finally {
        round++
        server.process.kill('SIGUSR2')
      }
      return reported()
    },
    async [Symbol.asyncDispose]() {
      await server.kill()
      scratch[Symbol.dispose]()
    },
  }
}

interface Report extends Turns {
  /** How many signals came. */
  readonly round: number
}

interface Turn {
  readonly from: number
  readonly to: number
  readonly ms: number
}

/** Runs in the process of the server. */
function watch(file: string): void {
  let round = 0
  let count = 0
  let turns: Turn[] = []
  let pauses: PerformanceEntry[] = []
  let watching = false
  const now = () => ({
    at: performance.now(),
    cpu: cpuMs(),
    active: performance.eventLoopUtilization().active,
  })
  let before = now()
  let slowness = 1
  const collector = new PerformanceObserver((list) => void pauses.push(...list.getEntries()))
  collector.observe({ entryTypes: ['gc'] })

  // Once in each turn, and without keeping the loop from its rest.
  const look = (): void => {
    if (!watching) return
    const after = now()
    count++
    // The system counts processor time by its ticks, of 4 ms as a rule; time that went by bounds it.
    const ms = Math.min(after.cpu - before.cpu, after.active - before.active)
    if (ms > MAX_TURN_MS / 4) turns.push({ from: before.at, to: after.at, ms })
    before = now()
    setImmediate(look).unref()
  }
  const report = (): void => {
    const longest = turns
      .map((turn) => Math.max(0, turn.ms - pausedMs(pauses, turn)) / slowness)
      .toSorted((a, b) => b - a)
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ round, count, longest: longest.slice(0, LONGEST) }),
    )
    renameSync(`${file}.new`, file)
    count = 0
    turns = []
    pauses = []
  }
  process.on('SIGUSR2', () => {
    round++
    watching = !watching
    // What the observer has not been given yet comes before.
    if (!watching) {
      slowness = Math.max(slowness, slownessNow())
      setTimeout(report, 200)
    } else {
      report()
      slowness = slownessNow()
      before = now()
      setImmediate(look).unref()
    }
  })
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

const text = JSON.stringify(
  Array.from({ length: 2000 }, (_, at) => ({ name: `team-${at}/key`, versions: [at, at + 1] })),
)

/** How many times as long as `PIECE_MS` a piece of work takes here and now; 1 where it takes less. */
function slownessNow(): number {
  const before = cpuMs()
  for (let times = 0; times < 40; times++) JSON.parse(text)
  return Math.max(1, (cpuMs() - before) / PIECE_MS)
}

function pausedMs(pauses: readonly PerformanceEntry[], { from, to }: Turn): number {
  return pauses.reduce((ms, { startTime, duration }) => {
    const overlap = Math.min(to, startTime + duration) - Math.max(from, startTime)
    return ms + Math.max(0, overlap)
  }, 0)
}

const file = process.env[FILE]
// The threads of the server load it too.
if (file !== undefined && process.argv.includes('server')) {
  const { isMainThread } = await import('node:worker_threads')
  if (isMainThread) watch(file)
}
