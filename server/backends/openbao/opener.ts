/** Opens backends of the type openbao from how they are set up. */
import type { OpenBaoConfig } from '../../../client/api/backends.ts'
import { OpenBaoBackend } from './backend.ts'
import type { Login } from '../../openbao/login.ts'
import type { BackendWorld, OpenBackend } from '../opened.ts'

/** What is not for callers of the API to say: where the server may connect to, and its own files. */
export interface OpenBaoSettings {
  /** Scheme, host and port of each OpenBao. */
  readonly origins: readonly string[]
  /** The JWT that proves to an OpenBao who the server is. */
  readonly jwtFile: string
}

/** Where a pod finds the token of its service account. */
export const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'

/** Makes the opener of a server. */
export function openBaoOpener({ origins, jwtFile }: OpenBaoSettings): OpenBackend {
  return function openOpenBao(config, world) {
    const { url, namespace, caCertificate, mount, pathPrefix } = config
    return new OpenBaoBackend({
      address: {
        url,
        ...(namespace !== undefined && { namespace }),
        ...(caCertificate !== undefined && { ca: caCertificate }),
      },
      login: loginOf(config, world, jwtFile),
      mount,
      prefix: pathPrefix,
      origins,
      storeId: world.storeId,
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
