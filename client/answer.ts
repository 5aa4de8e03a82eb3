/** Reads the server's answers: what each must look like, and which error each failure is. */
import { bytesOf } from './api/base64.ts'
import { type ErrorCode, errorTable, SottoError } from './api/errors.ts'
import { MAX_VERSION, type Rule, type SecretInfo, type SecretValue } from './api/types.ts'
import type { Answer } from './connection.ts'

/** An error that the server answered with, rather than one on the way to it. */
export class ServerError extends SottoError {
  /** The HTTP status of the answer. */
  readonly status: number
  /** Names the request in the server's audit log; undefined where the server gave no id. */
  readonly requestId: string | undefined
  /** How long the server asks to wait before the next try, in milliseconds; undefined where it does not. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    answer: Pick<ServerError, 'status' | 'requestId'> & Partial<Pick<ServerError, 'retryAfterMs'>>,
    hint?: string,
  ) {
    super(code, message, hint === undefined ? {} : { hint })
    this.status = answer.status
    this.requestId = answer.requestId
    this.retryAfterMs = answer.retryAfterMs
  }
}

/** What the server knows about a caller. */
export interface Identity {
  /** The node's name. */
  readonly Hostname: string
  /** The address that the call came from. */
  readonly IP: string
  /** The id of the node, which no other node ever has; absent on a development tailnet. */
  readonly NodeID?: string
  /** The login name of the person whose node it is; absent for tagged nodes. */
  readonly User?: string
  /** The tags of a tagged node; absent for a person's node. */
  readonly Tags?: readonly string[]
  /** The rules that the tailnet policy gives to the caller. */
  readonly Rules: readonly Rule[]
  /** The actions allowed on the name that was asked about; where none was, an operator's. */
  readonly Allowed?: readonly string[]
  /** For each of these actions the first of `Rules`, from 0, that allows it, and its pattern. */
  readonly AllowedBy?: readonly AllowedBy[]
}

/** What `get-many` answers for one secret: its value, that what was held is still active, or why there is neither. */
export type Got =
  | (SecretValue & {
      readonly Name: string
      readonly Unchanged?: never
      readonly Error?: never
    })
  | {
      readonly Name: string
      readonly Unchanged: true
      readonly Version: number
      readonly Value?: never
      readonly Error?: never
    }
  | { readonly Name: string; readonly Error: ErrorCode; readonly Value?: never }

/** Which rule allows an action on the name that was asked about. */
export interface AllowedBy {
  readonly Action: string
  readonly Rule: number
  readonly Pattern: string
}

/**
 * The error that an answer other than 200 is. `attempt` is what was tried, such as `get "a"`; `young`, whether servers
 * may not know the call.
 */
export function errorOf(answer: Answer, attempt: string, young = false): ServerError {
  const code = codeOf(answer, young)
  const requestId = tidy(answer.headers['x-request-id'])
  const retryAfterMs = millisecondsIn(answer.headers['retry-after'])
  const known = { status: answer.status, requestId, retryAfterMs }
  const detail = textIn(answer.headers['sotto-detail'])
  const hint = textIn(answer.headers['sotto-hint']) ?? hintOf(answer)
  if (detail !== undefined && errorTable[code].open) {
    return new ServerError(code, detail, known, hint)
  }
  const text = code === 'internal' && answer.status !== 500 ? '' : errorTable[code].text
  const reason = text === '' ? `the server answered with status ${answer.status}` : text
  const id = requestId === undefined || errorTable[code].open ? '' : ` (request ${requestId})`
  return new ServerError(code, `Cannot ${attempt}: ${reason}${id}`, known, hint)
}

/** What each answer is once decoded; throws SottoError `bad_answer` for anything else. */
export const decoders = {
  // setec answers null where there is nothing.
  list: (body: unknown) => readAs(isList, body === null ? [] : body),
  info: (body: unknown) => readAs(isInfo, body),
  get: readValue,
  'get-many': readMany,
  put: (body: unknown) => readAs(isVersion, body),
  'create-version': readNothing,
  activate: readNothing,
  'delete-version': readNothing,
  delete: readNothing,
  whoami: (body: unknown) => readAs(isIdentity, body),
} as const satisfies Record<string, (body: unknown) => unknown>

/** The JSON of an answer; undefined for anything else. */
export function parseBody(body: Uint8Array): unknown {
  return parseText(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'))
}

/** The same of its text. The parser's own error quotes that. */
export function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** By status, for servers that do not name the error. */
const byStatus: Readonly<Record<number, ErrorCode>> = {
  304: 'unchanged',
  400: 'bad_request',
  403: 'denied',
  408: 'timeout',
  409: 'conflict',
  412: 'version_taken',
  413: 'too_large',
  500: 'internal',
  503: 'overloaded',
}

/** The answers of setec that its status alone does not identify. */
const byText: Readonly<Record<string, ErrorCode>> = {
  '400 only POST requests allowed': 'not_post',
  '400 request body must be json': 'content_type',
  '400 invalid version, please specify a version > 0': 'invalid_version',
  '400 invalid method': 'no_such_method',
  // Any web server answers 404; only the words show that it is about a secret.
  '404 not found': 'not_found',
  '500 unable to identify caller': 'unidentified',
}

/** What servers answer that do not know a call, besides setec. */
const unknownCall: readonly number[] = [404, 405, 501]

function codeOf(answer: Answer, young: boolean): ErrorCode {
  const named = answer.headers['sotto-error']
  if (typeof named === 'string' && Object.hasOwn(errorTable, named)) {
    const code = named as ErrorCode
    if (errorTable[code].status === answer.status) return code
  }
  if (young && unknownCall.includes(answer.status)) return 'no_such_method'
  const text = answer.body.length <= 100 ? answer.body.toString('latin1').trim() : ''
  const known = byText[`${answer.status} ${text}`] ?? byStatus[answer.status]
  return known ?? (answer.status >= 500 ? 'internal' : 'bad_answer')
}

/** The text that a header has as JSON. */
function textIn(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string') return undefined
  try {
    const text: unknown = JSON.parse(header)
    return typeof text === 'string' && text !== '' ? text : undefined
  } catch {
    return undefined
  }
}

/** The seconds that a header has, in milliseconds; undefined for a date, too, which depends on two clocks. */
function millisecondsIn(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined
}

/** A header that is to be shown: an id, or nothing. */
function tidy(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : undefined
}

/** What servers in front of others answer with, in their own name. */
const inFront: readonly number[] = [407, 502, 503, 504, 511]

function hintOf(answer: Answer): string | undefined {
  const { location, 'sotto-error': named } = answer.headers
  if (named === undefined && inFront.includes(answer.status)) {
    return 'A proxy or a load balancer may have answered, and not the server: look at both.'
  }
  if (answer.status < 300 || answer.status > 399 || !location || !URL.canParse(location)) {
    return undefined
  }
  return `The server is at ${new URL(location).origin}: give that URL.`
}

function readAs<T>(fits: (body: unknown) => body is T, body: unknown): T | undefined {
  return fits(body) ? body : undefined
}

function readNothing(body: unknown): true | undefined {
  return isObject(body) || undefined
}

function readValue(body: unknown): SecretValue | undefined {
  if (!isObject(body) || !isVersion(body['Version'])) return undefined
  // Go writes an absent byte slice as null.
  const text = body['Value'] ?? ''
  if (typeof text !== 'string') return undefined
  const Value = bytesOf(text)
  return Value && { Value, Version: body['Version'] }
}

function readMany(body: unknown): Got[] | undefined {
  if (!isObject(body) || !Array.isArray(body['Secrets'])) return undefined
  const found = body['Secrets'].map(readGot)
  return found.every((each) => each !== undefined) ? found : undefined
}

function readGot(body: unknown): Got | undefined {
  if (!isObject(body)) return undefined
  const { Name, Version, Unchanged, Error: code } = body
  if (typeof Name !== 'string') return undefined
  if (typeof code === 'string') {
    return { Name, Error: Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'internal' }
  }
  if (Unchanged === true) return isVersion(Version) ? { Name, Unchanged, Version } : undefined
  const value = readValue(body)
  return value && { Name, ...value }
}

function isList(body: unknown): body is SecretInfo[] {
  return Array.isArray(body) && body.every(isInfo)
}

function isInfo(body: unknown): body is SecretInfo {
  return (
    isObject(body) &&
    typeof body['Name'] === 'string' &&
    Array.isArray(body['Versions']) &&
    body['Versions'].every(isVersion) &&
    isVersion(body['ActiveVersion'])
  )
}

function isIdentity(body: unknown): body is Identity {
  if (!isObject(body)) return false
  const { Hostname, IP, NodeID, User, Tags, Rules, Allowed, AllowedBy } = body
  return (
    typeof Hostname === 'string' &&
    typeof IP === 'string' &&
    (NodeID === undefined || typeof NodeID === 'string') &&
    (User === undefined || typeof User === 'string') &&
    (Tags === undefined || isTexts(Tags)) &&
    Array.isArray(Rules) &&
    Rules.every((rule) => isObject(rule) && isTexts(rule['action']) && isTexts(rule['secret'])) &&
    (Allowed === undefined || isTexts(Allowed)) &&
    (AllowedBy === undefined || (Array.isArray(AllowedBy) && AllowedBy.every(isAllowedBy)))
  )
}

function isAllowedBy(body: unknown): body is AllowedBy {
  return (
    isObject(body) &&
    typeof body['Action'] === 'string' &&
    Number.isInteger(body['Rule']) &&
    typeof body['Pattern'] === 'string'
  )
}

/** Whether it is a JSON object. */
export function isObject(body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Array.isArray(body)
}

function isTexts(body: unknown): body is string[] {
  return Array.isArray(body) && body.every((item) => typeof item === 'string')
}

/** Whether it is the number of a version, or 0. */
export function isVersion(body: unknown): body is number {
  return Number.isInteger(body) && (body as number) >= 0 && (body as number) <= MAX_VERSION
}
