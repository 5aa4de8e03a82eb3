/** Mirrors: what the command line offers. */
import type { Command } from '../command.ts'

export const mirrorCommands: readonly Command[] = [
  {
    name: 'mirror status',
    args: ['[BACKEND]'],
    summary: 'Show the state of mirrors, and what others changed there.',
    load: async () => (await import('../handlers/mirrors.ts')).mirrorStatus,
  },
  {
    name: 'mirror sync',
    args: ['[BACKEND]'],
    summary: 'Compare mirrors with their backends and write what differs.',
    details: `What others changed there is reported and left as it is, unless the settings of the mirror or
--on-drift say otherwise: overwrite writes the secret again, and adopt also takes over one that
others made under the same name.`,
    flags: {
      'dry-run': { help: 'Show what would be done; needs BACKEND.' },
      secret: { value: 'NAME', help: 'Only this secret; needs BACKEND.' },
      'on-drift': { value: 'overwrite|adopt', help: 'What to do about changes by others.' },
      'accept-mount': {
        help: 'Accept that the mount was recreated; needs BACKEND.',
      },
    },
    load: async () => (await import('../handlers/mirrors.ts')).mirrorSync,
  },
]
