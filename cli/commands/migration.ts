/** Migration of secrets between backends: what the command line offers. */
import type { Command } from '../command.ts'

export const migrationCommands: readonly Command[] = [
  {
    name: 'migrate secrets',
    args: [],
    summary: 'Move secrets from one backend to another, with all their versions.',
    details: `You need migrate, and get on each of the secrets. Of each, every version is read, written, read back
and compared; then the secret is switched to the copy and removed at the source. You can stop it at
any moment and run the same command again: each secret is in one backend or the other.

The exit code is 2 when a secret failed, or when you may not get one of them. Values that cannot be
removed at the source are listed, and removed later.`,
    flags: {
      from: { value: 'BACKEND', help: 'The backend that has them.' },
      to: { value: 'BACKEND', help: 'The backend that is to have them.' },
      names: {
        value: 'GLOB,…',
        help: 'Only those that match one of these. Default: every secret.',
      },
      'keep-source': { help: 'Leave the values at the source, too, where that is not the store.' },
      'dry-run': { help: 'Show what would be moved.' },
    },
    load: async () => (await import('../handlers/migration.ts')).migrateSecrets,
  },
]
