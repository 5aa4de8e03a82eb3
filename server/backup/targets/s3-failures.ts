/** What went wrong with a call to S3, in words for an operator. */
import { SottoError } from '../../../client/api/errors.ts'
import {
  type Finding,
  findingOf,
  ownWords,
  type Parts,
  partsOf,
  type Service,
  whereOf,
  wordsOf,
} from '../../aws/failures.ts'
import { nameOf, type S3Place } from './s3-place.ts'

/** A call to S3. */
interface S3Attempt extends S3Place {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
  /** The proxy that the call went through. Absent: none. */
  readonly proxy?: string | undefined
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
  const { attempted } = attempt
  const { found, hint } =
    own(attempt, partsOf(error)) ?? findingOf(serviceOf(attempt), error, waitMs)
  return new SottoError(
    'target_unavailable',
    `Cannot ${attempted} in ${nameOf(attempt)}${whereOf(attempt)}: ${found}${note}`,
    { hint },
  )
}

function serviceOf({ profile, proxy, endpointFrom }: S3Attempt): Service {
  return {
    name: 'S3',
    where: `${endpointFrom ?? '--backup-endpoint'} and --backup-bucket-region`,
    proxy,
    profileFlag: '--backup-profile',
    profile,
    page: 'docs/guides/backup.md#backups-in-s3',
    regionHint: 'Give --backup-bucket-region; most servers other than those of AWS take us-east-1.',
  }
}

function own(attempt: S3Attempt, parts: Parts): Finding | undefined {
  const { name, message, status } = parts
  const known = byName[name]
  if (known !== undefined) return known(attempt, parts)
  if (quotas.test(name)) return full(parts)
  if (name === 'AuthorizationHeaderMalformed' || status === 301) return elsewhere(attempt, parts)
  if (name === 'InvalidRequest' && /object ?lock/i.test(message)) return lockless
  // An answer to HEAD has no body, which would say more.
  if (status === 403 && !/^[A-Z][a-z]+[A-Z]/.test(name)) {
    return {
      found: 'no permission',
      hint: 'Allow it in the policy: see docs/guides/backup.md#backups-in-s3.',
    }
  }
  return undefined
}

type Explain = (attempt: S3Attempt, parts: Parts) => Finding

const elsewhere: Explain = ({ region }, { message }) => {
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

/** Services have names of their own for it. */
const quotas = /Quota|StorageFull|InsufficientStorage|InsufficientCapacity/i

const full = (parts: Parts): Finding => ({
  found: `there is no room for it${wordsOf(parts)}`,
  hint: 'Raise the quota of the bucket or the account, or keep fewer backups: --backup-keep.',
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
  InvalidObjectState: (_attempt, parts) => ({
    found: `it is in an archive, where nothing reads it${ownWords(parts)}`,
    hint: 'Take it out for some days with `aws s3api restore-object`, and wait until that is done. Have no rule of the bucket move backups to an archive class such as Glacier.',
  }),
  NotImplemented: (_attempt, parts) => ({
    found: `the service at the endpoint does not know what was asked${ownWords(parts)}`,
    hint: 'Use a service that knows conditional writes (If-None-Match), SHA-256 checksums and, with --backup-lock, object locks.',
  }),
}
