/** The settings of backups. */
import type { Setting } from './setting.ts'

export const backupSettings: readonly Setting[] = [
  {
    flag: 'backup-to',
    env: ['SOTTO_BACKUP_TO'],
    value: 'DIR|s3://BUCKET/PREFIX',
    verbs: ['server', 'doctor'],
    help: 'Where backups go: at most one a minute when something changed, and one a day at least.\n\
      Default: none are made.',
  },
  {
    flag: 'backup-bucket',
    env: ['SOTTO_BACKUP_BUCKET', 'SETEC_BACKUP_BUCKET'],
    value: 'BUCKET',
    verbs: ['server', 'doctor'],
    help: 'The same as --backup-to s3://BUCKET.',
  },
  {
    flag: 'backup-bucket-region',
    env: ['SOTTO_BACKUP_BUCKET_REGION', 'SETEC_BACKUP_BUCKET_REGION'],
    value: 'REGION',
    verbs: ['server', 'doctor'],
    help: 'The region of the bucket. Default: that of the AWS configuration.',
  },
  {
    flag: 'backup-role',
    env: ['SOTTO_BACKUP_ROLE', 'SETEC_BACKUP_ROLE'],
    value: 'ARN',
    verbs: ['server', 'doctor'],
    help: 'The role to assume for the bucket. Default: none.',
  },
  {
    flag: 'backup-profile',
    env: ['SOTTO_BACKUP_PROFILE'],
    value: 'NAME',
    verbs: ['server', 'doctor'],
    help: 'The profile of AWS to use for it. Default: what the AWS SDK finds.',
  },
  {
    flag: 'backup-endpoint',
    env: ['SOTTO_BACKUP_ENDPOINT'],
    value: 'URL',
    verbs: ['server', 'doctor'],
    help: 'Where the bucket is reached, for a service other than that of AWS.',
  },
  {
    flag: 'backup-insecure',
    env: ['SOTTO_BACKUP_INSECURE'],
    value: undefined,
    verbs: ['server', 'doctor'],
    help: 'Allow http://: names of backups cross the network in the clear.',
  },
  {
    flag: 'backup-lock',
    env: ['SOTTO_BACKUP_LOCK'],
    value: 'MODE:DAYSd',
    verbs: ['server', 'doctor'],
    help: 'Lock each backup there, as governance:30d or compliance:30d do.',
  },
  {
    flag: 'backup-keep',
    env: ['SOTTO_BACKUP_KEEP'],
    value: 'KEEP',
    verbs: ['server', 'doctor'],
    help: 'How many backups to keep: all, or last=N,daily=N,weekly=N,monthly=N.\n\
      Default: last=30,daily=14,weekly=8,monthly=12.',
  },
  {
    flag: 'rehearse-every',
    env: ['SOTTO_REHEARSE_EVERY'],
    value: 'TIME',
    verbs: ['server', 'doctor'],
    help: 'How often the newest backup is fetched, restored to a temporary place, opened whole, and\n\
      destroyed there: a time such as 12h or 7d, or never. Default: 1d.',
  },
  {
    flag: 'rehearse-in',
    env: ['SOTTO_REHEARSE_IN'],
    value: 'DIR',
    verbs: ['server', 'doctor'],
    help: 'The directory for that. Default: the state directory.',
  },
]
