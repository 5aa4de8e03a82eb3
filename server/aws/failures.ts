/** What goes wrong with calls to AWS and to services with the same API, in words for an operator. */
import { type ErrorCode, quote } from '../../client/api/errors.ts'
import { refusedByProxy, through } from '../platform/proxies.ts'
import { said } from '../platform/said.ts'
import { type Place, sourceOf } from './endpoint.ts'
import { ForeignAnswer } from './proof.ts'

/** The reason of a call that took too long. */
export const LATE: unique symbol = Symbol('late')

/** The reason of a call whose answer has the form of the service, and lacks what was asked for. */
export class Lacking extends Error {
  readonly what: string

  constructor(what: string) {
    super(`an answer without ${what}`)
    this.what = what
  }
}

/** What was found, after a colon, and what to do about it. */
export interface Finding {
  readonly found: string
  readonly hint: string
  /** Absent: the code of a service that cannot be used. */
  readonly code?: ErrorCode
}

/** A service, as messages and hints name it. */
export interface Service {
  /** `KMS`, `S3`. */
  readonly name: string
  /** What says where it is, such as `--kms-endpoint and --kms-region`. */
  readonly where: string
  /** The proxy that the call went through. Absent: none. */
  readonly proxy?: string | undefined
  /** The flag that says which profile. */
  readonly profileFlag: string
  /** The profile that was given. */
  readonly profile: string | undefined
  /** The page that has the policy. */
  readonly page: string
  /** What to do when no region is known. */
  readonly regionHint: string
}

/** What is read of an error of the SDK, which itself may show credentials. */
export interface Parts {
  readonly name: string
  readonly message: string
  /** Of a failed connection. */
  readonly code: string | undefined
  readonly status: number | undefined
  /** What a proxy answered to a call that was to go through it. */
  readonly proxyStatus: number | undefined
}

/** The parts of whatever a call was rejected with; without its message, where that repeats `secret`. */
export function partsOf(error: unknown, secret?: string): Parts {
  const { name, message, code, statusCode, $metadata } = (error ?? {}) as {
    name?: unknown
    message?: unknown
    code?: unknown
    statusCode?: number
    $metadata?: { httpStatusCode?: number }
  }
  return {
    name: typeof name === 'string' ? name : 'unknown',
    message: typeof message !== 'string' || (secret && message.includes(secret)) ? '' : message,
    code: typeof code === 'string' ? code : undefined,
    status: $metadata?.httpStatusCode,
    proxyStatus: statusCode,
  }
}

/** What a service calls a failure, and its own words for it. */
export function wordsOf(parts: Parts): string {
  const { name, status } = parts
  const kind = isNamed(name) && (/^[\w.:-]{1,64}$/.test(name) ? name : said(name))
  const about = [kind, status && `status ${status}`].filter(Boolean).join(', ')
  return `${about === '' ? '' : ` (${about})`}${ownWords(parts)}`
}

/** Its own words, after a colon, where it has any: what nobody foresaw is of use only as it was said. */
export function ownWords({ name, message }: Parts): string {
  return message === name || !isNamed(message) ? '' : `: ${said(message)}`
}

/** The SDK has a name and words of its own for what has none. */
function isNamed(text: string): boolean {
  return !/^(?:unknown(?:error)?)?$/i.test(text)
}

/** What a failed call says that every service may say. */
export function findingOf(
  service: Service,
  error: unknown,
  waitMs: number,
  parts: Parts = partsOf(error),
): Finding {
  const { name, proxy } = service
  if (error === LATE) {
    return {
      found: `${name}, or where its credentials come from, did not answer within ${waitMs} ms${through(proxy)}`,
      hint: `Look at the network, and at ${service.where}.`,
    }
  }
  if (error instanceof ForeignAnswer) return foreignFinding(service, error)
  if (error instanceof Lacking) {
    return {
      found: `the answer of ${name} lacks ${error.what}`,
      hint: 'Look at what answers at the endpoint.',
    }
  }
  return (
    credentialsFinding(service, parts) ??
    unreachedFinding(service, parts) ?? {
      found:
        parts.status === undefined
          ? `${name} gave no answer that can be used${wordsOf(parts)}`
          : `${name} refuses it${wordsOf(parts)}`,
      hint: `Look up what it says in the documentation of the service at the endpoint.`,
    }
  )
}

