/**
 * What OpenBao answers to the requests that the surface for its clients has answers to. `vectors.json` has the answers
 * of a real one: test/interop/vault/vectors.test.ts makes it, and fails when it would be another.
 */
import { type Dispatcher, request } from 'undici'
import { canonical } from '../../server/backends/content.ts'

/** A request, as a vector has it. */
export interface Asked {
  readonly method: string
  /** After `/v1/`. */
  readonly path: string
  /** Who asks: someone who may read `app/*` and list, or nobody. */
  readonly as: 'reader' | 'nobody'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** An answer, as a vector has it: what differs each time is replaced by `…`. */
export interface Answered {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** A vector. */
export type Vector = Asked & Answered

/** The secrets that there are, by name. */
export const secrets: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'app/db': { username: 'app', password: 'p<w>&1\u2028', port: 5432, tls: true, ratio: 1.5 },
  'app/deep/token': { value: 'a token\nof two lines' },
  'app/plain': { value: 'x' },
  other: { value: 'hidden' },
}

const reads = (...paths: readonly string[]): Asked[] =>
  paths.map((path) => ({ method: 'GET', path, as: 'reader' }))
const asks = (method: string, ...paths: readonly string[]): Asked[] =>
  paths.map((path) => ({ method, path, as: 'reader' }))

/** Every request, in order. None of them changes anything. */
export const requests: readonly Asked[] = [
  ...reads(
    'sys/health',
    'sys/seal-status',
    'sys/init',
    'sys/leader',
    'sys/internal/ui/mounts/secret',
    'sys/internal/ui/mounts/secret/app/db',
    'sys/internal/ui/mounts/none/x',
    'sys/mounts/secret',
    'sys/mounts/secret/',
    'sys/mounts/none',
    'auth/token/lookup-self',
    'secret/data/app/db',
    'secret/data/app/deep/token',
    'secret/data/app%2Fplain',
    'secret/data/app/plain?version=1',
    'secret/data/app/plain?version=0',
    'secret/data/app/plain?version=9',
    'secret/data/app/plain?version=x',
    'secret/data/app/none',
    'secret/data/app',
    'secret/data/',
    'secret/data',
    'secret/data/other',
    'secret/data/none',
    'secret/metadata/app/plain',
    'secret/metadata/app/none',
    'secret/metadata/?list=true',
    'secret/metadata?list=true',
    'secret/metadata/app?list=true',
    'secret/metadata/app/?list=1',
    'secret/metadata/app/?list=true&limit=1',
    'secret/metadata/app/?list=true&after=db',
    'secret/metadata/none/?list=true',
    'secret/metadata/app/plain?list=true',
    'secret/metadata/app/?list=maybe',
    'secret/subkeys/app/db',
    'secret/subkeys/app/none',
    'secret/app/db',
    'secret',
    'none/data/x',
    'nothing',
    'auth/token/none',
  ),
  { method: 'HEAD', path: 'sys/health', as: 'reader' },
  ...asks(
    'LIST',
    'secret/metadata/app',
    'secret/metadata/app/',
    'secret/metadata',
    'secret/data/app',
  ),
  ...asks('POST', 'sys/health', 'secret/subkeys/app/db', 'auth/token/renew-self'),
  ...asks('PUT', 'auth/token/renew-self'),
  ...asks('DELETE', 'secret/subkeys/app/db', 'sys/health'),
  {
    method: 'GET',
    path: 'secret/data/app/plain',
    as: 'reader',
    headers: { 'X-Vault-Namespace': 'none' },
  },
  { method: 'GET', path: 'secret/data/app/db', as: 'nobody' },
  { method: 'GET', path: 'secret/data/app/none', as: 'nobody' },
  { method: 'GET', path: 'secret/metadata/app/db', as: 'nobody' },
  { method: 'PUT', path: 'auth/userpass/login/app', as: 'reader', body: '{"password":"p4ss"}' },
  { method: 'POST', path: 'auth/token/revoke-self', as: 'nobody' },
]

/** Asks the server at `url` and resolves with the answer as a vector has it. */
export async function ask(
  url: string,
  { method, path, headers, body }: Omit<Asked, 'as'>,
  { token, dispatcher }: { readonly token?: string; readonly dispatcher?: Dispatcher },
): Promise<Answered> {
  const answer = await request(`${url}/v1/${path}`, {
    method: method as 'GET',
    headers: { ...headers, ...(token !== undefined && { 'X-Vault-Token': token }) },
    ...(dispatcher && { dispatcher }),
    ...(body !== undefined && { body }),
  })
  const type = String(answer.headers['content-type'] ?? '')
  const text = told(await answer.body.text())
  // Go writes what is beside an envelope in any order.
  const isOrdered = !path.startsWith('sys/mounts/')
  const found = isOrdered ? text : canonical(JSON.parse(text)).toString()
  return { status: answer.statusCode, type, body: found }
}

/** Fields that differ each time, or that say which server and which token it is. */
const own = [
  /"(request_id|accessor|uuid|id|client_token|display_name|entity_id|cluster_name|cluster_id|storage_type|nonce|build_date|version|(?:running_)?plugin_version)":"(?!2")[^"]*"/g,
  /"((?:created|updated|expire|issue|active|creation|server)_time(?:_utc)?)":(?:"[^"]*"|\d+|null)/g,
  /"(ttl|creation_ttl|num_uses)":\d+/g,
  /"(lease_duration)":[1-9]\d*/g,
  /"((?:token_)?policies|identity_policies)":(?:\[[^\]]*\]|null)/g,
  /"(meta|metadata)":(?:null|\{"(?:host|user)name":[^}]*\})/g,
]

function told(body: string): string {
  return own.reduce(
    (text, fields) => text.replaceAll(fields, (_, name: string) => `"${name}":"…"`),
    body,
  )
}
