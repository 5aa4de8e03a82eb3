/** Tokens of service accounts as a cluster signs them, and its keys. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export const issuer = 'https://cluster.example'

/** A key pair of a cluster. */
export interface Signer {
  readonly kid: string
  readonly alg: 'RS256' | 'ES256'
  readonly privateKey: KeyObject
  /** Its public half, as a key set has it. */
  readonly jwk: object
}

/** Makes a key pair. */
export function signer(kid: string, alg: Signer['alg'], bits = 2048): Signer {
  const { privateKey, publicKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: bits })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' } }
}

/** What a good token of `account` says; `seconds` is how long it is good from `now` on. */
export function claimsOf(account: string, now = Date.now(), seconds = 600): object {
  const [namespace, name] = account.split('/')
  const at = Math.floor(now / 1000)
  return {
    iss: issuer,
    sub: `system:serviceaccount:${namespace}:${name}`,
    aud: ['sotto'],
    iat: at,
    nbf: at,
    exp: at + seconds,
  }
}

/** A token with `claims`, signed by `by`; `head` is what its header says instead. */
export function tokenOf(claims: object, by: Signer, head: object = {}): string {
  const part = (what: object): string => Buffer.from(JSON.stringify(what)).toString('base64url')
  const text = `${part({ alg: by.alg, kid: by.kid, typ: 'JWT', ...head })}.${part(claims)}`
  const key = { key: by.privateKey, dsaEncoding: 'ieee-p1363' as const }
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
}
