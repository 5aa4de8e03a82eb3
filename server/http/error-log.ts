/** Tells the operator of errors, a few of each kind a minute: a caller cannot fill a disk with them. */
import type { ErrorCode, SottoError } from '../../client/api/errors.ts'

/** A fault in words for the operator. */
export interface Fault {
  /** The id of the request that it befell. */
  readonly request: string
  readonly code: ErrorCode
  readonly message: string
}

/** ErrorLog of a kind that are told one by one in a window. */
const LINES = 10
/** Length of a window, in milliseconds. */
const WINDOW_MS = 60_000

/** Tells of errors. */
export class ErrorLog {
  readonly #tell: (fault: Fault) => void
  readonly #windowMs: number
  readonly #counts = new Map<ErrorCode, { count: number; last: string }>()
  #timer: NodeJS.Timeout | undefined

  constructor(tell: (fault: Fault) => void, windowMs: number = WINDOW_MS) {
    this.#tell = tell
    this.#windowMs = windowMs
  }

  /** Tells that `error` befell the request, or counts it. */
  note(request: string, error: SottoError): void {
    this.#timer ??= setTimeout(() => this.flush(), this.#windowMs).unref()
    const { count } = this.#counts.get(error.code) ?? { count: 0 }
    this.#counts.set(error.code, { count: count + 1, last: request })
    if (count < LINES) this.#tell({ request, code: error.code, message: messageOf(error) })
  }

  /** Tells how many more there were in the window that ends. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [code, { count, last }] of this.#counts) {
      const more = count - LINES
      if (more > 0) {
        this.#tell({ request: last, code, message: `the last of ${more} more within a minute` })
      }
    }
    this.#counts.clear()
  }
}

/** What was attempted, why it failed, and what to do about it. */
function messageOf({ message, cause, hint }: SottoError): string {
  const told = !(cause instanceof Error) || message.includes(cause.message)
  const reason = told ? '' : `: ${cause.name}: ${cause.message}`
  return `${message}${reason}${hint === undefined ? '' : `. ${hint}`}`
}
