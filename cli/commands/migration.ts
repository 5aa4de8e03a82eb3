/** The command for migration: secrets that move between backends. */
import type { Command } from '../command.ts'

export const migrationCommands: readonly Command[] = [
  {
    name: 'migrate secrets',
    args: [],
    summary: 'Move secrets from one backend to another, with all their versions.',
    details: `You need migrate, and get on each of the secrets. Of each, every version is read, written, read back
and compared; then the secret is flipped, and removed at the source. It can be broken off at any
moment, and the same command again does the rest: a secret is where it was or where it is to be.

The exit code is 2 when a secret failed, or is there that you may not get. What cannot be removed
at the source is told, and removed later.`,
    flags: {
      from: { value: 'BACKEND', help: 'Where they are.' },
      to: { value: 'BACKEND', help: 'Where they are to be.' },
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
