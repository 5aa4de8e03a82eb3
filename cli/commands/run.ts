/** Run a program with secrets: what the command line offers. */
import type { Command } from '../command.ts'
import { mappingDetails, mappingFlags } from '../mapping/flags.ts'

const signals = ['HUP', 'INT', 'QUIT', 'TERM', 'USR1', 'USR2']

export const runCommand: Command = {
  name: 'run',
  args: ['PROGRAM', '[ARGUMENT …]'],
  summary: 'Run a program with secrets as its variables or files.',
  details: `For example: sotto run -e DB_URL=prod/app/db-url -- ./app --port 80

The program takes the place of sotto, where --watch, --file and --restart are not given: no other process is
left. Else sotto stays, passes signals to it, and ends as it ends. Values are never arguments.

${mappingDetails}

With --file, the file is $SOTTO_SECRETS_DIR/PATH: in memory, for this user alone, and gone at the end. With
--watch, the program is restarted, or sent a signal, when what it has of the secrets changes.

A failure before the program runs has exit code 125; a program that is not there 127, one that cannot be run
126, and one that died of its new values and then of those before 124.`,
  flags: {
    ...mappingFlags,
    map: {
      value: 'FILE',
      help: 'Set the variables and files of this file: variables: {NAME: SECRET}, files: {PATH: SECRET}.',
    },
    file: {
      value: 'PATH=SECRET[#FIELD][@VERSION]',
      many: true,
      help: 'Write a secret to this path in $SOTTO_SECRETS_DIR.',
    },
    optional: {
      value: 'NAME',
      many: true,
      help: 'Leave this variable or file out where its secret does not exist.',
    },
    only: { value: 'A,B', help: 'Set these variables alone.' },
    'preserve-env': { value: 'A,B', help: 'Keep these variables as they are set already.' },
    pristine: { help: 'Give the program no variable but those of --preserve-env and of secrets.' },
    'on-disk': { help: 'Allow files on a disk where there is no tmpfs.' },
    watch: { help: 'Follow changes of the secrets while the program runs.' },
    'on-change': {
      value: 'restart|none|signal:NAME',
      choices: async () => ['restart', 'none', ...signals.map((each) => `signal:${each}`)],
      help: 'What to do when they change. Files are replaced before. Default: restart.',
    },
    poll: {
      value: 'TIME',
      help: 'How often the server is asked for changes, besides what it tells. Default: 30s.',
    },
    splay: {
      value: 'TIME',
      help: 'Wait up to so long before, by chance, so that not all programs restart at once.',
    },
    'stop-timeout': {
      value: 'TIME',
      help: 'For a restart: from SIGTERM to SIGKILL. Default: 10s.',
    },
    'keep-good': {
      help: 'Start a program that dies within 10 s of new values once more, with those before.',
    },
    restart: {
      value: 'no|on-failure|always',
      help: 'Whether to start a program again that ended. Default: no.',
    },
    cache: {
      value: 'FILE',
      help: 'Keep the values here, for when the server does not answer.',
    },
    'cache-key': { value: 'FILE', help: 'Seal the cache with this key: 32 random bytes or more.' },
    'max-age': {
      value: 'TIME',
      help: 'How old the word of the server on a cached value may be. Default: 24h.',
    },
    offline: { help: 'Use the cache, and do not ask the server.' },
  },
  failureExit: 125,
  load: async () => (await import('../handlers/run/run.ts')).run,
}
