/** Audit: what the command line offers. */
import type { Command } from '../command.ts'
import type { Flag } from '../arguments.ts'
import { keyFlags } from './store-flags.ts'

const pathDetails = `PATH is the folder audit in the state directory, or one segment in it. A server may be running.`

const askDetails = `Without PATH it asks the server. You need the action audit, and each page of up to 1,000 records that
you read is recorded, too. With -o json a record is printed as it is in the log, with its outcome.`

/** Of what prints records. */
const wide: Flag = { help: 'On a terminal, print one line per record, with whole times and names.' }

export const auditCommands: readonly Command[] = [
  {
    name: 'audit verify',
    args: ['PATH'],
    summary: 'Check an audit log from its first record to its last.',
    details: `${pathDetails}

The exit code is 1 when the log does not verify. A log that lost its end, or was rewritten as a
whole, still verifies: keep what is printed as Last, and give it as --head the next time.

With --state-dir and a key of the store the MACs are checked, too. Without them, records that
somebody else added at the end are not noticed.`,
    flags: {
      ...keyFlags,
      head: { value: 'ID:HASH', help: 'A record that must be in the log.' },
      after: {
        value: 'ID:HASH',
        help: 'The record before the first, if older files were moved away.',
      },
    },
    load: async () => (await import('../handlers/audit.ts')).auditVerify,
  },
  {
    name: 'audit tail',
    args: ['[PATH]'],
    summary: 'Print the last records of the audit log.',
    details: `${pathDetails}

${askDetails}

Damaged records are skipped: audit verify finds them. --follow stops at damage.`,
    flags: {
      follow: { short: 'f', help: 'Wait for new records and print them; needs PATH.' },
      lines: { short: 'n', value: 'N', help: 'How many records. Default: 10.' },
      wide,
    },
    load: async () => (await import('../handlers/audit.ts')).auditTail,
  },
  {
    name: 'audit query',
    args: ['[PATH]'],
    summary: 'Print the records of the audit log that match all flags.',
    details: `${pathDetails}

${askDetails}`,
    flags: {
      secret: { value: 'GLOB', help: 'The name of the secret; * matches anything.' },
      principal: {
        value: 'P',
        help: 'A login name, tag, node name, address or operator.',
      },
      action: {
        value: 'A',
        help: 'What was done, as in the column WHAT, or the action of a rule.',
        choices: async () => (await import('../../audit/vocabulary.ts')).auditWords,
      },
      result: {
        value: 'R',
        help: 'ok, denied, not-found, unchanged, refused, failed or abandoned.',
        choices: async () => (await import('../../client/api/types.ts')).outcomes,
      },
      since: {
        value: 'T',
        help: 'From this moment on: a date, a date and time, or an age such as 24h.',
      },
      until: { value: 'T', help: 'Before this moment.' },
      limit: { value: 'N', help: 'At most the newest N records.' },
      lenient: { help: 'Skip damage, and print every record that can be read.' },
      wide,
    },
    load: async () => (await import('../handlers/audit.ts')).auditQuery,
  },
]