function foreignFinding({ name, where, proxy }: Service, answer: ForeignAnswer): Finding {
  const { origin, status, type } = answer
  if (proxy !== undefined && status === 407) return refusedByProxy(proxy, status)
  const what = type === undefined ? '' : `, ${said(type)}`
  return {
    found: `what answers at ${quote(origin)}${through(proxy)} is not ${name} (status ${status}${what})`,
    hint: `Look at ${where}, and at what stands in front of it: a portal, a proxy, another program.`,
  }
}

function credentialsFinding(service: Service, { name, message }: Parts): Finding | undefined {
  const { profile } = service
  if (denials.has(name)) {
    return {
      // AWS names who asked, for what, and which policy lacks it: nothing that is secret.
      found: `no permission: ${said(message)}`,
      hint: `Allow it in the policy: see ${service.page}.`,
    }
  }
  if (refusals.has(name)) {
    const whose = profile === undefined ? '' : ` of profile ${quote(profile)}`
    return {
      found: `the credentials${whose} were refused: they are wrong or have expired, or the clock is`,
      hint: 'Renew the credentials, and look at the clock of this machine.',
    }
  }
  if (absences.has(name)) {
    const whose = profile === undefined ? '' : ` for profile ${quote(profile)}`
    return {
      found: `there are no AWS credentials${whose}`,
      hint: `Give this machine a role, or set AWS_PROFILE or ${service.profileFlag}.`,
    }
  }
  return undefined
}

function unreachedFinding(service: Service, parts: Parts): Finding | undefined {
  const { name, where, regionHint, proxy } = service
  const { name: kind, message, code, status } = parts
  if (message.startsWith('Region is missing')) {
    return { found: 'no region is known', hint: regionHint }
  }
  if (code === 'ERR_PROXY_TUNNEL' && proxy !== undefined) {
    return refusedByProxy(proxy, parts.proxyStatus)
  }
  if (throttling.has(kind) || status === 429) {
    return {
      found: `${name} throttled each attempt${wordsOf({ ...parts, status: undefined })}`,
      hint: 'Wait a moment and try again; the account has a quota of requests.',
    }
  }
  if (code !== undefined || kind === 'TimeoutError') {
    return {
      found: `${name} could not be reached (${code ?? 'no answer in time'})${through(proxy)}`,
      hint: `Look at the network, at name resolution, and at ${where}.`,
    }
  }
  if (status !== undefined && status >= 500) {
    return {
      found: `${name} failed${wordsOf(parts)}`,
      hint: 'Try again, and look at the health of the service.',
    }
  }
  return undefined
}

/** Where a call went, to follow what it was about. Of an endpoint nothing is shown that may be secret. */
export function whereOf(place: Place): string {
  const { region, endpoint } = place
  const inRegion = region === undefined ? '' : ` in region ${region}`
  if (endpoint === undefined) return inRegion
  const origin = URL.canParse(endpoint) ? new URL(endpoint).origin : endpoint
  return `${inRegion} at ${quote(origin)}${sourceOf(place)}`
}

const throttling: ReadonlySet<string> = new Set([
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'LimitExceededException',
  'RequestLimitExceeded',
  'SlowDown',
])

const denials: ReadonlySet<string> = new Set(['AccessDeniedException', 'AccessDenied'])

const refusals: ReadonlySet<string> = new Set([
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'InvalidAccessKeyId',
  'InvalidSignatureException',
  'InvalidToken',
  'SignatureDoesNotMatch',
  'ExpiredTokenException',
  'ExpiredToken',
])

const absences: ReadonlySet<string> = new Set(['CredentialsProviderError', 'TokenProviderError'])
