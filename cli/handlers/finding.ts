/** What `sotto doctor` finds: one thing each, and how it is. */
import { described } from '../../client/platform/system-error.ts'

/** What was found of one thing. */
export interface Finding {
  readonly name: string
  /** `warning`: it works, and will not for ever or not for all. */
  readonly state: 'ok' | 'warning' | 'failed'
  readonly message: string
  /** What to do about it. */
  readonly hint?: string | undefined
}

/** The finding that something is as it should be. */
export function ok(name: string, message: string): Finding {
  return { name, state: 'ok', message }
}

/** The finding that something works for now; `hint` says what to do. */
export function warning(name: string, message: string, hint?: string): Finding {
  return { name, state: 'warning', message, hint }
}

/** The finding that something does not work; `hint` says what to do. */
export function failed(name: string, message: string, hint: string): Finding {
  return { name, state: 'failed', message, hint }
}

/** The finding that something failed with `error`. */
export function failure(name: string, error: unknown): Finding {
  const { message, hint } = described(error)
  return { name, state: 'failed', message, hint }
}
