/** The table of commands. */
import type { Flags } from './arguments.ts'
import type { CommandTable, RawCommand } from './command.ts'
import { programCommands, secretCommands } from './commands/everyday.ts'

const rawCommands: readonly RawCommand[] = [
  {
    name: 'server',
    summary: 'Run the server.',
    load: async () => (await import('./handlers/serve.ts')).serve,
  },
  {
    name: 'init',
    summary: 'Make a new store.',
    load: async () => (await import('./handlers/serve.ts')).init,
  },
  {
    name: 'doctor',
    summary: 'Check what a server on a tailnet needs, and say what to do.',
    load: async () => (await import('./handlers/doctor.ts')).doctor,
  },
]

/** What the scripts of `sotto completion` call; help does not show it. */
const complete: RawCommand = {
  name: 'complete',
  summary: 'Print what may stand in the place of the last word.',
  load: async () => (await import('./complete.ts')).complete,
}

const globalFlags: Flags = {
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

/** The table. Commands of operators are loaded when one of them is asked for. */
export const commandTable: CommandTable = {
  raw: rawCommands,
  globalFlags,
  async all() {
    const { operatorCommands } = await import('./commands/operators.ts')
    return [...secretCommands, ...operatorCommands, ...programCommands]
  },
  async named(name) {
    const named = (each: { name: string }): boolean => each.name === name
    return (
      [...secretCommands, ...programCommands, ...rawCommands, complete].find(named) ??
      (await this.all()).find(named)
    )
  },
  async names() {
    return [...rawCommands, ...(await this.all())].map(({ name }) => name)
  },
}
