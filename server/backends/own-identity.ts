/**
 * What the server's own identity, a JWT, may be used with. Whoever sets a backend up chooses where it goes and
 * under which authorities, and needs no secret for it: so only the settings of the server say what is permitted.
 */
import { X509Certificate } from 'node:crypto'
import type { OpenBaoConfig } from '../../client/api/backends.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import { readTextFile } from '../../client/platform/text-file.ts'

/** A role of an OpenBao that a JWT may log in as. */
export interface JwtRole {
  /** Scheme, host and port. */
  readonly origin: string
  /** Empty: the root namespace. */
  readonly namespace: string
  /** Where the login is mounted, without `auth/`. */
  readonly mount: string
  readonly role: string
}

type OwnLogin = Extract<OpenBaoConfig['auth'], { method: 'jwt' | 'kubernetes' }>

/** What the settings permit. */
export interface OwnIdentity {
  readonly roles: readonly JwtRole[]
  /** PEM of the authorities that backends are trusted under. Absent: those of Node. */
  readonly authorities?: string
}

/** The role at `url`, `https://HOST:PORT/v1/[NAMESPACE/]auth/MOUNT/role/NAME`; undefined for anything else. */
export function jwtRoleAt(url: string): JwtRole | undefined {
  const address = URL.parse(url)
  if (!address || !/^https?:$/.test(address.protocol)) return undefined
  const [root, ...names] = decoded(address.pathname)
  const at = names.indexOf('auth')
  const [role = '', word, ...mount] = names.slice(at + 1).toReversed()
  // One that could be read in two ways is none.
  const isPlain = at === names.lastIndexOf('auth') && !mount.includes('role')
  const isWhole = `${address.origin}${address.pathname}` === address.href && !names.includes('')
  if (root !== 'v1' || at < 0 || word !== 'role' || mount.length === 0) return undefined
  if (!isPlain || !isWhole) return undefined
  const namespace = names.slice(0, at).join('/')
  return { origin: address.origin, namespace, mount: mount.toReversed().join('/'), role }
}

/**
 * The authorities in the PEM file at `path`. Rejects with `local` where it has none, or other text, and with
 * `unsafe` where others could write it: it says whom the server trusts.
 */
export async function authoritiesIn(path: string): Promise<string> {
  refuseForeign(path, `the file of authorities ${quote(path)}`)
  const pem = await readTextFile(path, 'file of authorities', { pem: true })
  try {
    fingerprintsIn(pem)
    return pem
  } catch (cause) {
    const message = `Cannot read certificates of authorities in ${quote(path)}`
    throw new SottoError('local', message, { cause, hint: 'Look at --backend-ca-file.' })
  }
}

/**
 * Throws `backend_not_allowed` for a backend that the server logs in to as itself where the settings do not
 * permit that, and `bad_request` for a `caCertificate` that is none.
 */
export function demandOwnIdentity(config: OpenBaoConfig, own: OwnIdentity): void {
  const { url, namespace = '', caCertificate, auth } = config
  if (!isOwn(auth)) return
  const { mount = auth.method, role } = auth
  const { origin } = new URL(url)
  const permitted = own.roles.some(
    (each) =>
      each.origin === origin &&
      each.namespace === namespace &&
      each.mount === mount &&
      each.role === role,
  )
  if (!permitted) {
    const path = [...(namespace ? [namespace] : []), 'auth', mount, 'role'].join('/')
    const place = quote(`${origin}/v1/${path}/${encodeURIComponent(role)}`)
    const message = `The setting --backend-jwt-role does not let the server itself log in at ${place}`
    throw new SottoError('backend_not_allowed', message, {
      hint: 'Add it to the settings of the server, or log in with a secret.',
    })
  }
  if (caCertificate === undefined) return
  const known = own.authorities === undefined ? [] : fingerprintsIn(own.authorities)
  if (trusted(caCertificate).every((each) => known.includes(each))) return
  throw new SottoError(
    'backend_not_allowed',
    'The setting --backend-ca-file does not have each certificate of caCertificate: the server itself logs in under no other authority',
    { hint: 'Add them to that file, or log in with a secret.' },
  )
}

/** Whether a login of that kind is by the JWT of the server. */
export function isOwn(auth: OpenBaoConfig['auth']): auth is OwnLogin {
  return auth?.method === 'jwt' || auth?.method === 'kubernetes'
}

function trusted(pem: string): string[] {
  try {
    return fingerprintsIn(pem)
  } catch (cause) {
    throw new SottoError('bad_request', 'Cannot read caCertificate: it is not PEM', { cause })
  }
}

function decoded(path: string): string[] {
  try {
    return path.slice(1).split('/').map(decodeURIComponent)
  } catch {
    return []
  }
}

/** Throws for what is no certificate, and where there is none. */
function fingerprintsIn(pem: string): string[] {
  const blocks = pem.match(/-----BEGIN [^-]+-----[^-]*-----END [^-]+-----/g)
  if (!blocks) throw new Error('There is no certificate')
  return blocks.map((block) => new X509Certificate(block).fingerprint256)
}
