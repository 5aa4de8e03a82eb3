/** The commands about the program itself. They load nothing else. */
import type { Command, RawCommand } from '../command.ts'

export const programCommands: readonly Command[] = [
  {
    name: 'version',
    args: [],
    summary: 'Show the release of this program.',
    load: async () => (await import('../handlers/version.ts')).showVersion,
  },
  {
    name: 'help',
    args: ['[COMMAND]', '[COMMAND]'],
    summary: 'Show how a command is used.',
    load: async () => (await import('../help.ts')).help,
  },
  {
    name: 'completion',
    args: ['bash|zsh|fish'],
    summary: 'Print a script that completes commands, flags and names in your shell.',
    details: `Names come from the server that -s, SOTTO_SERVER or SETEC_SERVER names, within two seconds; each
request is recorded in its audit log as a list.

  bash: source <(sotto completion bash)
  zsh:  source <(sotto completion zsh)
  fish: sotto completion fish | source`,
    load: async () => (await import('../completion.ts')).completion,
  },
]

/** What the scripts of `sotto completion` call; help does not show it. */
export const complete: RawCommand = {
  name: 'complete',
  summary: 'Print what may stand in the place of the last word.',
  load: async () => (await import('../complete.ts')).complete,
}
