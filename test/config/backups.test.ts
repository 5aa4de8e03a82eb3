/** Where backups go, as settings say it: what fits, and what is refused with what to do. */
import { describe, expect, test } from 'vitest'
import { asSottoError } from '../../client/api/errors.ts'
import { DEFAULT_KEEP } from '../../server/backup/retention.ts'
import { readBackupPlace, readServerConfig } from '../../server/config/config.ts'
import type { Environment } from '../../client/api/given.ts'

const state = ['--state-dir', '/s']
const DAY_MS = 24 * 3600 * 1000

const backupsOf = (args: readonly string[], env: Environment = {}) =>
  readServerConfig([...state, ...args], env).backups

test('without a place none are made', () => {
  expect(backupsOf([])).toBeUndefined()
})

test('a directory is enough, and with --dev too', () => {
  const backups = {
    place: { kind: 'directory', path: '/mnt/backups' },
    keep: DEFAULT_KEEP,
    rehearsal: { everyMs: DAY_MS, directory: undefined },
  }
  expect(backupsOf(['--backup-to', '/mnt/backups'])).toEqual(backups)
  const dev = readServerConfig(['--dev'], { SOTTO_BACKUP_TO: '/mnt/backups' })
  expect(dev.backups).toEqual(backups)
})

test('a bucket is reached as it is said', () => {
  const place = {
    kind: 's3',
    bucket: 'my.backups',
    prefix: 'a/b',
    region: 'eu-central-1',
    endpoint: 'https://s3.example',
    profile: 'backup',
    role: 'arn:aws:iam::123456789012:role/sotto',
    lock: { mode: 'COMPLIANCE', days: 30 },
  }
  const env = {
    SOTTO_BACKUP_TO: 's3://my.backups/a/b/',
    SOTTO_BACKUP_BUCKET_REGION: 'eu-central-1',
    SOTTO_BACKUP_ENDPOINT: 'https://s3.example',
    SOTTO_BACKUP_PROFILE: 'backup',
    SOTTO_BACKUP_ROLE: 'arn:aws:iam::123456789012:role/sotto',
    SOTTO_BACKUP_LOCK: 'compliance:30d',
    SOTTO_BACKUP_KEEP: 'all',
    SOTTO_REHEARSE_EVERY: 'never',
  }
  expect(backupsOf([], env)).toEqual({ place, keep: undefined, rehearsal: undefined })
  const { SOTTO_BACKUP_TO: where, ...others } = env
  const flags = () => undefined
  expect(readBackupPlace(where, flags, others)).toEqual(place)
  expect(readBackupPlace('/mnt', flags, others)).toEqual({ kind: 'directory', path: '/mnt' })
})

test('setec’s flags and variables mean what they mean to setec', () => {
  const place = {
    kind: 's3',
    bucket: 'setec-backups',
    prefix: '',
    region: 'eu-central-1',
    role: 'arn:aws:iam::123456789012:role/setec',
  }
  const flags = ['-backup-bucket', place.bucket, '-backup-bucket-region', place.region]
  expect(backupsOf([...flags, `--backup-role=${place.role}`])?.place).toEqual(place)
  const env = {
    SETEC_BACKUP_BUCKET: place.bucket,
    SETEC_BACKUP_BUCKET_REGION: place.region,
    SETEC_BACKUP_ROLE: place.role,
  }
  expect(backupsOf([], env)?.place).toEqual(place)
})

test('an endpoint in the clear is used on this machine, and where it is allowed', () => {
  const bucket = ['--backup-to', 's3://backups', '--backup-bucket-region', 'us-east-1']
  const near = backupsOf([...bucket, '--backup-endpoint', 'http://127.0.0.1:9000'])
  expect(near?.place).not.toHaveProperty('clear')
  const far = [...bucket, '--backup-endpoint', 'http://minio:9000']
  expect(backupsOf([...far, '--backup-insecure'])?.place).toMatchObject({ clear: true })
  expect(refusal(far)).toMatch(
    /^unsafe: Cannot use "minio" as --backup-endpoint: backups would cross the network in the clear/,
  )
})

describe('refused with what to do', () => {
  const bucket = ['--backup-to', 's3://backups']
  test.each([
    [['--backup-to', '/a', '--backup-bucket', 'b'], /do not go together\. --backup-bucket NAME is/],
    [['--backup-keep', 'all'], /--backup-keep says how, and nothing says where/],
    [['--rehearse-every', '1d'], /--rehearse-every says how, and nothing says where/],
    [['--backup-role', 'x'], /--backup-role says how, and nothing says where/],
    [
      ['--backup-to', '/a', '--backup-lock', 'governance:1d'],
      /--backup-lock goes with s3:\/\/ alone/,
    ],
    [
      ['--backup-to', 'https://x/y'],
      /Cannot keep backups at "https:\/\/x\/y", as --backup-to says: only s3:\/\/ is known\. It is a directory, or/,
    ],
    [
      ['--backup-to', 's3://'],
      /Cannot keep backups at "s3:\/\/", as --backup-to says: it names no bucket/,
    ],
    [['--backup-to', 's3://UPPER'], /Cannot keep backups at/],
    [['--backup-to', 's3://bucket//x'], /Cannot keep backups at/],
    [['--backup-to', 's3://bucket/a b'], /Cannot keep backups at/],
    [[...bucket, '--backup-endpoint', 'minio:9000'], /as --backup-endpoint: it is not a URL/],
    [
      [...bucket, '--backup-role', 'sotto'],
      /--backup-role is the ARN of a role\. It looks like arn/,
    ],
    [
      [...bucket, '--backup-lock', 'governance:0d'],
      /as --backup-lock\. It looks like governance:30d/,
    ],
    [[...bucket, '--backup-keep', '7'], /Cannot read "7" as --backup-keep\. It looks like/],
    [
      [...bucket, '--rehearse-every', '30d'],
      /Cannot use "30d" as --rehearse-every: expected 1m to 20d\. .* or never/,
    ],
    [[...bucket, '--rehearse-every', '0m'], /Cannot use "0m" as --rehearse-every/],
  ])('%s', (args, reason) => {
    expect(refusal(args)).toMatch(reason)
  })
})

function refusal(args: readonly string[]): string {
  try {
    backupsOf(args)
  } catch (error) {
    const { code, message, hint } = asSottoError(error)
    return `${code}: ${message}. ${hint ?? ''}`
  }
  return 'nothing was refused'
}
