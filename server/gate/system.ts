/** The server's own principals: jobs act through the gate like any caller, under names of their own. */
import { randomBytes } from 'node:crypto'
import type { Rule } from '../../client/api/types.ts'
import type { Call } from './gate.ts'

const boot = randomBytes(6).toString('hex')
let calls = 0

/** A call of the job `name`, which may do what `rules` allow. On the audit log it is `system:NAME`. */
export function systemCall(name: string, rules: readonly Rule[]): Call {
  calls++
  return {
    caller: { principal: { hostname: '', ip: '', user: `system:${name}` }, rules },
    request: `${boot}-${name}-${calls.toString(36)}`,
  }
}
