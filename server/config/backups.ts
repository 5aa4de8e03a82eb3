/** Where backups are kept and for how long, as settings say it. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { durationOf, parseDuration } from '../../client/api/times.ts'
import { isLoopbackHost } from '../platform/loopback.ts'
import type { BackupPlace } from '../backup/targets/target.ts'
import { DEFAULT_KEEP, type Keep, parseKeep } from '../backup/retention.ts'
import { clearPlace, type ObjectLock, type S3Place } from '../backup/targets/s3-place.ts'
import { endpointOf } from './endpoints.ts'
import { proxiesOf } from './proxies.ts'
import { setOf, type SettingValues } from './settings/setting.ts'

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
const MAX_LOCK_DAYS = 99_999

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

/** Where the settings say that backups are kept; undefined where they do not. Throws `usage`. */
export function backupsAt(given: SettingValues): string | undefined {
  const to = given.value('backup-to')
  const bucket = given.value('backup-bucket')
  if (to !== undefined && bucket !== undefined) {
    throw new SottoError('usage', '--backup-to and --backup-bucket do not go together', {
      hint: '--backup-bucket NAME is the same as --backup-to s3://NAME.',
    })
  }
  return to ?? (bucket === undefined ? undefined : `s3://${bucket}`)
}

/** Reads the settings of backups; undefined if they ask for none. Throws `usage`. */
export function readBackups(given: SettingValues): BackupsConfig | undefined {
  const where = backupsAt(given)
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
  const flag = given.value('backup-to') === undefined ? 'backup-bucket' : 'backup-to'
  return {
    place: readPlace(where, given, `, as --${flag} says`),
    keep: keep === undefined ? DEFAULT_KEEP : parseKeep(keep),
    rehearsal: rehearsalOf(given),
  }
}

/**
 * Reads where backups are kept: a directory, or `s3://BUCKET/PREFIX` with what the settings say of it. `by` says in
 * messages who names it. Throws `usage` for what does not fit.
 */
export function readPlace(where: string, given: SettingValues, by = ''): BackupPlace {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(where)) {
    const odd = bucketFlags.find((flag) => given.value(flag) !== undefined)
    if (odd === undefined) return { kind: 'directory', path: where }
    const problem = `--${odd} goes with s3:// alone, and backups go to ${quote(where)}`
    throw new SottoError('usage', problem)
  }
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)(?:\/(.*?))?\/*$/.exec(where) ?? []
  refuseBucket(where, bucket, prefix, by)
  const place = { bucket, prefix, ...reachOf(given) }
  const { protocol, hostname = '' } = URL.parse(place.endpoint ?? '') ?? {}
  if (protocol === 'http:' && !isLoopbackHost(hostname) && place.clear !== true) {
    const refusal = clearPlace(place, hostname)
    // One of the environment is named in it.
    if (given.value('backup-endpoint') === undefined) throw refusal
    const { code, hint } = refusal
    const what = `Cannot use ${quote(hostname)} as --backup-endpoint`
    throw new SottoError(code, `${what}: backups would cross the network in the clear`, { hint })
  }
  return { kind: 's3', ...place }
}

/** Throws `usage` with what is wrong with a place that is not a directory. */
function refuseBucket(where: string, bucket: string, prefix: string, by: string): void {
  const faults: readonly (readonly [boolean, string])[] = [
    [!where.startsWith('s3://'), 'only s3:// is known'],
    [bucket === '', 'it names no bucket'],
    [
      !bucketName.test(bucket),
      `${quote(bucket)} is not the name of a bucket, which has 3 to 63 small letters, digits, dots and hyphens`,
    ],
    [
      prefix !== '' && !prefixName.test(prefix),
      `${quote(prefix)} is not a prefix, which has letters, digits and _.!()-, and single slashes`,
    ],
  ]
  const why = faults.find(([isBad]) => isBad)?.[1]
  if (why === undefined) return
  throw new SottoError('usage', `Cannot keep backups at ${quote(where)}${by}: ${why}`, {
    hint: 'It is a directory, or s3://BUCKET or s3://BUCKET/PREFIX.',
  })
}

function reachOf(given: SettingValues): Omit<S3Place, 'bucket' | 'prefix'> {
  const role = given.value('backup-role')
  const lock = given.value('backup-lock')
  if (role !== undefined && !roleArn.test(role)) {
    const problem = `Cannot assume ${quote(role)}: --backup-role is the ARN of a role`
    throw new SottoError('usage', problem, {
      hint: 'It looks like arn:aws:iam::123456789012:role/NAME.',
    })
  }
  return {
    ...setOf(given, {
      region: 'backup-bucket-region',
      profile: 'backup-profile',
      role: 'backup-role',
    }),
    ...endpointOf(given, 'backup-endpoint', 'S3'),
    ...proxiesOf(given),
    ...(lock !== undefined && { lock: parseLock(lock) }),
    ...(given.on('backup-insecure') && { clear: true }),
  }
}

function parseLock(text: string): ObjectLock {
  const [, mode, length = ''] = /^(governance|compliance):(.*)$/.exec(text) ?? []
  const days = (parseDuration(length) ?? 0) / DAY_MS
  if (mode !== undefined && Number.isInteger(days) && days >= 1 && days <= MAX_LOCK_DAYS) {
    return { mode: mode === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE', days }
  }
  throw new SottoError('usage', `Cannot read ${quote(text)} as --backup-lock`, {
    hint: 'It looks like governance:30d or compliance:4w: whole days.',
  })
}

function rehearsalOf(given: SettingValues): RehearsalConfig | undefined {
  const every = given.value('rehearse-every') ?? '1d'
  const directory = given.value('rehearse-in')
  if (every === 'never') return undefined
  // Timers take no more than 24 days.
  return { everyMs: durationOf('rehearse-every', every, ['1m', '20d'], ', or never'), directory }
}
