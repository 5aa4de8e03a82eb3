/** What only the settings may say about backends, and no caller of the API: where they may be, and the server's own identity. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { type JwtRole, jwtRoleAt } from '../backends/own-identity.ts'
import type { Proxies } from '../platform/proxies.ts'
import { proxiesOf } from './proxies.ts'
import { setOf, type SettingValues } from './settings/setting.ts'

/** Where the server may connect to for backends, and how it proves its identity. */
export interface BackendsConfig {
  /** Scheme, host and port of each. Absent: nowhere. */
  readonly backendOrigins?: readonly string[]
  /** The JWT that proves to a backend who the server is. Absent: the token of the pod's service account. */
  readonly backendJwtFile?: string
  /** What that JWT may be used for. Absent: nothing. */
  readonly backendJwtRoles?: readonly JwtRole[]
  /** The file of the authorities of backends, PEM. Absent: those of Node. */
  readonly backendCaFile?: string
  /** The proxies to those that are outside of the tailnet. Absent: none. */
  readonly backendProxies?: Proxies
}

/** Reads them. Throws `usage` for what is not an origin, or not a role. */
export function backendsConfig(given: SettingValues): BackendsConfig {
  const origins = given.value('backend-origin')
  const roles = given.value('backend-jwt-role')
  const { proxies } = origins === undefined ? {} : proxiesOf(given)
  return {
    ...(origins !== undefined && { backendOrigins: originsIn(origins) }),
    ...(proxies !== undefined && { backendProxies: proxies }),
    ...(roles !== undefined && { backendJwtRoles: roles.split(',').map(roleIn) }),
    ...setOf(given, { backendJwtFile: 'backend-jwt-file', backendCaFile: 'backend-ca-file' }),
  }
}

function roleIn(text: string): JwtRole {
  const role = jwtRoleAt(text.trim())
  if (role) return role
  throw new SottoError('usage', `Cannot use ${quote(text)} as --backend-jwt-role`, {
    hint: 'It is https://HOST:PORT/v1/[NAMESPACE/]auth/MOUNT/role/NAME.',
  })
}

function originsIn(text: string): string[] {
  return text.split(',').map((each) => {
    const url = URL.parse(each.trim())
    if (url && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return url.origin
    throw new SottoError('usage', `Cannot use ${quote(each)} as --backend-origin`, {
      hint: 'It is https://HOST:PORT, and nothing after that.',
    })
  })
}
