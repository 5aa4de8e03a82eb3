/** Keeps a program running with the values that it should have. */
import type { Timers } from '../../../client/platform/timers.ts'
import { type Child, stopping } from './child.ts'
import { type Ending, endingText } from './ending.ts'

/** What is done when values change: nothing, a restart, or a signal. */
export type OnChange = 'none' | 'restart' | NodeJS.Signals

/** How a program is kept. */
export interface Manner {
  readonly onChange: OnChange
  /** Up to so many milliseconds, by chance, before that is done, so that not all machines do it at once. */
  readonly splayMs: number
  /** Milliseconds from SIGTERM to SIGKILL, for a restart. */
  readonly stopTimeoutMs: number
  /** Whether a program that ended by itself is started again. */
  readonly restart: 'no' | 'on-failure' | 'always'
  /** Whether a program that dies of new values gets those before. */
  readonly keepGood: boolean
}

/** What a supervisor works with; `V` are values of a program, of whatever kind. */
export interface SupervisorParts<V> extends Manner {
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
  /** Starts the program. What it rejects with ends it all. */
  readonly start: (values: V) => Promise<Child>
  /** Puts what is in files in its place, before the program is started or told. */
  readonly place: (values: V) => void
  readonly isSame: (a: V, b: V) => boolean
  /** Hears what happens, in words. */
  readonly say: (line: string) => void
  /**
   * Hears that the program has older values: those that it was started with, and those that were put into its place since;
   * undefined: no more.
   */
  readonly onKept: (started: V | undefined, placed?: V) => void
}

/** After so long, a program that has not got new values yet is one that has the old ones. */
const LATE_MS = 1000
/** So soon after new values a program dies of them. */
const DYING_MS = 10_000
/** After so long, a program that ends did not end because of how it was started. */
const STEADY_MS = 60_000
const MAX_DELAY_MS = 60_000
/** Between two looks at what is left of a program. */
const LOOK_MS = 50
/** The exit code of a program that died of its new values, and then of those before. */
const GAVE_UP: Ending = { code: 124, signal: null }

/** One program. */
export class Supervisor<V> {
  readonly #parts: SupervisorParts<V>
  /** What the program has, or gets when it starts. */
  #current: V
  #wanted: V
  /** What it was started with. */
  #started: V | undefined
  /** Whether it was last told that the program has older values. */
  #isKept = false
  /** What it had before the last change. */
  #before: V | undefined
  /** What it died of. */
  #bad: V | undefined
  #changedAt = Number.NEGATIVE_INFINITY
  #child: Child | undefined
  /** The signal that asked this process to stop. */
  #told: NodeJS.Signals | undefined
  #failures = 0
  #news = Promise.withResolvers<void>()

  constructor(parts: SupervisorParts<V>, values: V) {
    this.#parts = parts
    this.#current = values
    this.#wanted = values
  }

  /** The number of the process that runs; undefined between two. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** The values that the program should have from now on. */
  want(values: V): void {
    this.#wanted = values
    if (this.#bad !== undefined && !this.#parts.isSame(values, this.#bad)) {
      this.#bad = undefined
      this.#isKept = false
      this.#parts.onKept(undefined)
    }
    this.#wake()
  }

