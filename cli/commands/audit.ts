/** Audit: what the command line offers. */
import type { Command } from '../command.ts'

const pathDetails = `PATH is the folder audit in the state directory, or one of the segments in it. Its files can also be
read while a server runs. With -o json each record is printed exactly as it is in the log.`

const askDetails = `Without PATH the server is asked. That needs the action audit and is recorded too: one record for
every page of up to 1000 records.`

export const auditCommands: readonly Command[] = [
  {
    name: 'audit verify',
    args: ['PATH'],
    summary: 'Check that an audit log is whole, from its first record to its last.',
    details: `${pathDetails}

The exit code is 1 when the log does not verify. A log whose end was cut off, or that was rewritten
as a whole, can only be recognised by a record that you know: keep what is printed as Last, and give
it as --head the next time.`,
    flags: {
      head: { value: 'ID:HASH', help: 'A record that is known to have been in the log.' },
      after: {
        value: 'ID:HASH',
        help: 'The record before the first one, where an older part was moved away.',
      },
    },
    load: async () => (await import('../handlers/audit.ts')).auditVerify,
  },
  {
    name: 'audit tail',
    args: ['[PATH]'],
    summary: 'Print the last records of an audit log.',
    details: `${pathDetails}

${askDetails}

Damage among the last records is skipped; audit verify reports it. --follow ends at damage.`,
    flags: {
      follow: { short: 'f', help: 'Continue with what is added; needs PATH.' },
      lines: { short: 'n', value: 'N', help: 'How many records. Default: 10.' },
    },
    load: async () => (await import('../handlers/audit.ts')).auditTail,
  },
  {
    name: 'audit query',
    args: ['[PATH]'],
    summary: 'Print the records of an audit log that match all of the flags.',
    details: `${pathDetails}

${askDetails}`,
    flags: {
      secret: { value: 'GLOB', help: 'The name of the secret; * matches anything.' },
      principal: {
        value: 'P',
        help: 'A login name, a tag, the name of a node, an address, or an operator.',
      },
      action: { value: 'A', help: 'An action of the rules, such as get.' },
      result: {
        value: 'R',
        help: 'How a call ended: ok, denied, not-found, unchanged, refused or failed.',
      },
      since: { value: 'T', help: 'From this moment on: a date, a date and time, or 30m, 24h, 7d.' },
      until: { value: 'T', help: 'Before this moment.' },
      limit: { value: 'N', help: 'At most the newest N.' },
      lenient: { help: 'Skip damage; print every record that can be read.' },
    },
    load: async () => (await import('../handlers/audit.ts')).auditQuery,
  },
]
