/** The branch of a store: what the command line offers. */
import type { Command } from '../command.ts'

export const branchCommands: readonly Command[] = [
  {
    name: 'branch',
    args: ['[adopt]', '[TOKEN]'],
    summary: 'Show whether a server may change backends and backups, or allow it.',
    details: `After a store was restored, copied or moved, its server works on that store alone: it writes to no
backend, and makes and deletes no backups. Adopt it only when no other server of the store runs:
that one could no longer write there.

\`sotto branch\` shows the state, and what adopting takes over. \`sotto branch adopt\` shows the same
and prints a token: run it again with the token at its end, within a minute. Do so also if a backend
did not answer.`,
    flags: { yes: { short: 'y', help: 'Adopt without a token; for scripts.' } },
    load: async () => (await import('../handlers/branch.ts')).branch,
  },
]
