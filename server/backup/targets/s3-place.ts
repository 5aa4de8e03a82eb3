/** Which bucket of S3, or of a service that speaks as it does, keeps backups. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import { type Place, sourceOf } from '../../aws/endpoint.ts'

/** Which bucket, and how it is reached; what is absent comes from where the AWS SDK looks. */
export interface S3Place extends Place {
  readonly bucket: string
  /** What names begin with in the bucket, without slashes at its ends; empty for the top. */
  readonly prefix: string
  /** Whether to use an endpoint with `http://` that is not this machine. Absent: it is refused. */
  readonly clear?: boolean
  /** The ARN of a role to assume with the credentials that are found. */
  readonly role?: string
  /** How long a backup cannot be deleted. Absent: what the bucket says. */
  readonly lock?: ObjectLock
}

/** A lock on each object, counted from when it is put. */
export interface ObjectLock {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE'
  readonly days: number
}

/** How a bucket is called in messages. */
export function nameOf({ bucket, prefix }: S3Place): string {
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`
}

/** What refuses to reach a bucket at `host` with `http://`. */
export function clearPlace(place: S3Place, host: string): SottoError {
  return new SottoError(
    'unsafe',
    `Cannot use ${nameOf(place)} at ${quote(host)}${sourceOf(place)}: backups would cross the network in the clear`,
    {
      hint: 'Give an endpoint that begins with https://. Where the network is private, --backup-insecure allows it: backups are encrypted, their names and times are not.',
    },
  )
}
