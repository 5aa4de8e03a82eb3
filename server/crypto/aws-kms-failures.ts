/** What went wrong with a call to AWS KMS, in words for an operator. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Place } from '../aws/endpoint.ts'
import {
  type Finding,
  findingOf,
  ownWords,
  type Parts,
  partsOf,
  type Service,
  whereOf,
} from '../aws/failures.ts'

/** Which key of AWS KMS, and how it is reached. An ARN says the region, where nothing else does. */
export interface AwsKmsKey extends Place {
  /** An ARN, a key id, or an alias with `alias/` in front. */
  readonly key: string
}

/** A call to KMS. */
export interface Attempt extends AwsKmsKey {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
  /** The proxy that the call went through. Absent: none. */
  readonly proxy?: string | undefined
  /** The root key, where it was sent: nothing is passed on that repeats it. */
  readonly sent?: Uint8Array
}

/**
 * The SottoError for what a call to KMS was rejected with: `key_wrong` when KMS took the wrap for none of
 * its key, and `key_missing` otherwise. It never holds the error of the SDK, which may show credentials.
 */
export function kmsFailure(attempt: Attempt, error: unknown, waitMs: number): SottoError {
  const { attempted, key, sent } = attempt
  const parts = partsOf(error, sent && Buffer.from(sent).toString('base64'))
  const known = byName[parts.name]?.(attempt, parts)
  const finding = known ?? findingOf(serviceOf(attempt), error, waitMs, parts)
  const about = `Cannot ${attempted} with aws-kms key ${quote(key)}${whereOf(attempt)}`
  const { found, hint, code = 'key_missing' } = finding
  return new SottoError(code, `${about}: ${found}`, { hint })
}

function serviceOf({ profile, proxy, endpointFrom }: Attempt): Service {
  return {
    name: 'KMS',
    where: `${endpointFrom ?? '--kms-endpoint'} and --kms-region`,
    proxy,
    profileFlag: '--kms-profile',
    profile,
    page: 'docs/guides/keys-kms.md',
    regionHint: 'Give the ARN of the key, or --kms-region.',
  }
}

type Explain = (attempt: Attempt, parts: Parts) => Finding

const absent: Explain = ({ region }, { message }) =>
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
  KMSInvalidStateException: (_attempt, parts) =>
    /pending ?deletion/i.test(parts.message)
      ? {
          found: 'the key is pending deletion',
          hint: 'Stop that at once: aws kms cancel-key-deletion, then aws kms enable-key. A deleted key does not come back.',
        }
      : {
          found: `the key is in a state in which it cannot be used${ownWords(parts)}`,
          hint: 'Look at its state: aws kms describe-key.',
        },
  KeyUnavailableException: (_attempt, parts) => ({
    found: `KMS cannot use the key right now${ownWords(parts)}`,
    hint: 'Try again in a while.',
  }),
  NotFoundException: absent,
  InvalidArnException: absent,
  InvalidKeyUsageException: () => ({
    found: 'the key is not for encryption',
    hint: 'Sotto needs a symmetric key with the usage ENCRYPT_DECRYPT.',
  }),
  ValidationException: (_attempt, parts) => ({
    found: `KMS does not understand what it was asked${ownWords(parts)}`,
    hint: 'Give the ARN of the key, its id, or an alias with alias/ in front.',
  }),
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
