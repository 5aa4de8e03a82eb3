/** The server's own principals: jobs go through the gate like any caller, under their own names. */
import type { Rule } from '../../client/api/types.ts'
import type { Call } from './gate.ts'
import { nextRequestId } from '../platform/request-id.ts'

/** A call of the job `name`, which may do what `rules` allow. In the audit log it is `system:NAME`. */
export function systemCall(name: string, rules: readonly Rule[]): Call {
  return {
    caller: { principal: { hostname: '', ip: '', user: `system:${name}` }, rules },
    request: nextRequestId(),
  }
}
