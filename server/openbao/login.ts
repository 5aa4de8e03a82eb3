/** The ways to get a token of OpenBao. What logs in is read again each time, and kept nowhere. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { said } from '../platform/said.ts'
import { cleanText, readPrivateText, readTextFile } from '../../client/platform/text-file.ts'
import type { InlineLogin, OpenBaoConnection } from './connection.ts'
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
export type Proven = Exclude<Login, { method: 'token' }>

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
  const proof = await proofOf(login)
  if (typeof proof === 'object') return { ok: false, failure: proof }
  if (login.method === 'token') {
    return { ok: true, token: { value: proof, renewable: true, own: false } }
  }
  const { path, parameters: body } = requestOf(login, proof)
  const answer = await connection.call({ method: 'POST', path, body })
  if (!answer.ok) return { ok: false, failure: atLogin(login, answer.failure) }
  const token = tokenIn(answer.body)
  if (token !== undefined) return { ok: true, token: { ...token, own: true } }
  const found = `its login at ${quote(mountOf(login))} gave no token`
  const failure = ownFailure('bad_answer', found, 'Look at what answers at the address.')
  return { ok: false, failure }
}

/** What logs in with a call itself. Never rejects for a file that cannot be used. */
export async function inlineLogin(
  login: Proven,
): Promise<{ ok: true; inline: InlineLogin } | { ok: false; failure: Failure }> {
  const proof = await proofOf(login)
  if (typeof proof === 'object') return { ok: false, failure: proof }
  return { ok: true, inline: requestOf(login, proof) }
}

/** The token in the answer to a login or a renewal; undefined where there is none. */
export function tokenIn(body: unknown): Omit<Token, 'own'> | undefined {
  const { auth } = (body ?? {}) as { auth?: Record<string, unknown> | null }
  const { client_token: value, lease_duration: seconds, renewable } = auth ?? {}
  if (typeof value !== 'string' || value === '' || typeof seconds !== 'number') return undefined
  const ttl = seconds > 0 && { ttlMs: seconds * 1000 }
  return { value, ...ttl, renewable: renewable === true }
}

function requestOf(login: Proven, proof: string): InlineLogin {
  const path = `auth/${mountOf(login)}/login`
  if (login.method === 'approle') {
    return { path, parameters: { role_id: login.roleId, secret_id: proof } }
  }
  if (login.method === 'userpass') {
    return { path: `${path}/${login.username}`, parameters: { password: proof } }
  }
  return { path, parameters: { role: login.role, jwt: proof } }
}

function mountOf(login: Proven): string {
  return login.mount ?? login.method
}

/** What logs in, or why it cannot be used. */
async function proofOf(login: Login): Promise<string | Failure> {
  try {
    return await readProof(login)
  } catch (error) {
    if (error instanceof SottoError) return unreadable(error)
    throw error
  }
}

function readProof(login: Login): Promise<string> {
  const kind = kinds[login.method]
  if (login.method === 'token') return read(kind, login.token)
  if (login.method === 'approle') return read(kind, login.secretId)
  if (login.method === 'userpass') return read(kind, login.password)
  return readJwt(kind, login.jwtFile)
}

async function readJwt(kind: string, file: string): Promise<string> {
  return checked(kind, file, await readTextFile(file, kind, { code: 'key_missing' }))
}

async function read(kind: string, credential: Credential): Promise<string> {
  if ('read' in credential) return checked(kind, undefined, await credential.read())
  const { file } = credential
  return checked(
    kind,
    file,
    await readPrivateText(file, `OpenBao ${kind} file`, MAX_CREDENTIAL_BYTES),
  )
}

/** One line of visible characters, as a header needs it. */
function checked(kind: string, path: string | undefined, text: string): string {
  const line = cleanText(text).trimEnd()
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
export function atLogin(login: Proven, failure: Failure): Failure {
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
  const words = reasons.join('; ')
  return words === '' ? '' : `: ${said(words)}`
}

const locked = 'After several failed logins OpenBao refuses right ones, too, for 15 minutes.'

const hints: Readonly<Record<Proven['method'], string>> = {
  approle: `Look at the role id, and make a new secret id: it may have expired or be used up. ${locked}`,
  kubernetes:
    'Look at the role: its service account names, namespaces and audience must be those of this pod.',
  jwt: 'Look at the role: its bound audiences and claims must be those of this JWT.',
  userpass: `Look at the user name and the password. ${locked}`,
}