  /** This process was sent a signal. `isKnown`: the program was sent it, too. */
  tell(signal: NodeJS.Signals, isKnown = false): void {
    if (!isKnown) this.#child?.pass(signal)
    if (!stopping.has(signal) && (signal !== 'SIGHUP' || this.#child)) return
    this.#told = signal
    this.#wake()
  }

  /** Runs the program until it ended for good, and resolves with how. Rejects where it cannot be started. */
  async run(): Promise<Ending> {
    for (;;) {
      const startedAt = this.#parts.timers.now()
      const ending = await this.#runOnce()
      if (this.#told !== undefined) return ending ?? { code: null, signal: this.#told }
      if (ending === undefined) continue
      const isFailure = ending.code !== 0
      if (isFailure && this.#isDying()) {
        if (this.#bad !== undefined) return GAVE_UP
        if (this.#goesBack(ending)) continue
      }
      const { restart } = this.#parts
      if (restart === 'no' || (restart === 'on-failure' && !isFailure)) return ending
      await this.#delay(ending, this.#parts.timers.now() - startedAt)
      if (this.#told !== undefined) return { code: null, signal: this.#told }
    }
  }

  /** Runs it once, and resolves with how it ended; undefined where that was for a restart. */
  async #runOnce(): Promise<Ending | undefined> {
    const { onChange, place, start, say, timers } = this.#parts
    if (this.#hasNews()) this.#take()
    place(this.#current)
    this.#started = this.#current
    const child = await start(this.#current)
    this.#child = child
    this.#tellKept()
    let stopAlarm: (() => void) | undefined
    // It may have come before there was anybody to tell.
    if (this.#told !== undefined) child.pass(this.#told)
    try {
      for (;;) {
        const ending = await Promise.race([child.ended, this.#untilNews()])
        if (ending) return ending
        if (this.#told !== undefined) return await child.ended
        stopAlarm?.()
        stopAlarm = timers.after(LATE_MS, () => this.#tellKept())
        const pauseMs = this.#parts.splayMs * this.#parts.random()
        const over = pauseMs > 0 ? await this.#wait(pauseMs, child.ended) : undefined
        if (over) return over
        if (this.#told !== undefined) return await child.ended
        // It may have changed back.
        if (!this.#hasNews()) {
          this.#tellKept()
          continue
        }
        if (onChange === 'restart') {
          say('The values changed: the program is stopped, and started with the new ones')
          await this.#stop(child)
          if (this.#hasNews()) this.#take()
          return undefined
        }
        this.#take()
        place(this.#current)
        this.#tellKept()
        if (onChange === 'none') continue
        say(`The values changed: the program is sent ${onChange}`)
        child.signal(onChange)
      }
    } finally {
      stopAlarm?.()
      this.#child = undefined
    }
  }

  /** Has it be known where the program has other values than it should. */
  #tellKept(): void {
    const { isSame, onKept } = this.#parts
    const started = this.#started
    if (started !== undefined && (this.#hasNews() || !isSame(started, this.#current))) {
      this.#isKept = true
      onKept(started, this.#current)
    } else if (this.#isKept && this.#bad === undefined) {
      this.#isKept = false
      onKept(undefined)
    }
  }

  #hasNews(): boolean {
    const { isSame } = this.#parts
    const isBad = this.#bad !== undefined && isSame(this.#wanted, this.#bad)
    return !isBad && !isSame(this.#wanted, this.#current)
  }

  #take(): void {
    this.#before = this.#current
    this.#current = this.#wanted
    this.#changedAt = this.#parts.timers.now()
  }

  #isDying(): boolean {
    return this.#parts.keepGood && this.#parts.timers.now() - this.#changedAt < DYING_MS
  }

  /** Has the program go back to the values before, where there are any. */
  #goesBack(ending: Ending): boolean {
    const { say, onKept, timers } = this.#parts
    if (this.#before === undefined) return false
    this.#bad = this.#current
    this.#current = this.#before
    this.#before = undefined
    this.#changedAt = timers.now()
    const how = endingText(ending)
    say(`The program ended soon after it got new values, with ${how}: it gets those before`)
    this.#isKept = true
    onKept(this.#current)
    return true
  }

  /** Waits longer after each failure. */
  async #delay(ending: Ending, ranMs: number): Promise<void> {
    this.#failures = ranMs >= STEADY_MS ? 1 : this.#failures + 1
    const ms = Math.min(MAX_DELAY_MS, 1000 * 2 ** (this.#failures - 1))
    this.#parts.say(
      `The program ended, with ${endingText(ending)}: it is started in ${ms / 1000} s`,
    )
    await this.#wait(ms, this.#untilNews())
  }

  /** Ends it with all that it started, the hard way where it takes too long. */
  async #stop(child: Child): Promise<void> {
    const { stopTimeoutMs, timers, say } = this.#parts
    let late = false
    const stopAlarm = timers.after(stopTimeoutMs, () => {
      late = true
      say(`The program did not end ${stopTimeoutMs / 1000} s after SIGTERM: it is sent SIGKILL`)
      child.signalAll('SIGKILL')
    })
    child.signalAll('SIGTERM')
    await child.ended
    // What it started may still have its port or its lock.
    for (let looks = 0; child.isLeft() && looks < 20; looks += late ? 1 : 0)
      await this.#wait(LOOK_MS)
    stopAlarm()
  }

  /** Resolves with undefined when there are other values, or this process is to stop. */
  async #untilNews(): Promise<undefined> {
    while (!this.#hasNews() && this.#told === undefined) await this.#news.promise
  }

  #wake(): void {
    this.#news.resolve()
    this.#news = Promise.withResolvers()
  }

  /** Resolves as `task` does, or with undefined once `ms` milliseconds have passed. */
  async #wait<T>(ms: number, task?: Promise<T>): Promise<T | undefined> {
    const pause = Promise.withResolvers<undefined>()
    const stop = this.#parts.timers.after(ms, () => pause.resolve(undefined))
    try {
      return await (task ? Promise.race([task, pause.promise]) : pause.promise)
    } finally {
      stop()
    }
  }
}
