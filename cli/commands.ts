/** The table of commands. Parsing, help, shell completion and docs/cli.md are all made from it. */
import type { Flags } from './arguments.ts'
import type { Command, RawCommand } from './command.ts'
import { programCommands, secretCommands } from './commands/everyday.ts'

/** The commands of the server's own machine. */
export const rawCommands: readonly RawCommand[] = [
  {
    name: 'server',
    summary: 'Run the server.',
    load: async () => (await import('./serve.ts')).serve,
  },
  {
    name: 'init',
    summary: 'Make a new store.',
    load: async () => (await import('./serve.ts')).init,
  },
  {
    name: 'doctor',
    summary: 'Check what a server on a tailnet needs, and say what to do.',
    load: async () => (await import('./doctor.ts')).doctor,
  },
]

/** Flags that every command of the table knows. They may also stand before the command. */
export const globalFlags: Flags = {
  server: {
    short: 's',
    value: 'URL',
    help: 'The server. Default: $SOTTO_SERVER, then $SETEC_SERVER.',
  },
  output: {
    short: 'o',
    value: 'text|json',
    help: 'How to print answers and errors. Default: text.',
  },
  timeout: { value: 'SECONDS', help: 'How long to wait for the server. Default: 30.' },
  'local-address': {
    value: 'ADDRESS',
    help: 'Call from this address; a development tailnet tells callers apart by it.',
  },
  help: { short: 'h', help: 'Show help.' },
}

/** Resolves with every command that is read by the table, in the order of help. */
export async function allCommands(): Promise<readonly Command[]> {
  const { operatorCommands } = await import('./commands/operators.ts')
  return [...secretCommands, ...operatorCommands, ...programCommands]
}

/** Resolves with the command of that name, of either kind. Only for an operator's all are loaded. */
export async function commandNamed(name: string): Promise<Command | RawCommand | undefined> {
  const named = (each: { name: string }): boolean => each.name === name
  return (
    [...secretCommands, ...programCommands, ...rawCommands].find(named) ??
    (await allCommands()).find(named)
  )
}

/** Resolves with the names of all commands, in the order of help. */
export async function commandNames(): Promise<string[]> {
  return [...rawCommands, ...(await allCommands())].map(({ name }) => name)
}
