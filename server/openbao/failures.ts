/** What can go wrong with a call to OpenBao: its kind, and words for an operator. */
import { quote } from '../../client/api/errors.ts'
import { refusedByProxy, through } from '../platform/proxies.ts'
import { said } from '../platform/said.ts'

/** Every way in which a call can fail. Only `not_found` and `deleted` say that something is not there. */
export type FailureKind =
  /** No connection, or it broke. */
  | 'unreachable'
  /** No answer in time. */
  | 'late'
  /** The certificate was not accepted, or is asked of something that has none. */
  | 'tls'
  /** An answer that no OpenBao gives. */
  | 'bad_answer'
  /** It sends to another address, where no token goes. */
  | 'redirected'
  | 'sealed'
  | 'uninitialised'
  /** Not the active node, and it reaches none. */
  | 'standby'
  | 'rate_limited'
  /** A fault inside OpenBao. */
  | 'failed'
  /** No policy allows it, or the token is not valid any more. */
  | 'denied'
  /** OpenBao does not know the token: it expired or was revoked. */
  | 'dead_token'
  | 'no_mount'
  | 'no_namespace'
  | 'not_found'
  /** A version of a KV secret that was deleted or destroyed; `body` says which. */
  | 'deleted'
  /** A check-and-set lost. */
  | 'conflict'
  | 'too_large'
  /** Any other refusal of the request. */
  | 'refused'
  /** What logs in cannot be read, or is not of its form. */
  | 'credentials'
  /** The file that logs in can be read by others. */
  | 'exposed'
  /** OpenBao took what logs in for wrong. */
  | 'login_refused'

/** A call that failed. Holds neither a token nor what was sent. */
export interface Failure {
  readonly kind: FailureKind
  /** What was found: the end of a sentence that begins with what was attempted. */
  readonly found: string
  /** What to do, one sentence or two. */
  readonly hint: string
  readonly status?: number
  /** What OpenBao gave as its reasons. */
  readonly reasons: readonly string[]
  /** The JSON of the answer, where there was any. */
  readonly body?: unknown
  /** Whether it is the login of an inline login that failed. */
  readonly atLogin?: boolean
}

/** An answer, before it is understood. */
export interface RawAnswer {
  readonly status: number
  /** Undefined: no JSON. */
  readonly body: unknown
  readonly empty: boolean
  readonly location: string | undefined
}

/** The reason of a call that took too long. */
export class Late extends Error {}

/** Kinds that may be gone a moment later. */
export const passing: ReadonlySet<FailureKind> = new Set([
  'unreachable',
  'late',
  'standby',
  'rate_limited',
  'failed',
])

/** Kinds that say nothing of the token, or of what logs in. */
export const unjudged: ReadonlySet<FailureKind> = new Set([
  'unreachable',
  'late',
  'tls',
  'bad_answer',
  'redirected',
  'sealed',
  'uninitialised',
  'standby',
  'rate_limited',
])

/** What `answer`, whose status is no 2xx, says. `method` is that of the request. */
export function refusal(method: string, answer: RawAnswer): Failure {
  const { status, body } = answer
  const reasons = reasonsIn(body)
  const [kind, found, hint] = explain(method, answer, reasons.join('; '))
  return { kind, found, hint, status, reasons, ...(body !== undefined && { body }) }
}

/** What it means that no answer came, by `proxy` where there is one: `error` is what undici rejected with. */
export function breakdown(error: unknown, waitMs: number, proxy?: string): Failure {
  const refused = proxy === undefined ? undefined : tunnelStatus(error)
  if (proxy !== undefined && refused !== undefined) {
    const { found, hint } = refusedByProxy(proxy, refused)
    return ownFailure('unreachable', found, hint)
  }
  const [kind, found, hint] = explainError(error, waitMs)
  return ownFailure(kind, `${found}${through(proxy)}`, hint)
}

/** What a proxy answered in place of a tunnel, or to a call in the clear. */
function tunnelStatus(error: unknown): number | undefined {
  const { message = '' } = (error ?? {}) as { message?: string }
  const [, status] = /^Proxy \D*\((\d{3})\)/.exec(message) ?? []
  return status === undefined ? undefined : Number(status)
}

/** A failure that OpenBao was not asked for. */
export function ownFailure(kind: FailureKind, found: string, hint: string): Failure {
  return { kind, found, hint, reasons: [] }
}

/** OpenBao has no keys yet. */
export const uninitialised: Failure = ownFailure(
  'uninitialised',
  'it is not initialised',
  'Look whether its storage is mounted; a new one is made with `bao operator init`.',
)

type Explanation = readonly [kind: FailureKind, found: string, hint: string]

