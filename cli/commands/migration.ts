/** Migration of secrets between backends: what the command line offers. */
import type { Command } from '../command.ts'

export const migrationCommands: readonly Command[] = [
  {
    name: 'migrate secrets',
    args: [],
    summary: 'Move secrets from one backend to another, with all versions.',
    details: `You need migrate, and get on each secret. Each version is copied, read back and compared; then the
secret is switched to the copy and removed at the source. You can stop at any moment and run the
command again: each secret is in one backend or the other.

The exit code is 2 when a secret failed, or when you have info but not get on one. Values that
cannot be removed at the source are listed, and removed later.`,
    flags: {
      from: { value: 'BACKEND', help: 'The backend that has the secrets.' },
      to: { value: 'BACKEND', help: 'The backend that gets them.' },
      names: {
        value: 'GLOB,…',
        help: 'Only names that match one of these. Default: all.',
      },
      'keep-source': {
        help: 'Leave the values at the source; a later run without this removes them.',
      },
      'dry-run': { help: 'Show what would be moved.' },
    },
    load: async () => (await import('../handlers/migration.ts')).migrateSecrets,
  },
]
