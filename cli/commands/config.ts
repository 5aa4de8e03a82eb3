/** The configuration file: what the command line offers. */
import type { Command, RawCommand } from '../command.ts'
import type { Flags } from '../arguments.ts'

/** What has settings for this command, too. */
export const configFlag: Flags = {
  config: {
    value: 'FILE',
    help: 'The configuration file. Default: $SOTTO_CONFIG, then /etc/sotto/config.yaml, if it is there.',
  },
}

/** Reads its arguments as the commands of the server's own machine do. */
export const configShow: RawCommand = {
  name: 'config show',
  summary: 'Print each setting that is in effect, and where it was given.',
  like: 'doctor',
  load: async () => (await import('../handlers/config.ts')).configShow,
}

export const configCommands: readonly Command[] = [
  {
    name: 'config check',
    args: [],
    summary: 'Check a configuration file, as the server reads it.',
    details: `Variables in the environment replace settings of the file, as for the server. Files that are named in
it are not opened: sotto doctor does that.`,
    flags: configFlag,
    load: async () => (await import('../handlers/config.ts')).configCheck,
  },
  {
    name: 'config example',
    args: [],
    summary: 'Print a configuration file with every setting, commented out.',
    load: async () => (await import('../handlers/config.ts')).configExample,
  },
]
