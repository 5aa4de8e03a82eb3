/** What went wrong with a call to S3, in words for an operator. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import {
  type Finding,
  findingOf,
  originOf,
  type Parts,
  partsOf,
  type Service,
} from '../../aws/failures.ts'
import { nameOf, type S3Place } from './s3-place.ts'

/** A call to S3. */
interface S3Attempt extends S3Place {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
}

/**
 * The SottoError `target_unavailable` for what a call to S3 was rejected with; `note` follows what was
 * found. It never holds the error of the SDK, which may show credentials.
 */
export function s3Failure(
  attempt: S3Attempt,
  error: unknown,
  waitMs: number,
  note = '',
): SottoError {
  const { attempted, region, endpoint } = attempt
  const where = [region && ` in region ${region}`, endpoint && ` at ${quote(originOf(endpoint))}`]
  const { found, hint } =
    own(attempt, partsOf(error)) ?? findingOf(serviceOf(attempt), error, waitMs)
  return new SottoError(
    'target_unavailable',
    `Cannot ${attempted} in ${nameOf(attempt)}${where.filter(Boolean).join('')}: ${found}${note}`,
    { hint },
  )
}

function serviceOf({ profile }: S3Attempt): Service {
  return {
    name: 'S3',
    where: '--backup-endpoint and --backup-bucket-region',
    profileFlag: '--backup-profile',
    profile,
    page: 'docs/scheduled-backups.md',
    regionHint: 'Give --backup-bucket-region; most servers other than those of AWS take us-east-1.',
  }
}

function own(attempt: S3Attempt, parts: Parts): Finding | undefined {
  const { name, message, status } = parts
  const known = byName[name]
  if (known !== undefined) return known(attempt, message)
  if (name === 'AuthorizationHeaderMalformed' || status === 301) return elsewhere(attempt, message)
  if (name === 'InvalidRequest' && /object ?lock/i.test(message)) return lockless
  // An answer to HEAD has no body, which would say more.
  if (status === 403 && !/^[A-Z][a-z]+[A-Z]/.test(name)) {
    return {
      found: 'no permission',
      hint: 'Allow it in the policy: see docs/scheduled-backups.md.',
    }
  }
  return undefined
}

type Explain = (attempt: S3Attempt, message: string) => Finding

const elsewhere: Explain = ({ region }, message) => {
  const due = /expecting ["']([a-z0-9-]+)/.exec(message)?.[1]
  return {
    found: `the bucket is in another region${due === undefined ? '' : `, ${due}`}`,
    hint: `Give ${due ?? 'its region'} as --backup-bucket-region${region === undefined ? '' : ` in place of ${region}`}.`,
  }
}

const lockless: Finding = {
  found: 'the bucket has no object lock',
  hint: 'Use a bucket that was made with object lock, or leave out --backup-lock.',
}

const partMissing: Explain = () => ({
  found: 'a part of it is missing or was changed in the bucket before all were there',
  hint: 'Nothing was kept of it. Try again; if it happens again, look at the health of the service.',
})

const changed: Explain = () => ({
  found: 'its bytes were changed on the way',
  hint: 'Nothing was kept of it. Look at what is between this machine and the bucket.',
})

const byName: Readonly<Record<string, Explain>> = {
  NoSuchBucket: () => ({
    found: 'there is no such bucket',
    hint: 'Look at its name and at the account; a bucket for backups is never made.',
  }),
  PermanentRedirect: elsewhere,
  IllegalLocationConstraintException: elsewhere,
  RequestTimeTooSkewed: () => ({
    found: 'the clock of this machine is wrong',
    hint: 'Set it; `sotto doctor` looks at the clock.',
  }),
  InvalidPart: partMissing,
  InvalidPartOrder: partMissing,
  NoSuchUpload: () => ({
    found: 'its parts were thrown away by somebody else',
    hint: 'Look for a rule of the bucket that aborts uploads sooner than after a day.',
  }),
  BadDigest: changed,
  IncompleteBody: changed,
  XAmzContentSHA256Mismatch: changed,
  InvalidBucketObjectLockConfiguration: () => lockless,
  ObjectLockConfigurationNotFoundError: () => lockless,
  NotImplemented: () => ({
    found: 'the service at the endpoint does not know what was asked',
    hint: 'Use a service that knows conditional writes (If-None-Match).',
  }),
}