function explain(method: string, answer: RawAnswer, words: string): Explanation {
  const { status, body, location } = answer
  const told = words === '' ? `status ${status}` : said(words)
  const more = words === '' ? '' : `: ${said(words)}`
  if (status >= 300 && status < 400) {
    return [
      'redirected',
      `it sends to ${quote(originOf(location))}`,
      'Give the address of the active node, or one that leads to it: a token goes nowhere else.',
    ]
  }
  if (status === 503 || status === 501) return unavailable(status, told)
  if (status === 429) {
    return [
      'rate_limited',
      `it takes no more requests at present (rate limit or lease quota)${more}`,
      'Wait a moment and try again; `bao list sys/quotas/rate-limit` shows the quotas.',
    ]
  }
  if (status === 412 || status === 472 || status === 473) return standby
  if (status === 413) return tooLarge(more)
  if (status >= 500) return fault(status, told)
  if (body === undefined && !(status === 404 && method === 'PATCH' && answer.empty)) {
    return [
      'bad_answer',
      `what answers there is not OpenBao (status ${status} without its JSON)`,
      'Look at the address, and at what stands in front of it.',
    ]
  }
  if (status === 404) return absent(body, words)
  if (status === 403) {
    if (!/invalid token/i.test(words)) {
      // Most often it says no more than that.
      const why = /^(?:1 error occurred:\s*\* )?permission denied\s*$/.test(words) ? '' : more
      return ['denied', `permission denied${why}`, 'Allow it in a policy of the token.']
    }
    const dead = 'the token is not valid: it has expired or was revoked'
    return ['dead_token', dead, 'Give another token.']
  }
  if (/check-and-set parameter did not match/i.test(words)) {
    return ['conflict', told, 'Somebody else wrote in between: look at what is there now.']
  }
  return ['refused', `it refuses the request: ${told}`, 'Look at the log of OpenBao.']
}

const standby: Explanation = [
  'standby',
  'it is a standby that reaches no active node',
  'Look at the cluster: `bao operator raft list-peers`.',
]

function tooLarge(more: string): Explanation {
  return [
    'too_large',
    `what was sent is too large for it${more}`,
    'Its limits are max_request_size of the listener and max_entry_size of the storage.',
  ]
}

function unavailable(status: number, told: string): Explanation {
  if (status === 501 || /not (?:yet )?initiali[sz]ed|uninitiali[sz]ed/i.test(told)) {
    return [uninitialised.kind, uninitialised.found, uninitialised.hint]
  }
  if (/sealed/i.test(told)) {
    return ['sealed', 'it is sealed', 'Unseal it: `bao operator unseal`. Nothing in it is lost.']
  }
  if (/locked/i.test(told)) {
    return ['failed', 'its namespace is locked', 'Unlock it: `bao namespace unlock`.']
  }
  if (/standby|active node|no active/i.test(told)) return standby
  return fault(status, told)
}

function fault(status: number, told: string): Explanation {
  if (/too large/i.test(told)) return tooLarge(`: ${told}`)
  if (/active (?:cluster )?node not found|standby/i.test(told)) return standby
  return ['failed', `it failed (status ${status}): ${told}`, 'Look at the log of OpenBao.']
}

/** A 404 has many meanings, and only two of them are about what was asked for. */
function absent(body: unknown, words: string): Explanation {
  if (/namespace not found/i.test(words)) {
    return ['no_namespace', 'there is no such namespace', 'Look at the name: `bao namespace list`.']
  }
  const { data, warnings } = (body ?? {}) as { data?: { metadata?: unknown }; warnings?: unknown }
  if (data?.metadata !== undefined) {
    return ['deleted', 'that version was deleted', 'Undelete it, or write a new one.']
  }
  if (/no handler for route|unsupported path/i.test(words) || Array.isArray(warnings)) {
    return [
      'no_mount',
      'nothing of this kind is mounted there',
      'Look at the mounts: `bao secrets list`, `bao auth list`.',
    ]
  }
  if (words !== '')
    return ['refused', `it refuses the request: ${said(words)}`, 'Look at the path.']
  return ['not_found', 'it is not there', 'Look at its name.']
}

function explainError(error: unknown, waitMs: number): Explanation {
  const code = codeOf(error)
  if (error instanceof Late || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return [
      'late',
      `it did not answer within ${waitMs} ms`,
      'Look at the network, and whether OpenBao is overloaded or its storage hangs.',
    ]
  }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return ['bad_answer', 'its answer is too large', 'Look at what answers at the address.']
  }
  if (code.startsWith('HPE_')) {
    return [
      'bad_answer',
      'it does not answer in HTTP',
      'Look at the port, and whether the address begins with https://.',
    ]
  }
  const untrusted = certificateFaults[code]
  if (untrusted !== undefined) return ['tls', untrusted, certificateHint]
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) {
    return ['tls', `there is no TLS with it (${code})`, 'Look at the port, and at http or https.']
  }
  return [
    'unreachable',
    `it could not be reached (${code})`,
    'Look whether OpenBao runs, and at the address, the network and name resolution.',
  ]
}

const certificateHint =
  'Give the certificate of its authority as the CA file, and the name that its certificate has.'

const certificateFaults: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is from an unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is from an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is from an unknown authority',
  CERT_SIGNATURE_FAILURE: 'its certificate is from an unknown authority',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock of this machine is wrong',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

function codeOf(error: unknown): string {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown }
  if (typeof code === 'string') return code
  return cause === undefined ? 'no answer' : codeOf(cause)
}

function reasonsIn(body: unknown): string[] {
  const { errors: given } = (body ?? {}) as { errors?: unknown }
  return Array.isArray(given) ? given.filter((each) => typeof each === 'string') : []
}

/** Where a redirect leads, without what may be secret in it. */
function originOf(location: string | undefined): string {
  return URL.parse(location ?? '')?.origin ?? 'another path'
}
