/** One line on the terminal that changes, where a person is looking. */
import { Interrupted } from './interrupted.ts'
import type { Invocation } from '../invocation.ts'
import type { Io } from './io.ts'

/** How often the line changes at most, in milliseconds. */
const PROGRESS_MS = 100

/** How far a command is. Nothing is shown unless `shown`. */
export class Progress {
  readonly #io: Io
  readonly #shown: boolean
  #width = 0
  #last = 0

  constructor(io: Io, shown: boolean) {
    this.#io = io
    this.#shown = shown
  }

  /** Shows `text`, if it is time for a change or `last` says that no other follows soon. */
  show(text: string, last: boolean): void {
    const now = this.#io.now()
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
    const line = `\r${text.padEnd(this.#width)}${text === '' ? '\r' : ''}`
    this.#width = text.length
    await this.#io.stderr.write(line)
  }
}

/** Runs `act`, showing how far it is, and breaks it off on Ctrl-C. */
export async function withProgress<T>(
  invocation: Invocation,
  act: (show: Progress['part'], signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { io, json } = invocation
  const progress = new Progress(io, io.stderr.isTTY && !json)
  const stop = new AbortController()
  using _ = io.onInterrupt(() => stop.abort())
  try {
    return await act((...step) => progress.part(...step), stop.signal)
  } catch (error) {
    throw stop.signal.aborted ? new Interrupted('Interrupted', { cause: error }) : error
  } finally {
    await progress.end()
  }
}

/** A wish to stop: the first Ctrl-C lets what is under way finish, the second aborts `signal`. */
export class Halt {
  readonly #abort = new AbortController()
  readonly #listening: Disposable
  #asked = false

  /** Listens until it is disposed of. */
  constructor({ io, json }: Invocation) {
    this.#listening = io.onInterrupt(() => {
      if (this.#asked) this.#abort.abort(new Interrupted('Interrupted'))
      else if (!json) void io.stderr.write(haltWords).catch(() => {})
      this.#asked = true
    })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether nothing further is to be begun. */
  get asked(): boolean {
    return this.#asked
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }
}

const haltWords =
  '\nFinishing the secrets under way. Ctrl-C again stops at once; a later run continues.\n'
