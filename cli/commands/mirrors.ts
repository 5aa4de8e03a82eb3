/** Mirrors: what the command line offers. */
import type { Command } from '../command.ts'

export const mirrorCommands: readonly Command[] = [
  {
    name: 'mirror status',
    args: ['[BACKEND]'],
    summary: 'Show how mirrors are doing, and what someone else changed there.',
    load: async () => (await import('../handlers/mirrors.ts')).mirrorStatus,
  },
  {
    name: 'mirror sync',
    args: ['[BACKEND]'],
    summary: 'Compare mirrors with their backends and write what differs.',
    details: `What someone else changed there is reported and left as it is, unless the mirror is set up
otherwise or --on-drift says so for this time: overwrite writes it again, and adopt also takes over
what someone else made under the same name.`,
    flags: {
      'dry-run': { help: 'Only show what would be done; needs BACKEND.' },
      secret: { value: 'NAME', help: 'Only this secret; needs BACKEND.' },
      'on-drift': { value: 'overwrite|adopt', help: 'What to do about what someone else changed.' },
      'accept-mount': {
        help: 'Accept that the mount was recreated; needs BACKEND.',
      },
    },
    load: async () => (await import('../handlers/mirrors.ts')).mirrorSync,
  },
]
