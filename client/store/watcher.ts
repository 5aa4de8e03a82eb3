/** Has the server tell what changes: keeps a watch open, and opens it again where it ends. */
import { asSottoError, type SottoError } from '../api/errors.ts'
import { MAX_WATCHED } from '../api/types.ts'
import { ServerError } from '../answer.ts'
import type { Held } from '../client.ts'
import type { Timers } from '../platform/timers.ts'
import type { Change, WatchEvent } from '../watch.ts'
import { pause } from './aborted.ts'
import { Backoff } from './backoff.ts'
import { retryAfterOf } from './poller.ts'
import { positionOf } from './position.ts'
import type { WatchedSource } from './source.ts'

/** To the next question of a server that has no watch, give or take a tenth, in milliseconds. */
const PROBE_MS = 3_600_000
/** How long a watch must have been well for what failed before it to be forgotten. */
const HEALTHY_MS = 120_000
/** From a name that is newly held to a watch with it: more may follow. */
const GATHER_MS = 1_000
/** Clients of a server that stops come back over this time. */
const RETURN_MS = 5_000
/** A stream that nothing came out of for so long may be held back on its way. */
const HELD_BACK_MS = 20_000
/** How long a server may wait with its answer where streams are held back. */
const WAIT_SECONDS = 25

/** What a watcher is made of. */
export interface WatcherParts {
  readonly source: WatchedSource
  /** What is held now, by name; 0 where the server is to say what there is. */
  readonly held: () => Held
  /** One change was told. `at` is how far the server was, as a text. */
  readonly told: (change: Change, at: string | undefined) => void
  /** Everything up to `at` was told. Rejects where that could not be taken. */
  readonly synced: (told: ToldChanges, at: string | undefined) => Promise<void>
  /** The watch ended, for a while: with a failure, or as the server meant it to. */
  readonly ended: (failure: SottoError | undefined) => void
  /** The server has no watch, or there are too many names. */
  readonly impossible: () => void
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** What was told. */
export interface ToldChanges {
  readonly changes: readonly Change[]
  /** What the server compared, where these are all in which it differs; undefined where they were added to that. */
  readonly compared: Held | undefined
}

/** Watches, by one stream at a time. */
export class Watcher {
  readonly #parts: WatcherParts
  readonly #backoff: Backoff
  readonly #closed = new AbortController()
  /** Ends the stream that is open. */
  #stream = new AbortController()
  #wake = (): void => {}
  #stopGathering: (() => void) | undefined
  /** What the server was asked to compare last. */
  #compared: Held = new Map()
  /** Whether the server is asked again and again in place of a stream. */
  #asksOften = false
  #running: Promise<void> | undefined

  constructor(parts: WatcherParts) {
    this.#parts = parts
    this.#backoff = new Backoff(1_000, 300_000, parts.random)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** What is held is other than the server was told, but for what it told itself: a watch with that begins soon. */
  restart(): void {
    this.#stopGathering ??= this.#parts.timers.after(GATHER_MS, () => {
      this.#stopGathering = undefined
      this.#stream.abort()
      this.#wake()
    })
  }

  /** Ends the watch, and resolves when nothing of it is under way. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#stopGathering?.()
    this.#wake()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) await this.#pause(await this.#watch())
  }

  /** Watches until that ends, and resolves with the milliseconds to the next time. */
  async #watch(): Promise<number> {
    const held = this.#parts.held()
    if (held.size > MAX_WATCHED) this.#parts.impossible()
    if (held.size === 0 || held.size > MAX_WATCHED) return Number.POSITIVE_INFINITY
    const began = this.#parts.timers.now()
    let syncedAt: number | undefined
    let reason: string | undefined
    let failure: SottoError | undefined
    this.#stream = new AbortController()
    this.#compared = held
    const signal = AbortSignal.any([this.#closed.signal, this.#stream.signal])
    try {
      let changes: Change[] = []
      for await (const event of this.#events(held, signal)) {
        if (event.event === 'change') {
          changes.push(event.change)
          this.#parts.told(event.change, event.at)
        } else if (event.event === 'synced') {
          const isFirst = this.#asksOften || syncedAt === undefined
          const compared = isFirst ? this.#compared : undefined
          await this.#parts.synced({ changes, compared }, event.at)
          changes = []
          syncedAt ??= this.#parts.timers.now()
        } else reason = event.reason
      }
    } catch (error) {
      if (this.#closed.signal.aborted) return 0
      // For a watch with more names. What failed at the same time shows again.
      if (this.#stream.signal.aborted) return 0
      failure = asSottoError(error)
    }
    return this.#afterwards({ began, syncedAt, reason, failure })
  }

  #afterwards({ began, syncedAt, reason, failure }: Ended): number {
    const { timers, random, ended, impossible } = this.#parts
    const now = timers.now()
    const wasHealthy = syncedAt !== undefined && now - syncedAt >= HEALTHY_MS
    if (wasHealthy) this.#backoff.reset()
    if (failure && hasNoWatch(failure)) {
      this.#asksOften = false
      impossible()
      return PROBE_MS * (0.9 + 0.2 * random())
    }
    ended(failure)
    if (failure) {
      const isHeldBack = syncedAt === undefined && now - began >= HELD_BACK_MS
      this.#asksOften = isHeldBack && !this.#asksOften && this.#parts.source.watchOnce !== undefined
      return this.#backoff.next(retryAfterOf(failure))
    }
    if (reason === 'stopping') return RETURN_MS * random()
    return reason === 'age' && wasHealthy ? 0 : this.#backoff.next()
  }

  #events(held: Held, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const { source, timers } = this.#parts
    if (this.#asksOften) return this.#answers(signal)
    return source.watch(held, { signal, timers, background: true })
  }

  /** The same as a stream, by one question after the other. */
  async *#answers(signal: AbortSignal): AsyncGenerator<WatchEvent, void, undefined> {
    const { source, held } = this.#parts
    for (;;) {
      let at: string | undefined
      this.#compared = held()
      const changes =
        (await source.watchOnce?.(this.#compared, {
          signal,
          waitSeconds: WAIT_SECONDS,
          background: true,
          revision: (text) => {
            at = text
          },
        })) ?? []
      for (const change of changes) yield { event: 'change', change, at }
      yield { event: 'synced', revision: positionOf(at)?.revision ?? 0, at }
      // It says again what it denies, and at once.
      if (changes.some(({ Denied }) => Denied)) {
        await pause(this.#parts.timers, WAIT_SECONDS * 1_000, signal)
      }
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#closed.signal.aborted || ms === 0) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = Number.isFinite(ms) ? this.#parts.timers.after(ms, resolve) : undefined
    this.#wake = (): void => {
      // More names alone bring back no server that asked for a pause.
      if (stop && !this.#closed.signal.aborted) return
      stop?.()
      resolve()
    }
    return promise
  }
}

/** How a watch ended. Times are of the timers. */
interface Ended {
  readonly began: number
  /** When everything was told for the first time; undefined where it never was. */
  readonly syncedAt: number | undefined
  /** The server's; undefined where it gave none. */
  readonly reason: string | undefined
  readonly failure: SottoError | undefined
}

/** Whether a server does not know the call, as setec's, or what answers in its place. */
function hasNoWatch(failure: SottoError): boolean {
  if (failure.code === 'no_such_method') return true
  return failure instanceof ServerError && [404, 405, 501].includes(failure.status)
}
