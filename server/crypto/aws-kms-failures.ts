/** What went wrong with a call to AWS KMS, in words for an operator. */
import { type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { AwsKmsKey } from './aws-kms.ts'

/** A call to KMS. */
export interface Attempt extends AwsKmsKey {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
}

/** Stands for a call that took too long. */
export const LATE: unique symbol = Symbol('late')

interface Finding {
  readonly found: string
  readonly hint: string
  readonly code?: ErrorCode
}

/**
 * The SottoError for what a call to KMS was rejected with: `key_wrong` when KMS took the wrap for none of
 * its key, and `key_missing` otherwise. It never holds the error of the SDK, which may show credentials.
 */
export function kmsFailure(attempt: Attempt, error: unknown, waitMs: number): SottoError {
  const { attempted, key, region, endpoint } = attempt
  const where = [region && ` in region ${region}`, endpoint && ` at ${quote(originOf(endpoint))}`]
  const {
    found,
    hint,
    code = 'key_missing',
  } = error === LATE ? late(waitMs) : findingOf(attempt, partsOf(error))
  return new SottoError(
    code,
    `Cannot ${attempted} with aws-kms key ${quote(key)}${where.filter(Boolean).join('')}: ${found}`,
    { hint },
  )
}

/** What is read of an error of the SDK. */
interface Parts {
  readonly name: string
  readonly message: string
  /** Of a failed connection. */
  readonly code: string | undefined
  readonly status: number | undefined
}

function findingOf(attempt: Attempt, error: Parts): Finding {
  const { name, message, code, status } = error
  const known = byName[name]
  if (known !== undefined) return known(attempt, message)
  if (message.startsWith('Region is missing')) {
    return { found: 'no region is known', hint: 'Give the ARN of the key, or --kms-region.' }
  }
  if (throttling.has(name) || status === 429) {
    return {
      found: `KMS throttled each attempt (${name})`,
      hint: 'Wait a moment and try again; the account has a quota of requests.',
    }
  }
  if (code !== undefined || name === 'TimeoutError') {
    return {
      found: `KMS could not be reached (${code ?? 'no answer in time'})`,
      hint: 'Look at the network, at name resolution, and at --kms-endpoint and --kms-region.',
    }
  }
  if (status !== undefined && status >= 500) {
    return {
      found: `KMS failed (${name}, status ${status})`,
      hint: 'Try again, and look at the health of the service.',
    }
  }
  return {
    found: `KMS gave no answer that can be used (${name}${status ? `, status ${status}` : ''})`,
    hint: 'Look at what answers at the endpoint.',
  }
}

const throttling: ReadonlySet<string> = new Set([
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'LimitExceededException',
  'RequestLimitExceeded',
])

type Explain = (attempt: Attempt, message: string) => Finding

const denied: Explain = (_attempt, message) => ({
  // KMS names who asked, for what, and which policy lacks it: nothing that is secret.
  found: `no permission: ${quote(message.slice(0, 400))}`,
  hint: 'Allow it in the policy of the role or of the key: see docs/keys.md.',
})

const refused: Explain = ({ profile }, _message) => ({
  found: `the credentials${profile === undefined ? '' : ` of profile ${quote(profile)}`} were refused: they are wrong or have expired, or the clock is`,
  hint: 'Renew the credentials, and look at the clock of this machine.',
})

const absent: Explain = ({ region }, message) =>
  /invalid arn/i.test(message)
    ? {
        found: `the key is not of this region`,
        hint: 'Give --kms-region as the ARN of the key has it, or the endpoint of that region.',
      }
    : {
        found: 'there is no such key',
        hint: `Look at its name and at the account, and whether it is in region ${region ?? 'unknown'}. A deleted key does not come back: use another key of the store.`,
      }

const byName: Readonly<Record<string, Explain>> = {
  DisabledException: () => ({
    found: 'the key is disabled',
    hint: 'Enable it (aws kms enable-key), or use another key of the store.',
  }),
  KMSInvalidStateException: (_attempt, message) =>
    /pending ?deletion/i.test(message)
      ? {
          found: 'the key is pending deletion',
          hint: 'Stop that at once: aws kms cancel-key-deletion, then aws kms enable-key. A deleted key does not come back.',
        }
      : {
          found: 'the key is in a state in which it cannot be used',
          hint: 'Look at its state: aws kms describe-key.',
        },
  KeyUnavailableException: () => ({
    found: 'KMS has the key not at hand at present',
    hint: 'Try again in a while.',
  }),
  NotFoundException: absent,
  InvalidArnException: absent,
  InvalidKeyUsageException: () => ({
    found: 'the key is not for encryption',
    hint: 'Sotto needs a symmetric key with the usage ENCRYPT_DECRYPT.',
  }),
  ValidationException: () => ({
    found: 'KMS does not understand the name of the key',
    hint: 'Give its ARN, its id, or an alias with alias/ in front.',
  }),
  AccessDeniedException: denied,
  AccessDenied: denied,
  UnrecognizedClientException: refused,
  InvalidClientTokenId: refused,
  InvalidSignatureException: refused,
  SignatureDoesNotMatch: refused,
  ExpiredTokenException: refused,
  ExpiredToken: refused,
  CredentialsProviderError: noCredentials,
  TokenProviderError: noCredentials,
  IncorrectKeyException: () => ({
    code: 'key_wrong',
    found: 'it was wrapped by another key of KMS',
    hint: 'Give the key that the store was sealed under with --kms-key.',
  }),
  InvalidCiphertextException: () => ({
    code: 'key_wrong',
    found:
      'KMS does not open it: it was altered, or was wrapped for another store (its encryption context differs)',
    hint: 'The wrap is damaged: open the store with another of its keys, then remove this one and add it again; or restore the store from a backup.',
  }),
}

function noCredentials({ profile }: Attempt): Finding {
  return {
    found: `there are no AWS credentials${profile === undefined ? '' : ` for profile ${quote(profile)}`}`,
    hint: 'Give this machine a role, or set AWS_PROFILE or --kms-profile.',
  }
}

function late(waitMs: number): Finding {
  return {
    found: `KMS, or where its credentials come from, did not answer within ${waitMs} ms`,
    hint: 'Look at the network, and at --kms-endpoint and --kms-region.',
  }
}

/** An endpoint without what may be secret in it. */
function originOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).origin : endpoint
}

function partsOf(error: unknown): Parts {
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
