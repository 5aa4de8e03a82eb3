/** The commands about the program itself. They load nothing else. */
import type { Command, RawCommand } from '../command.ts'

export const programCommands: readonly Command[] = [
  {
    name: 'version',
    args: [],
    summary: 'Print the release of this program.',
    load: async () => (await import('../handlers/version.ts')).showVersion,
  },
  {
    name: 'help',
    args: ['[COMMAND]', '[COMMAND]'],
    summary: 'Show how a command is used, or what an error means: help error CODE.',
    load: async () => (await import('../help.ts')).help,
  },
  {
    name: 'completion',
    args: ['bash|zsh|fish'],
    summary: 'Print a script for completion in your shell.',
    details: `It completes commands, flags and names. Names come from the server of -s, SOTTO_SERVER or
SETEC_SERVER, which records each request in its audit log as a list.

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
