/** The table of commands. */
import type { Flags } from './arguments.ts'
import type { CommandGroup, CommandTable } from './command.ts'
import { complete, programCommands } from './commands/program.ts'
import { runCommand } from './commands/run.ts'
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
    help: 'The form of answers and errors. Default: text.',
  },
  timeout: {
    value: 'TIME',
    help: 'How long to wait for the server: 2m, or seconds. Default: 30s.',
  },
  'local-address': {
    value: 'ADDRESS',
    help: 'Call from this address. A development tailnet knows callers by it.',
  },
  help: { short: 'h', help: 'Show help.' },
}

const groups: readonly CommandGroup[] = [
  {
    title: 'Secrets',
    commands: [
      'list',
      'info',
      'get',
      'put',
      'edit',
      'create-version',
      'activate',
      'rollback',
      'history',
      'diff',
      'delete-version',
      'delete',
      'whoami',
      'rollout',
      'run',
      'export',
      [
        'import',
        'Copy secrets from a file or another server: dotenv, json, k8s, setec and others.',
      ],
      'lint',
    ],
  },
  {
    title: 'The server, on its own machine',
    commands: [
      'server',
      'init',
      'doctor',
      'restore',
      ['config', 'The configuration file: check, show, example.'],
    ],
  },
  {
    title: 'Operation',
    commands: [
      ['audit', 'Read and check the audit log: verify, tail, query.'],
      ['key', 'Keys of a store: status, rotate, rewrap, check, add, remove.'],
      ['backup', 'Backups: create, status, adopt, list, verify.'],
      ['job', 'Jobs of the server: status, run.'],
      'branch',
      ['rotation', 'New versions by a schedule: list, status, apply, run, done, abort and others.'],
    ],
  },
  {
    title: 'Values in OpenBao and Kubernetes',
    commands: [
      ['backend', 'Where secrets are kept: list, describe, create, apply, delete, test.'],
      ['migrate', 'Move secrets from one backend to another: secrets.'],
      ['mirror', 'Copies for clients of OpenBao: status, sync.'],
      'kubernetes',
    ],
  },
  { title: 'This program', commands: ['version', 'help', 'completion'] },
]

/** The table. Commands of operators are loaded when one of them is asked for. */
export const commandTable: CommandTable = {
  raw: serverCommands,
  globalFlags,
  groups,
  async shared() {
    const { sharedFlags } = await import('./commands/store-flags.ts')
    return sharedFlags
  },
  async all() {
    const { operatorCommands } = await import('./commands/operators.ts')
    return [...secretCommands, runCommand, ...operatorCommands, ...programCommands]
  },
  async named(name) {
    const named = (each: { name: string }): boolean => each.name === name
    return (
      [...secretCommands, runCommand, ...programCommands, ...serverCommands, complete].find(
        named,
      ) ?? (await this.all()).find(named)
    )
  },
  async names() {
    return [...serverCommands, ...(await this.all())].map(({ name }) => name)
  },
}
