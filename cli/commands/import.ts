/** Import from another kind of server: what the command line offers. */
import type { Command } from '../command.ts'

export const importCommands: readonly Command[] = [
  {
    name: 'import setec',
    args: [],
    summary: 'Copy the secrets of a setec server to a Sotto server, both running.',
    details: `Every secret that the source lists is copied with its versions, their numbers and the active one.
What the destination has already is not written again, so after an interruption, or when the source
has changed, run the same command again. A version that has another value at the destination, and
what only the destination has, is reported and left as it is. At the end all values are compared.

The source must allow info and get, the destination info, get, create-version and activate. Each
read of a value is recorded in the audit log of the source. Exit code 0 means that everything that
was listed is at the destination and was found equal.`,
    flags: {
      from: { value: 'URL', help: 'The setec server. Default: $SETEC_SERVER.' },
      'from-local-address': {
        value: 'ADDRESS',
        help: 'Call the setec server from this address.',
      },
      only: { value: 'GLOB', help: 'Names to copy; * matches anything. Default: all.' },
      'dry-run': { help: 'Show what would be written. No value is read, so none is compared.' },
    },
    load: async () => (await import('../handlers/import/command.ts')).importSetec,
  },
]
