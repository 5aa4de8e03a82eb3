/** Where people who used setec's command line meet something else. What is not here is a fault; docs/guides/from-setec.md shows it. */

/** One command line. */
export interface Step {
  readonly args: readonly string[]
  readonly input?: string | Uint8Array
  /** The server in place of the one under test; empty for none. */
  readonly server?: string
}

/** What came of one, without what differs from run to run. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One difference. `setec` and `sotto` say what each does, as the page shows it. */
interface Difference {
  readonly what: string
  readonly setec: string
  readonly sotto: string
  /** Whether it explains what is unlike; the outcome of setec is the first. */
  readonly explains: (step: Step, setec: Outcome, sotto: Outcome) => boolean
}

/** The part of an outcome that a difference of the command lines is about. */
type Part = 'code' | 'stdout' | 'stderr'

const verb = ({ args }: Step): string => args[0] ?? ''
const failed = ({ code }: Outcome): boolean => code !== 0

/** setec's command line with its own server, and with Sotto. */
export const serverDifferences: readonly Difference[] = [
  {
    what: '`activate` or `delete-version` of version 0',
    setec: 'internal error',
    sotto: 'the reason',
    explains: ({ args }, setec, sotto) =>
      args[2] === '0' && /status 500/.test(setec.stderr) && /status 400.*> 0/.test(sotto.stderr),
  },
  {
    what: '`delete-version` of the active version',
    setec: 'internal error',
    sotto: 'the reason',
    explains: (step, setec, sotto) =>
      verb(step) === 'delete-version' &&
      /status 500/.test(setec.stderr) &&
      /status 400.*activate another version first/.test(sotto.stderr),
  },
  {
    what: '`put` with an empty name',
    setec: 'internal error',
    sotto: '`invalid secret name`',
    explains: ({ args }, setec, sotto) =>
      args[1] === '' && /status 500/.test(setec.stderr) && isBadName(sotto),
  },
  {
    what: '`delete` with an empty name',
    setec: 'does nothing, exit code 0',
    sotto: '`invalid secret name`',
    explains: (step, setec, sotto) =>
      verb(step) === 'delete' && step.args[1] === '' && !failed(setec) && isBadName(sotto),
  },
  {
    what: '`put` of a name over 512 bytes or with control characters',
    setec: 'saves it',
    sotto: '`invalid secret name`',
    explains: ({ args: [, name = ''] }, setec, sotto) =>
      (Buffer.byteLength(name) > 512 || /\p{Control}/u.test(name)) &&
      !failed(setec) &&
      isBadName(sotto),
  },
  {
    what: '`put` of a value over 1.5 MiB',
    setec: 'saves it',
    sotto: '`request body too large`',
    explains: ({ input = '' }, setec, sotto) =>
      input.length > 1.5 * 1024 * 1024 && !failed(setec) && /status 413/.test(sotto.stderr),
  },
  {
    what: '`put` after `delete`',
    setec: 'version 1 again',
    sotto: 'the next number, active at once',
    explains: (step, setec, sotto) =>
      verb(step) === 'put' &&
      setec.stdout.endsWith(', version 1\n') &&
      /, version 3\n {2}To activate/.test(sotto.stdout),
  },
]

function isBadName({ stderr }: Outcome): boolean {
  return /status 400: "invalid secret name"/.test(stderr)
}

/** What a failure ends with; the page has them in one row. */
const exitCodes = [
  exit('wrong command line', [1, 2], 1, /usage|arguments?|flag|command|version/i),
  exit('refused or failed', [1], 2, /version|name|too large/i),
  exit('no such secret or version', [1], 3, /not found|There is no/),
  exit('not allowed', [1], 4, /access denied|not allow/),
  exit('no change', [1], 5, /is still the active one/),
  exit('server not reached', [1], 6, /refuses connections/),
]

