/** What goes wrong with calls to AWS and to services with the same API, in words for an operator. */
import { type ErrorCode, quote } from '../../client/api/errors.ts'

/** The reason of a call that took too long. */
export const LATE: unique symbol = Symbol('late')

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
  /** The flags that say where it is, such as `--kms-endpoint and --kms-region`. */
  readonly where: string
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
}

/** The parts of whatever a call was rejected with. */
export function partsOf(error: unknown): Parts {
  const { name, message, code, $metadata } = (error ?? {}) as {
    name?: unknown
    message?: unknown
    code?: unknown
    $metadata?: { httpStatusCode?: number }
  }
  return {
    name: typeof name === 'string' ? name : 'unknown',
    message: typeof message === 'string' ? message : '',
    code: typeof code === 'string' ? code : undefined,
    status: $metadata?.httpStatusCode,
  }
}

/** What a failed call says that every service may say. */
export function findingOf(service: Service, error: unknown, waitMs: number): Finding {
  const { name } = service
  if (error === LATE) {
    return {
      found: `${name}, or where its credentials come from, did not answer within ${waitMs} ms`,
      hint: `Look at the network, and at ${service.where}.`,
    }
  }
  const parts = partsOf(error)
  return (
    credentialsFinding(service, parts) ??
    unreachedFinding(service, parts) ?? {
      found: `${name} gave no answer that can be used (${parts.name}${parts.status ? `, status ${parts.status}` : ''})`,
      hint: 'Look at what answers at the endpoint.',
    }
  )
}

function credentialsFinding(service: Service, { name, message }: Parts): Finding | undefined {
  const { profile } = service
  if (denials.has(name)) {
    return {
      // AWS names who asked, for what, and which policy lacks it: nothing that is secret.
      found: `no permission: ${quote(message.slice(0, 400))}`,
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

function unreachedFinding(
  service: Service,
  { name: kind, message, code, status }: Parts,
): Finding | undefined {
  const { name, where, regionHint } = service
  if (message.startsWith('Region is missing')) {
    return { found: 'no region is known', hint: regionHint }
  }
  if (throttling.has(kind) || status === 429) {
    return {
      found: `${name} throttled each attempt (${kind})`,
      hint: 'Wait a moment and try again; the account has a quota of requests.',
    }
  }
  if (code !== undefined || kind === 'TimeoutError') {
    return {
      found: `${name} could not be reached (${code ?? 'no answer in time'})`,
      hint: `Look at the network, at name resolution, and at ${where}.`,
    }
  }
  if (status !== undefined && status >= 500) {
    return {
      found: `${name} failed (${kind}, status ${status})`,
      hint: 'Try again, and look at the health of the service.',
    }
  }
  return undefined
}

/** An endpoint without what may be secret in it. */
export function originOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).origin : endpoint
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
