/** Where backups are kept and for how long, as settings say it. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { isLoopbackHost } from '../platform/loopback.ts'
import type { BackupPlace } from '../backup/targets/target.ts'
import { DEFAULT_KEEP, type Keep, parseKeep } from '../backup/retention.ts'
import { clearPlace, type ObjectLock, type S3Place } from '../backup/targets/s3-place.ts'
import { refuseNoUrl, setOf, type SettingValues } from './settings/setting.ts'

/** What the jobs that make and prove backups work with. */
export interface BackupsConfig {
  readonly place: BackupPlace
  /** Undefined: nothing is deleted. */
  readonly keep: Keep | undefined
  readonly rehearsal: RehearsalConfig | undefined
}

/** How backups are proven. */
export interface RehearsalConfig {
  readonly everyMs: number
  /** Undefined: in the state directory. */
  readonly directory: string | undefined
}

const DAY_MS = 24 * 3600 * 1000
const MINUTE_MS = 60_000

/** The flags that are for a bucket alone. */
const bucketFlags = [
  'backup-bucket-region',
  'backup-role',
  'backup-endpoint',
  'backup-profile',
  'backup-lock',
] as const
const bucketName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const prefixName = /^[A-Za-z0-9_.!()-]+(?:\/[A-Za-z0-9_.!()-]+)*$/
const roleArn = /^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/

/** Reads the settings of backups; undefined if they ask for none. Throws `usage`. */
export function readBackups(given: SettingValues): BackupsConfig | undefined {
  const to = given.value('backup-to')
  const bucket = given.value('backup-bucket')
  if (to !== undefined && bucket !== undefined) {
    throw new SottoError('usage', '--backup-to and --backup-bucket do not go together', {
      hint: '--backup-bucket NAME is the same as --backup-to s3://NAME.',
    })
  }
  const where = to ?? (bucket === undefined ? undefined : `s3://${bucket}`)
  if (where === undefined) {
    const odd = ['backup-keep', 'rehearse-every', 'rehearse-in', ...bucketFlags].find(
      (flag) => given.value(flag) !== undefined,
    )
    if (odd === undefined) return undefined
    throw new SottoError('usage', `--${odd} says how, and nothing says where to keep backups`, {
      hint: 'Give --backup-to DIR or --backup-to s3://BUCKET/PREFIX.',
    })
  }
  const keep = given.value('backup-keep')
  return {
    place: readPlace(where, given),
    keep: keep === undefined ? DEFAULT_KEEP : parseKeep(keep),
    rehearsal: rehearsalOf(given),
  }
}

/**
 * Reads where backups are kept: a directory, or `s3://BUCKET/PREFIX` with what the settings say of it. Throws
 * `usage` for what does not fit.
 */
export function readPlace(where: string, given: SettingValues): BackupPlace {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(where)) {
    const odd = bucketFlags.find((flag) => given.value(flag) !== undefined)
    if (odd === undefined) return { kind: 'directory', path: where }
    const problem = `--${odd} goes with s3:// alone, and backups go to ${quote(where)}`
    throw new SottoError('usage', problem)
  }
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)(?:\/(.*?))?\/*$/.exec(where) ?? []
  if (!bucketName.test(bucket) || (prefix !== '' && !prefixName.test(prefix))) {
    throw new SottoError('usage', `Cannot keep backups at ${quote(where)}`, {
      hint: 'It is a directory, or s3://BUCKET or s3://BUCKET/PREFIX.',
    })
  }
  const place = { bucket, prefix, ...reachOf(given) }
  const { protocol, hostname = '' } = URL.parse(place.endpoint ?? '') ?? {}
  if (protocol === 'http:' && !isLoopbackHost(hostname) && place.clear !== true) {
    throw clearPlace(place, hostname)
  }
  return { kind: 's3', ...place }
}

function reachOf(given: SettingValues): Omit<S3Place, 'bucket' | 'prefix'> {
  const role = given.value('backup-role')
  const lock = given.value('backup-lock')
  refuseNoUrl(given, 'backup-endpoint')
  if (role !== undefined && !roleArn.test(role)) {
    const problem = `Cannot assume ${quote(role)}: --backup-role is the ARN of a role`
    throw new SottoError('usage', problem, {
      hint: 'It looks like arn:aws:iam::123456789012:role/NAME.',
    })
  }
  return {
    ...setOf(given, {
      region: 'backup-bucket-region',
      endpoint: 'backup-endpoint',
      profile: 'backup-profile',
      role: 'backup-role',
    }),
    ...(lock !== undefined && { lock: parseLock(lock) }),
    ...(given.on('backup-insecure') && { clear: true }),
  }
}

function parseLock(text: string): ObjectLock {
  const [, mode, days] = /^(governance|compliance):([1-9]\d{0,4})d$/.exec(text) ?? []
  if (mode === 'governance') return { mode: 'GOVERNANCE', days: Number(days) }
  if (mode === 'compliance') return { mode: 'COMPLIANCE', days: Number(days) }
  throw new SottoError('usage', `Cannot read ${quote(text)} as --backup-lock`, {
    hint: 'It looks like governance:30d or compliance:30d.',
  })
}

function rehearsalOf(given: SettingValues): RehearsalConfig | undefined {
  const every = given.value('rehearse-every') ?? '1d'
  const directory = given.value('rehearse-in')
  if (every === 'never') return undefined
  const [, count, unit] = /^(\d{1,4})(m|h|d)$/.exec(every) ?? []
  const everyMs = Number(count) * ({ m: MINUTE_MS, h: 60 * MINUTE_MS, d: DAY_MS }[unit ?? ''] ?? 0)
  // Timers take no more than 24 days.
  if (everyMs >= MINUTE_MS && everyMs <= 20 * DAY_MS) return { everyMs, directory }
  throw new SottoError('usage', `Cannot use ${quote(every)} as --rehearse-every`, {
    hint: 'It is a time from 1m to 20d, such as 12h or 7d, or never.',
  })
}
