/** Who may do what on the tailnets of these tests, as both control servers are told it. */
import type { Rule } from '../../client/api/types.ts'

/** One grant of a tailnet's policy. */
export interface Grant {
  readonly src: readonly string[]
  readonly dst: readonly string[]
  readonly ip?: readonly string[]
  readonly app?: Readonly<Record<string, readonly Rule[]>>
}

/** The user whose device has rights. */
export const alice = 'alice@example.com'
/** The user whose device may connect, and nothing else. */
export const bob = 'bob@example.com'

/** Every node may connect to the server. */
export const network: Grant = {
  src: ['*'],
  dst: ['tag:secrets'],
  ip: ['tcp:443', 'tcp:80', 'tcp:8443'],
}

/** What the user's device may do, under the name of the capability. */
export function userGrant(capability: string): Grant {
  const rules: Rule[] = [{ action: ['get', 'info', 'put', 'activate'], secret: ['dev/*'] }]
  return { src: [alice], dst: ['tag:secrets'], app: { [capability]: rules } }
}

/** What the tagged device may do. */
export function taggedGrant(capability: string): Grant {
  const rules: Rule[] = [{ action: ['get'], secret: ['prod/web/*'] }]
  return { src: ['tag:web'], dst: ['tag:secrets'], app: { [capability]: rules } }
}

/** What the device that fills the store may do: everything. */
export function adminGrant(capability: string): Grant {
  const action: Rule['action'] = ['get', 'info', 'put', 'create-version', 'activate', 'delete']
  return {
    src: ['tag:admin'],
    dst: ['tag:secrets'],
    app: { [capability]: [{ action, secret: ['*'] }] },
  }
}
