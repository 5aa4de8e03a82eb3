/** The errors for failed calls to OpenBao. */
import { type ErrorCode, SottoError } from '../../../client/api/errors.ts'
import type { Failure, FailureKind } from '../../openbao/failures.ts'

/** Failures that pass, or that are fixed at OpenBao: nothing is wrong with the request. */
const passing: ReadonlySet<FailureKind> = new Set([
  'unreachable',
  'late',
  'sealed',
  'uninitialised',
  'standby',
  'rate_limited',
  'failed',
])

/** The error for `failure`; `attempted` follows "Cannot", `place` names the OpenBao. */
export function troubleOf(attempted: string, place: string, failure: Failure): SottoError {
  const { found, hint } = failure
  return new SottoError(codeOf(failure), `Cannot ${attempted} at ${place}: ${found}`, { hint })
}

function codeOf({ kind, reasons }: Failure): ErrorCode {
  if (passing.has(kind)) return 'backend_unavailable'
  if (kind === 'too_large') return 'backend_too_large'
  // A new mount answers this for a moment.
  if (kind === 'refused' && /upgrading/i.test(reasons.join())) return 'backend_unavailable'
  return 'backend_refused'
}
