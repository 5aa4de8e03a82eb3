/** One line on the terminal that changes, where a person is looking. */
import { visible } from '../../client/api/visible.ts'
import { Interrupted } from './interrupted.ts'
import type { Invocation } from '../invocation.ts'
import type { Io } from './io.ts'

/** How often the line changes at most, in milliseconds. */
const PROGRESS_MS = 100
/** How long what is aborted may take to end: what waits for another machine may not notice. */
const GRACE_MS = 3000

/** How far a command is. Nothing is shown unless `shown`. */
export class Progress {
  readonly #io: Io
  readonly #shown: boolean
  #width = 0
  #last = Number.NEGATIVE_INFINITY

  constructor(io: Io, shown: boolean) {
    this.#io = io
    this.#shown = shown
  }

  /** Shows `text`, if it is time for a change or `last` says that no other follows soon. */
  show(text: string, last: boolean): void {
    const now = performance.now()
    if (!this.#shown || (!last && now - this.#last < PROGRESS_MS)) return
    this.#last = now
    void this.#write(text).catch(() => {})
  }

  /** The same for a step that is `done` of `total`. */
  part(step: string, done: number, total: number): void {
    const share = total === 0 ? 100 : Math.floor((100 * done) / total)
    this.show(`${step}: ${share} %`, done >= total)
  }

  /** Clears the line. */
  async end(): Promise<void> {
    if (this.#width === 0) return
    await this.#write('')
    this.#width = 0
  }

  async #write(text: string): Promise<void> {
    const plain = visible(text)
    const line = `\r${plain.padEnd(this.#width)}${plain === '' ? '\r' : ''}`
    this.#width = plain.length
    await this.#io.stderr.write(line, { raw: true })
  }
}

/** Runs `act`, showing how far it is. A signal that asks to stop aborts it; then it throws Interrupted. */
export async function withProgress<T>(
  invocation: Invocation,
  act: (show: Progress['part'], signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { io, json } = invocation
  const progress = new Progress(io, io.stderr.isTTY && !json)
  try {
    return await interruptible(io, (signal) => act((...step) => progress.part(...step), signal))
  } finally {
    await progress.end()
  }
}

/** Runs `act`. A signal that asks to stop aborts it: then it throws Interrupted once all is in order, or soon. */
export async function interruptible<T>(
  io: Io,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const late = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  using _ = io.onInterrupt((signal) => {
    if (stop.signal.aborted) return
    stop.abort(new Interrupted(signal))
    timer = setTimeout(() => late.reject(stop.signal.reason), GRACE_MS)
  })
  try {
    return await Promise.race([act(stop.signal), late.promise])
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error
  } finally {
    clearTimeout(timer)
  }
}

/** A wish to stop: the first Ctrl-C lets what is under way finish, the second aborts `signal`. */
export class Halt {
  readonly #abort = new AbortController()
  readonly #listening: Disposable
  #exit: number | undefined

  /** Listens until it is disposed of. */
  constructor({ io, json }: Invocation) {
    this.#listening = io.onInterrupt((signal) => {
      const stop = new Interrupted(signal)
      if (this.asked) this.#abort.abort(stop)
      else if (!json) void io.stderr.write(haltWords).catch(() => {})
      this.#exit ??= stop.exit
    })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether nothing further is to be begun. */
  get asked(): boolean {
    return this.#exit !== undefined
  }

  /** The exit code where that was asked for. */
  get exit(): number | undefined {
    return this.#exit
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }
}

const haltWords =
  '\nFinishing the secrets under way. Ctrl-C again stops at once; a later run continues.\n'
