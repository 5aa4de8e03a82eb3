/** Backups, and restoring one: what the command line offers. */
import type { Command } from '../command.ts'
import { bucketFlags, flagsOf, keyDetails, keyFlags } from './store-flags.ts'

export const backupCommands: readonly Command[] = [
  {
    name: 'backup create',
    args: [],
    summary: 'Make a backup: of a store on its files, or have the server make one.',
    details: `Without --to the server is asked, which makes it where --backup-to of its settings says.

With --to it works on the files. DIR must be there: a directory for backups is never made, so that
none is made where a volume is not mounted. The backup is one file, sealed under the keys of the
store, and is there whole or not at all. It has what no earlier backup in DIR has of the audit log;
--whole-log takes all of it.

${keyDetails}
A key that opens the store must be available.`,
    flags: {
      ...keyFlags,
      to: { value: 'DIR|s3://…', help: 'The directory or bucket that keeps the backup.' },
      'whole-log': { help: 'Take all of the audit log.' },
      ...bucketFlags,
      ...flagsOf((flag) => flag === 'backup-lock'),
    },
    load: async () => (await import('../handlers/backups.ts')).backupCreate,
  },
  {
    name: 'backup status',
    args: [],
    summary: 'Show how old the backups of the server are, and whether they were proven.',
    details: 'The exit code is 2 when the last backup or the last rehearsal failed.',
    load: async () => (await import('../handlers/backup-status.ts')).backupStatus,
  },
  {
    name: 'backup list',
    args: ['DIR|s3://BUCKET/PREFIX'],
    summary: 'List the backups in a directory or bucket, and whether each is there whole.',
    details: `Needs no key. Only backup verify shows what is in a backup.
Flags for the bucket have the variables that \`sotto help server\` lists.`,
    flags: bucketFlags,
    load: async () => (await import('../handlers/backups.ts')).backupList,
  },
  {
    name: 'backup verify',
    args: ['FILE|s3://BUCKET/PREFIX/NAME'],
    summary: 'Prove a backup: open every value that is in it.',
    details: `Any of the keys that opened the store when the backup was made will do. It is unpacked for as long
as that takes, in $TMPDIR or the directory for temporary files, and values are never written. No
server is needed.`,
    flags: { ...keyFlags, ...bucketFlags },
    load: async () => (await import('../handlers/backups.ts')).backupVerify,
  },
  {
    name: 'restore',
    args: ['FILE|s3://BUCKET/PREFIX/NAME'],
    summary: 'Make a store out of a backup, in an empty directory.',
    details: `The backup is proven first, as backup verify does, with a key that you give; a local key is not in
it. Until all of it is in place, there is no store in DIR.

No version number is used twice. --audit names the audit log of the lost store, where that
survives: numbers continue after the highest in it, and so does the log itself. Without it, new
versions skip 1,000 numbers, for new names too.

--dry-run makes nothing and shows what would come back; with --live also what a live store has that
the backup does not. A server may be running on that store.

FILE may also be a copy of a store alone, as Litestream makes it: see docs/litestream.md.`,
    flags: {
      to: { value: 'DIR', help: 'The state directory to be: absent or empty.' },
      audit: { value: 'LOG', help: 'The folder of the audit log of the lost store.' },
      'whole-log': { help: 'Restore the audit log from earlier backups next to FILE, too.' },
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
