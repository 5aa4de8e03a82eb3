/**
 * The two answers of a Kubernetes API server that logins at OpenBao need: tokens of service accounts, and
 * whether a token is one of them. It knows every account, and gives its tokens to anyone.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { signer, tokenOf } from './service-account-tokens.ts'

/** A stand-in for the API server of a cluster. */
export interface Kubernetes extends AsyncDisposable {
  readonly url: string
  /** What `KUBECONFIG` has to name a file with. */
  readonly config: string
  /** The public keys that its tokens are signed with, as a key set. */
  readonly keys: string
  /** A token of a service account, good for ten minutes. */
  token(namespace: string, account: string, audiences?: readonly string[]): string
}

interface Review {
  readonly status: object
}

interface Posted {
  readonly spec: { readonly audiences?: readonly string[]; readonly token?: string }
}

/** Who its tokens say that they are of. */
export const ISSUER = 'kubernetes/serviceaccount'

/** What bodies begin with that Kubernetes' own clients send. */
const PROTOBUF = Buffer.from('k8s\0')

/** Starts one on loopback. */
export async function startKubernetes(): Promise<Kubernetes> {
  const reviews = new Map<string, Review>()
  const signs = signer('one', 'ES256')

  function token(namespace: string, account: string, audiences: readonly string[] = []): string {
    const now = Math.floor(Date.now() / 1000)
    const uid = randomUUID()
    const username = `system:serviceaccount:${namespace}:${account}`
    const claims = {
      sub: username,
      iss: ISSUER,
      aud: audiences,
      iat: now,
      nbf: now,
      exp: now + 600,
      'kubernetes.io': { namespace, serviceaccount: { name: account, uid } },
    }
    const made = tokenOf(claims, signs)
    const user = { username, uid, groups: [] }
    reviews.set(made, { status: { authenticated: true, user, audiences } })
    return made
  }

  function answerTo(path: string, { spec }: Posted): object {
    const [, namespace, account] =
      /^\/api\/v1\/namespaces\/(.+)\/serviceaccounts\/(.+)\/token$/.exec(path) ?? []
    const kind = account === undefined ? 'TokenReview' : 'TokenRequest'
    const answer = { apiVersion: 'authentication.k8s.io/v1', kind, spec }
    if (namespace === undefined || account === undefined) {
      return {
        ...answer,
        ...(reviews.get(spec.token ?? '') ?? { status: { authenticated: false } }),
      }
    }
    const expirationTimestamp = new Date(Date.now() + 600_000).toISOString()
    const status = { token: token(namespace, account, spec.audiences), expirationTimestamp }
    return { ...answer, status }
  }

  const server = createServer((incoming, answer) => {
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => void parts.push(part))
    incoming.on('end', () => {
      const body = Buffer.concat(parts)
      const posted = body.subarray(0, 4).equals(PROTOBUF)
        ? { spec: { audiences: audiencesIn(body.subarray(4)) } }
        : (JSON.parse(body.toString()) as Posted)
      answer.writeHead(201, { 'content-type': 'application/json' })
      answer.end(JSON.stringify(answerTo(incoming.url ?? '', posted)))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    config: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: url } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      users: [{ name: 'test', user: {} }],
      'current-context': 'test',
    }),
    token,
    keys: JSON.stringify({ keys: [signs.jwk] }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The audiences of a TokenRequest: of its second field the first ones, in the second field of an envelope. */
function audiencesIn(envelope: Buffer): string[] {
  const second = (message: Buffer): Buffer => fieldsOf(message, 2)[0] ?? Buffer.alloc(0)
  return fieldsOf(second(second(envelope)), 1).map(String)
}

/** The fields of that number that have a length, in a message of Protocol Buffers. */
function fieldsOf(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = message.readUInt8(at++)
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    const length = varint()
    if ((tag & 7) !== 2) continue
    if (tag >> 3 === wanted) found.push(message.subarray(at, at + length))
    at += length
  }
  return found
}
