/** The table of commands. */
import type { Flags } from './arguments.ts'
import type { CommandTable } from './command.ts'
import { complete, programCommands } from './commands/program.ts'
import { secretCommands } from './commands/secrets.ts'
import { serverCommands } from './commands/server.ts'

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
    help: 'Call from this address; a development tailnet identifies callers by it.',
  },
  help: { short: 'h', help: 'Show help.' },
}

/** The table. Commands of operators are loaded when one of them is asked for. */
export const commandTable: CommandTable = {
  raw: serverCommands,
  globalFlags,
  async all() {
    const { operatorCommands } = await import('./commands/operators.ts')
    return [...secretCommands, ...operatorCommands, ...programCommands]
  },
  async named(name) {
    const named = (each: { name: string }): boolean => each.name === name
    return (
      [...secretCommands, ...programCommands, ...serverCommands, complete].find(named) ??
      (await this.all()).find(named)
    )
  },
  async names() {
    return [...serverCommands, ...(await this.all())].map(({ name }) => name)
  },
}
