/** The commands of the audit log. */
import type { Command } from '../command.ts'

const pathDetails = `PATH is the folder audit in the state directory, or one of the segments in it. It is read from its
files, also beside a running server. With -o json each record is printed as it stands on the log.`

const askDetails = `Without PATH the server is asked, which needs the action audit and is on its audit log too: a record
for every page of up to 1000 records.`

export const auditCommands: readonly Command[] = [
  {
    name: 'audit verify',
    args: ['PATH'],
    summary: 'Check that an audit log is whole, from its first record to its last.',
    details: `${pathDetails}

The exit code is 1 when the log does not verify. That its end was cut off, or all of it written
anew, shows only against a record that is known from before: keep what is printed as Last, and
give it as --head the next time.`,
    flags: {
      head: { value: 'ID:HASH', help: 'A record that is known to have been on the log.' },
      after: {
        value: 'ID:HASH',
        help: 'The record that the log begins behind, where an older part was moved away.',
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

Damage among the last records is passed over; audit verify tells it. --follow ends at damage.`,
    flags: {
      follow: { short: 'f', help: 'Go on with what is added; needs PATH.' },
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
      secret: { value: 'GLOB', help: 'The name of the secret; * stands for anything.' },
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
      lenient: { help: 'Pass over damage; print every record that can be read.' },
    },
    load: async () => (await import('../handlers/audit.ts')).auditQuery,
  },
]
