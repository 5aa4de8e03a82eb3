/** Opens backends of the type openbao from their settings. */
import { mirrorTree, type OpenBaoConfig } from '../../../client/api/backends.ts'
import { OpenBaoBackend } from './backend.ts'
import type { Login } from '../../openbao/login.ts'
import type { Proxies } from '../../platform/proxies.ts'
import { isOwn } from '../own-identity.ts'
import type { BackendWorld, OpenBackend } from '../opened.ts'

/** What the operator of the server sets, not a caller of the API. */
export interface OpenBaoSettings {
  /** Scheme, host and port of each OpenBao that the server may connect to. */
  readonly origins: readonly string[]
  /** The JWT that proves to an OpenBao who the server is. */
  readonly jwtFile: string
  /** PEM of the authorities of backends that name none. Absent: those of Node. */
  readonly authorities?: string | undefined
  /** Absent: none. */
  readonly proxies?: Proxies | undefined
}

/** Makes the opener of a server. */
export function openBaoOpener({
  origins,
  jwtFile,
  authorities,
  proxies,
}: OpenBaoSettings): OpenBackend {
  return function openOpenBao(config, world) {
    const { url, namespace, caCertificate, mount, pathPrefix, auth } = config
    // Not what a caller gave, however it is read: the server's own JWT goes there.
    const ca = isOwn(auth) ? authorities : (caCertificate ?? authorities)
    return new OpenBaoBackend({
      address: {
        url,
        ...(namespace !== undefined && { namespace }),
        ...(ca !== undefined && { ca }),
        ...(proxies !== undefined && { proxies }),
      },
      login: loginOf(config, world, jwtFile),
      inline: auth?.inline ?? false,
      mount,
      prefix: pathPrefix,
      projections: mirrorTree(config),
      origins,
      owner: world.owner,
    })
  }
}

function loginOf(
  { tokenSecretRef, auth }: OpenBaoConfig,
  { credential }: BackendWorld,
  jwtFile: string,
): Login {
  if (tokenSecretRef) return { method: 'token', token: { read: () => credential(tokenSecretRef) } }
  if (!auth) throw new Error('a backend without a way to log in')
  const mount = auth.mount === undefined ? {} : { mount: auth.mount }
  if (auth.method === 'approle') {
    const { method, roleId, secretIdSecretRef } = auth
    return { method, ...mount, roleId, secretId: { read: () => credential(secretIdSecretRef) } }
  }
  if (auth.method === 'userpass') {
    const { method, username, passwordSecretRef } = auth
    return { method, ...mount, username, password: { read: () => credential(passwordSecretRef) } }
  }
  return { method: auth.method, ...mount, role: auth.role, jwtFile }
}
