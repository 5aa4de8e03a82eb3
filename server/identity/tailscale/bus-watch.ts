/**
 * Follows tailscaled's bus for as long as the server runs: through restarts, with growing waits
 * between attempts, and with a look at the state every now and then for what the bus does not report.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { asSottoError } from '../../../client/api/errors.ts'
import type { Log, Logger } from '../../platform/logger.ts'
import type { BusLine } from './bus.ts'
import type { LocalApi } from './local-api.ts'

/** What happens at news. */
export interface BusWatchParts {
  readonly localApi: Pick<LocalApi, 'watch'>
  /** How often to look at the state at least, in milliseconds. */
  readonly pollMs: number
  /** Looks at the state of the node; rejects when tailscaled does not answer. */
  readonly refresh: () => Promise<void>
  /** Looks for callers that have left. Never rejects. */
  readonly sweep: () => Promise<void>
  /** Called when no caller can be named any more. */
  readonly everybody: () => void
  readonly logger: Logger
}

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5000

/** A watch that lasts. */
export class BusWatch {
  readonly #parts: BusWatchParts
  readonly #stop = new AbortController()
  readonly #sweeps: () => void
  /** Streams that ended early, one after the other. */
  #brokenStreams = 0
  /** Looks in vain since tailscaled last answered. */
  #failures = 0
  #ended: Promise<unknown> = Promise.resolve()

  constructor(parts: BusWatchParts) {
    this.#parts = parts
    this.#sweeps = oneAtATime(parts.sweep)
  }

  /** Begins to watch. */
  start(): void {
    this.#ended = Promise.all([this.#follow(), this.#poll()])
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop
    const { localApi, logger } = this.#parts
    while (!signal.aborted) {
      const began = performance.now()
      let first = true
      let fault: unknown
      try {
        await localApi.watch((line) => {
          this.#take(line, first)
          first = false
        }, signal)
      } catch (error) {
        fault = error
      }
      if (performance.now() - began > LONGEST_WAIT_MS) this.#brokenStreams = 0
      const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#brokenStreams, LONGEST_WAIT_MS)
      this.#brokenStreams++
      if (fault && this.#brokenStreams === 1) logger.warn(...told(fault))
      // A stream that ended says nothing yet: whether tailscaled answers does.
      if (!signal.aborted) await this.#look()
      await pause(wait, signal)
    }
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await pause(this.#parts.pollMs, signal)
      if (!signal.aborted) await this.#look()
    }
  }

  #take({ running, self, peers }: BusLine, first: boolean): void {
    if (running === false) this.#parts.everybody()
    // What happened before the first line of a new stream was not reported.
    if (first || self || running !== undefined) void this.#look()
    if (first || peers) this.#sweeps()
  }

  async #look(): Promise<void> {
    const { refresh, everybody, logger } = this.#parts
    try {
      await refresh()
      if (this.#failures > 0) logger.info('tailscaled answers again')
      this.#failures = 0
    } catch (error) {
      if (this.#stop.signal.aborted) return
      this.#failures++
      if (this.#failures === 1) logger.error(...told(error))
      // One failure may be a restart that is over in a moment.
      if (this.#failures === 2) everybody()
    }
  }
}

function told(error: unknown): Parameters<Log> {
  const { code, message } = asSottoError(error)
  return [message, { code }]
}

/** Runs `work` when called; once more after it, however often it is called meanwhile. */
function oneAtATime(work: () => Promise<void>): () => void {
  let wanted = false
  let running = false
  const runAll = async (): Promise<void> => {
    running = true
    while (wanted) {
      wanted = false
      await work()
    }
    running = false
  }
  return function run(): void {
    wanted = true
    if (!running) void runAll()
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => {})
}
