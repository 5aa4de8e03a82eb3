/** What went wrong with a call to AWS KMS, in words for an operator. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { type Finding, findingOf, originOf, partsOf, type Service } from '../aws/failures.ts'

/** Which key of AWS KMS, and how it is reached; what is absent comes from where the AWS SDK looks. */
export interface AwsKmsKey {
  /** An ARN, a key id, or an alias with `alias/` in front. */
  readonly key: string
  /** Absent: that of the ARN, then of the profile or the environment. */
  readonly region?: string
  /** A URL. Absent: that of the region. */
  readonly endpoint?: string
  /** A profile of the AWS configuration files, which may name a role. */
  readonly profile?: string
}

/** A call to KMS. */
export interface Attempt extends AwsKmsKey {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
}

/**
 * The SottoError for what a call to KMS was rejected with: `key_wrong` when KMS took the wrap for none of
 * its key, and `key_missing` otherwise. It never holds the error of the SDK, which may show credentials.
 */
export function kmsFailure(attempt: Attempt, error: unknown, waitMs: number): SottoError {
  const { attempted, key, region, endpoint } = attempt
  const where = [region && ` in region ${region}`, endpoint && ` at ${quote(originOf(endpoint))}`]
  const { name, message } = partsOf(error)
  const finding = byName[name]?.(attempt, message) ?? findingOf(serviceOf(attempt), error, waitMs)
  const about = `Cannot ${attempted} with aws-kms key ${quote(key)}${where.filter(Boolean).join('')}`
  const { found, hint, code = 'key_missing' } = finding
  return new SottoError(code, `${about}: ${found}`, { hint })
}

function serviceOf({ profile }: Attempt): Service {
  return {
    name: 'KMS',
    where: '--kms-endpoint and --kms-region',
    profileFlag: '--kms-profile',
    profile,
    page: 'docs/keys.md',
    regionHint: 'Give the ARN of the key, or --kms-region.',
  }
}

type Explain = (attempt: Attempt, message: string) => Finding

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
    found: 'KMS cannot use the key right now',
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
