/** Who holds which version of a secret. */
import type { Command } from '../command.ts'

export const rolloutCommands: readonly Command[] = [
  {
    name: 'rollout',
    args: ['NAME'],
    summary: 'Show who still holds another version than the active one.',
    details: `It counts nodes, and programs that say which one they are. The exit code is 0 when all of them are current, and
8 when they are not yet. Who they are is shown with the action audit.

current: it holds the active version. behind: it holds another one. unknown: it was not heard for long or since the
server started, or a program without a label on its node may still hold another version. left: it
ended.

With --wait it asks until all are current, for 10 minutes or as long as --timeout says:

sotto activate prod/web/key 2 && sotto rollout prod/web/key --wait --timeout 1h`,
    flags: {
      wait: { help: 'Wait until all are current.' },
      except: {
        value: 'NODES',
        help: 'Leave out what is unknown on these nodes, separated by commas: you know that nothing there holds another version. Needs audit.',
      },
    },
    load: async () => (await import('../handlers/rollout.ts')).rollout,
  },
]