/** setec's command line and Sotto's, both with Sotto. */
export const commandDifferences: readonly (Difference & { readonly part: Part })[] = [
  ...exitCodes,
  {
    what: '`list` of nothing',
    setec: 'the heading alone',
    sotto: 'says so, too',
    part: 'stderr',
    explains: (step, setec, sotto) =>
      verb(step) === 'list' && setec.stderr === '' && sotto.stderr.startsWith('There is no secret'),
  },
  ...(['code', 'stdout', 'stderr'] as const).map((part) => ({
    what: '`list` with arguments',
    setec: 'an error',
    sotto: 'the names that begin with one of them',
    part,
    explains: (step: Step, setec: Outcome, sotto: Outcome) =>
      verb(step) === 'list' && step.args.length > 1 && failed(setec) && !failed(sotto),
  })),
  {
    what: 'exit code of `help` and `version`',
    setec: '2',
    sotto: '0',
    part: 'code',
    explains: (step, setec, sotto) => isHelp(step) && setec.code === 2 && sotto.code === 0,
  },
  {
    what: 'output of `help` and `version`',
    setec: 'its own',
    sotto: 'its own',
    part: 'stdout',
    explains: (step, setec, sotto) => isHelp(step) && setec.stdout !== '' && sotto.stdout !== '',
  },
  {
    what: '`put` after `delete` says how to activate',
    setec: 'yes',
    sotto: 'no',
    part: 'stdout',
    explains: (step, setec, sotto) =>
      verb(step) === 'put' && setec.stdout.replace(/^ {2}To activate.*\n/m, '') === sotto.stdout,
  },
  {
    what: '`put` of a value in UTF-16, or with invisible characters at an end',
    setec: 'saves it',
    sotto: 'saves it with a note',
    part: 'stderr',
    explains: (step, setec, sotto) =>
      verb(step) === 'put' &&
      sotto.stderr.replace(/^Note: the value .*; it is saved as it is\n/m, '') === setec.stderr,
  },
  {
    what: 'what a failure prints',
    setec: 'time, `Error:`, status and text',
    sotto: '`sotto:` and the reason, `hint:`',
    part: 'stderr',
    explains: (_, setec, sotto) =>
      failed(setec) && failed(sotto) && reason(setec) !== '' && reason(sotto).startsWith('sotto: '),
  },
]

/** What it says of a failure, after how much it read. */
function reason({ stderr }: Outcome): string {
  return stderr.replace(/^Read \d+ bytes from stdin\n/, '')
}

function isHelp({ args }: Step): boolean {
  return ['help', 'version'].includes(args[0] ?? '')
}

function exit(
  what: string,
  setec: readonly number[],
  sotto: number,
  says: RegExp,
): Difference & { readonly part: Part } {
  return {
    what,
    setec: setec.join(' or '),
    sotto: String(sotto),
    part: 'code',
    explains: (_, one, other) =>
      setec.includes(one.code ?? -1) && other.code === sotto && says.test(other.stderr),
  }
}

/** What is typed at the prompt of `put`, which needs a terminal. */
const promptDifference = {
  what: 'a value typed at the prompt with space around it',
  setec: 'saves it',
  sotto: 'refused, as from a pipe',
} as const

/** The table of docs/guides/from-setec.md. */
export function asMarkdown(): string {
  const exits = {
    what: 'exit code of a failure',
    setec: [...new Set(exitCodes.flatMap(({ setec }) => setec.split(' or ')))].join(' or '),
    sotto: '1 to 6: [why](../reference/cli.md#exit-codes)',
  }
  const others = commandDifferences.filter((each) => !exitCodes.includes(each))
  const all = [...serverDifferences, exits, ...others, promptDifference]
  // One that shows in several parts of an outcome is one row.
  const rows = [...new Map(all.map((each) => [each.what, each])).values()].map(
    ({ what, setec, sotto }) => `| ${what} | ${setec} | ${sotto} |\n`,
  )
  return `| What | setec | Sotto |\n| --- | --- | --- |\n${rows.join('')}`
}
