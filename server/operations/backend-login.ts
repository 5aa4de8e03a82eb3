/** How the server is logged in to a backend, as an operator may see it. */
import { onlyFor, SottoError } from '../../client/api/errors.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import type { BackendStatus, LoginFailure } from '../backends/contract.ts'
import type { BackendRecord } from '../backends/registry.ts'
import type { Call, Gate } from '../gate/gate.ts'

/** Characters of what a failed login met: OpenBao chooses some of the words. */
const MAX_FAILURE = 500

/** The state of the logins at `record`; without `status` there were none. */
export function loginOf(
  { config: { auth } }: BackendRecord,
  status: BackendStatus | undefined,
  { call, gate, now }: { readonly call: Call; readonly gate: Gate; readonly now: Date },
): OperationResponse<'backend-describe'>['Login'] {
  const { tokenTtlMs, loggedInMs, renewedMs, lastFailure } = status ?? {}
  const ago = (ms: number): string => new Date(now.getTime() - ms).toISOString()
  return {
    Method: auth?.method ?? 'token',
    Inline: auth?.inline ?? false,
    ...(loggedInMs !== undefined && { Since: ago(loggedInMs) }),
    ...(tokenTtlMs !== undefined && { TokenSeconds: Math.floor(tokenTtlMs / 1000) }),
    ...(renewedMs !== undefined && { Renewed: ago(renewedMs) }),
    ...(lastFailure && { Failed: ago(lastFailure.ms), Failure: told(call, gate, lastFailure) }),
  }
}

/** Where a credential is, is for those alone who may know every name. */
function told(call: Call, gate: Gate, { found, ofCredential }: LoginFailure): string {
  const words = ofCredential
    ? gate.told(call, onlyFor('backends:view', new SottoError('backend_refused', found)))
    : found
  return words.length > MAX_FAILURE ? `${words.slice(0, MAX_FAILURE)}…` : words
}
