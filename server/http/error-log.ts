/** Reports errors to the operator, a few of each kind a minute, so that no caller can fill a disk with them. */
import type { ErrorCode, SottoError } from '../../client/api/errors.ts'

/** An error, for the operator. */
export interface Fault {
  /** The id of the request that failed. */
  readonly request: string
  readonly code: ErrorCode
  readonly message: string
  /** What to do about it. */
  readonly hint?: string | undefined
}

/** Errors of a kind that are reported one by one in a window. */
const LINES = 10
/** Length of a window, in milliseconds. */
const WINDOW_MS = 60_000

/** Reports errors. */
export class ErrorLog {
  readonly #report: (fault: Fault) => void
  readonly #windowMs: number
  readonly #counts = new Map<ErrorCode, { count: number; last: string }>()
  #timer: NodeJS.Timeout | undefined

  constructor(report: (fault: Fault) => void, windowMs: number = WINDOW_MS) {
    this.#report = report
    this.#windowMs = windowMs
  }

  /** Reports that the request failed with `error`, or counts it. */
  note(request: string, error: SottoError): void {
    this.#timer ??= setTimeout(() => this.flush(), this.#windowMs).unref()
    const { count } = this.#counts.get(error.code) ?? { count: 0 }
    this.#counts.set(error.code, { count: count + 1, last: request })
    const { code, hint } = error
    if (count < LINES) this.#report({ request, code, message: messageOf(error), hint })
  }

  /** Reports how many more there were in the window that ends. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [code, { count, last }] of this.#counts) {
      const more = count - LINES
      if (more > 0) {
        this.#report({ request: last, code, message: `the last of ${more} more within a minute` })
      }
    }
    this.#counts.clear()
  }
}

/** What was attempted, and why it failed. */
function messageOf({ message, cause }: SottoError): string {
  const hasCause = cause instanceof Error && !message.includes(cause.message)
  const reason = hasCause ? `: ${cause.name}: ${cause.message}` : ''
  return `${message}${reason}`
}
