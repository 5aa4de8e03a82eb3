/** The ways to get a token of OpenBao. What logs in is read again each time, and kept nowhere. */
import { readFile } from 'node:fs/promises'
import { quote, SottoError } from '../../client/api/errors.ts'
import { readPrivateFile } from '../platform/private-file.ts'
import type { OpenBaoConnection } from './connection.ts'
import { type Failure, type FailureKind, ownFailure } from './failures.ts'

/** Where a secret comes from: a file that only its owner may read, or a function of the caller. */
export type Credential = { readonly file: string } | { readonly read: () => Promise<string> }

/** How to get a token. `mount` is where the method is mounted, without `auth/`. */
export type Login =
  | { readonly method: 'token'; readonly token: Credential }
  | {
      readonly method: 'approle'
      readonly mount?: string
      readonly roleId: string
      readonly secretId: Credential
    }
  | {
      /** A service account's token, or that of another issuer; the file may be readable by others. */
      readonly method: 'kubernetes' | 'jwt'
      readonly mount?: string
      readonly role: string
      readonly jwtFile: string
    }
  | {
      readonly method: 'userpass'
      readonly mount?: string
      readonly username: string
      readonly password: Credential
    }

/** A login that OpenBao is asked for. */
type Proven = Exclude<Login, { method: 'token' }>

/** A token, and how long it lives. */
export interface Token {
  readonly value: string
  /** Since it was got, in milliseconds; absent where that is not known or it does not end. */
  readonly ttlMs?: number
  readonly renewable: boolean
  /** Whether a login made it, which is then free to revoke it. */
  readonly own: boolean
}

/** What came of a login. */
export type LoginOutcome =
  | { readonly ok: true; readonly token: Token }
  | { readonly ok: false; readonly failure: Failure }

/** More bytes than any token or service account's token has. */
const MAX_CREDENTIAL_BYTES = 16 * 1024

/** What each method's name is in messages. */
const kinds = {
  token: 'token',
  approle: 'secret id',
  kubernetes: 'service account token',
  jwt: 'JWT',
  userpass: 'password',
} as const

/** Gets a token. Never rejects for what OpenBao does, nor for a file that cannot be used. */
export async function logIn(connection: OpenBaoConnection, login: Login): Promise<LoginOutcome> {
  let proof: string
  try {
    proof = await proofOf(login)
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    return { ok: false, failure: unreadable(error) }
  }
  if (login.method === 'token') {
    return { ok: true, token: { value: proof, renewable: true, own: false } }
  }
  const { path, body } = requestOf(login, proof)
  const answer = await connection.call({ method: 'POST', path, body })
  if (!answer.ok) return { ok: false, failure: refused(login, answer.failure) }
  const token = tokenIn(answer.body)
  if (token !== undefined) return { ok: true, token: { ...token, own: true } }
  const found = `its login at ${quote(mountOf(login))} gave no token`
  const failure = ownFailure('bad_answer', found, 'Look at what answers at the address.')
  return { ok: false, failure }
}

/** The token in the answer to a login or a renewal; undefined where there is none. */
export function tokenIn(body: unknown): Omit<Token, 'own'> | undefined {
  const { auth } = (body ?? {}) as { auth?: Record<string, unknown> | null }
  const { client_token: value, lease_duration: seconds, renewable } = auth ?? {}
  if (typeof value !== 'string' || value === '' || typeof seconds !== 'number') return undefined
  const ttl = seconds > 0 && { ttlMs: seconds * 1000 }
  return { value, ...ttl, renewable: renewable === true }
}

function requestOf(login: Proven, proof: string): { path: string; body: object } {
  const path = `auth/${mountOf(login)}/login`
  if (login.method === 'approle') {
    return { path, body: { role_id: login.roleId, secret_id: proof } }
  }
  if (login.method === 'userpass') {
    return { path: `${path}/${login.username}`, body: { password: proof } }
  }
  return { path, body: { role: login.role, jwt: proof } }
}

function mountOf(login: Proven): string {
  return login.mount ?? login.method
}

async function proofOf(login: Login): Promise<string> {
  const kind = kinds[login.method]
  if (login.method === 'token') return read(kind, login.token)
  if (login.method === 'approle') return read(kind, login.secretId)
  if (login.method === 'userpass') return read(kind, login.password)
  return checked(kind, login.jwtFile, await readShared(kind, login.jwtFile))
}

async function read(kind: string, credential: Credential): Promise<string> {
  if ('read' in credential) return checked(kind, undefined, await credential.read())
  const bytes = await readPrivateFile(credential.file, `OpenBao ${kind} file`, MAX_CREDENTIAL_BYTES)
  try {
    return checked(kind, credential.file, bytes.toString('latin1'))
  } finally {
    bytes.fill(0)
  }
}

async function readShared(kind: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SottoError('key_missing', `Cannot read the ${kind} ${quote(path)} (${code})`)
  }
}

/** One line of visible characters, as a header needs it. */
function checked(kind: string, path: string | undefined, text: string): string {
  const line = text.replace(/\r?\n$/, '')
  if (/^[\x21-\x7e]+$/.test(line) && line.length < MAX_CREDENTIAL_BYTES) return line
  const where = path === undefined ? `the OpenBao ${kind}` : `the ${kind} of ${quote(path)}`
  const reason = line === '' ? 'empty' : 'not one line of visible characters'
  throw new SottoError('key_missing', `Cannot use ${where}: it is ${reason}`)
}

function unreadable({ code, message, hint }: SottoError): Failure {
  const found = message.replace(/^C/, 'c')
  if (code === 'key_exposed') return ownFailure('exposed', found, hint ?? 'Look at the file.')
  const advice =
    'Name the file that has it, readable by the user that the program runs as, with nothing else in it.'
  return ownFailure('credentials', found, advice)
}

/** What a login met, in words of logins. */
function refused(login: Proven, failure: Failure): Failure {
  const where = quote(`auth/${mountOf(login)}`)
  const { kind } = failure
  if (kind === 'no_mount') {
    return {
      ...failure,
      found: `no ${login.method} login is mounted at ${where}`,
      hint: 'Look at the mounts: `bao auth list`, and at the namespace.',
    }
  }
  if (kind === 'failed') {
    // The JWT method answers this to what is not a JWT at all.
    return { ...failure, found: `the ${login.method} login at ${where} failed${told(failure)}` }
  }
  if (!judged.has(kind)) return failure
  return {
    ...failure,
    kind: 'login_refused',
    found: `the ${login.method} login at ${where} was refused${told(failure)}`,
    // It answers so, too, where nothing is mounted.
    hint: `${kind === 'denied' ? 'Look whether it is mounted there. ' : ''}${hints[login.method]}`,
  }
}

/** What OpenBao answers when it has looked at what logs in. */
const judged: ReadonlySet<FailureKind> = new Set(['denied', 'dead_token', 'refused', 'not_found'])

function told({ reasons }: Failure): string {
  const said = reasons.join('; ')
  return said === '' ? '' : `: ${quote(said.slice(0, 300))}`
}

const locked = 'After several failed logins OpenBao refuses right ones, too, for 15 minutes.'

const hints: Readonly<Record<Proven['method'], string>> = {
  approle: `Look at the role id, and make a new secret id: it may have expired or be used up. ${locked}`,
  kubernetes:
    'Look at the role: its service account names, namespaces and audience must be those of this pod.',
  jwt: 'Look at the role: its bound audiences and claims must be those of this JWT.',
  userpass: `Look at the user name and the password. ${locked}`,
}
