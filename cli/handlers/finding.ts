/** What `sotto doctor` finds: one thing each, and how it is. */
import { asSottoError } from '../../client/api/errors.ts'

/** What was found of one thing. */
export interface Finding {
  readonly name: string
  /** `warning`: it works, and will not for ever or not for all. */
  readonly state: 'ok' | 'warning' | 'failed'
  readonly message: string
  /** What to do about it. */
  readonly hint?: string | undefined
}

/** The finding that something failed with `error`. */
export function failure(name: string, error: unknown): Finding {
  const { message, hint } = asSottoError(error)
  return { name, state: 'failed', message, hint }
}
