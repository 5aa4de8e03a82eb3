/** Backups, and restoring one: what the command line offers. */
import type { Command } from '../command.ts'
import { bucketFlags, flagsOf, keyFlags } from './store-flags.ts'

const rootFlags = {
  'expect-root': {
    value: 'FINGERPRINT',
    help: 'Refuse a backup with another root key.',
  },
}

const rootDetails = `Anyone who can encrypt for a key of yours, such as a recovery key, can make a backup of another store
that opens with it. Give the fingerprint of your root key as --expect-root: any other is refused.`

export const backupCommands: readonly Command[] = [
  {
    name: 'backup create',
    args: [],
    summary: 'Make a backup.',
    details: `Without --to the server makes it, at its --backup-to.

With --to it works on the files of the store, while no server runs on them. A key that opens the
store must be available. DIR must exist: it is not made, since a volume may not be mounted there.
The backup has the audit records that no earlier backup there has; --whole-log takes all of them.`,
    flags: {
      ...keyFlags,
      to: { value: 'DIR|s3://…', help: 'The directory or bucket for the backup.' },
      'whole-log': { help: 'Take the whole audit log.' },
      ...bucketFlags,
      ...flagsOf((flag) => flag === 'backup-lock'),
    },
    load: async () => (await import('../handlers/backups.ts')).backupCreate,
  },
  {
    name: 'backup status',
    args: [],
    summary: 'Show the age of the newest backup and of the last restore test.',
    details: `A rehearsal is a restore test: the server restores the newest backup and opens every value in it. The
exit code is 2 when the last backup or rehearsal failed, and when backups are missing.`,
    load: async () => (await import('../handlers/backup-status.ts')).backupStatus,
  },
  {
    name: 'backup adopt',
    args: [],
    summary: 'Have the server accept its backup target as it is, and make a backup.',
    details: `A server refuses a target that has none of its earlier backups: a volume may not be mounted. It also
refuses a target that another server with a copy of its store uses. Run this when the target is
right, and no other server should use it.`,
    load: async () => (await import('../handlers/backups.ts')).backupAdopt,
  },
  {
    name: 'backup list',
    args: ['[DIR|s3://BUCKET/PREFIX]'],
    summary: 'List backups, and whether each is complete.',
    details: `Without an argument it lists those at --backup-to of the settings. It needs no key. Only backup verify
shows what is in a backup, and whether it is one of your store.`,
    flags: bucketFlags,
    load: async () => (await import('../handlers/backups.ts')).backupList,
  },
  {
    name: 'backup verify',
    args: ['FILE|s3://BUCKET/PREFIX/NAME'],
    summary: 'Test a backup: open every value in it.',
    details: `Give one of the keys that opened the store when the backup was made. No server is needed. The backup
is unpacked in $TMPDIR meanwhile; values stay encrypted.

${rootDetails}`,
    flags: { ...rootFlags, ...keyFlags, ...bucketFlags },
    load: async () => (await import('../handlers/backups.ts')).backupVerify,
  },
  {
    name: 'restore',
    args: ['[FILE|s3://BUCKET/PREFIX/NAME]'],
    summary: 'Make a store from a backup, in an empty directory.',
    details: `With --latest the argument is a directory or s3://BUCKET/PREFIX; default: --backup-to of the settings.
It takes the backup with the highest revision that is not damaged and of the same store, and names
those that it skips.

Give a key that opened the store; a local key is not in the backup. The backup is tested first, and
the store is in DIR only when it is complete.

If you still have the audit log of the lost store, give it as --audit: the log and all version
numbers continue after it. Without it new versions skip 1,000 numbers, so that none is used twice.

${rootDetails}
It is required, unless the key is a local one or --audit has the fingerprint.

The server of the restored store changes no backend and makes no backups until
\`sotto branch adopt\`.

--dry-run shows what would come back; with --live also what a live store has that the backup does
not. A server may be running on that store.

FILE may also be a copy of the store, as Litestream makes it: see docs/guides/litestream.md.`,
    flags: {
      latest: { help: 'Restore the newest good backup of a directory or bucket.' },
      to: {
        value: 'DIR',
        help: 'The new state directory: absent or empty. Default: --state-dir.',
      },
      audit: { value: 'LOG', help: 'The audit folder of the lost store.' },
      ...rootFlags,
      'whole-log': { help: 'Also restore the audit log from earlier backups next to FILE.' },
      'dry-run': { help: 'Show what would come back, and make nothing.' },
      live: {
        value: 'DIR',
        help: 'With --dry-run: compare with the store in this state directory.',
      },
      ...keyFlags,
      ...bucketFlags,
    },
    load: async () => (await import('../handlers/restore.ts')).restore,
  },
]
