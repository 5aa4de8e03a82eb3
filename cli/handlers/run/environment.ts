/** What of a run is the same each time that the program is started, and the environment that it gets. */
import { SottoError } from '../../../client/api/errors.ts'
import type { Invocation } from '../../invocation.ts'
import type { Inherited } from './launch.ts'
import type { Program } from './program.ts'
import { environmentOf, type Values, type Wanted } from './values.ts'

/** What is run, and how. */
export interface Run {
  readonly invocation: Invocation
  readonly program: Program
  readonly inherited: Inherited
  readonly wanted: Wanted
  readonly say: (line: string) => void
}

/** The environment of the program. Inherited variables that secrets replace are named where `says`. */
export function environmentFor(
  { invocation, say }: Run,
  values: Values,
  says: boolean,
): Record<string, string> {
  const { env, replaced } = environmentOf(invocation.env, values, {
    pristine: invocation.on('pristine'),
    preserve: listed(invocation, 'preserve-env'),
  })
  if (says) {
    for (const each of replaced) {
      say(
        `${each} was set to something else: the program gets the secret (--preserve-env ${each} keeps what was set)`,
      )
    }
  }
  return env
}

/** Linux takes a quarter of the stack, which is 8 MiB, for arguments and variables; a longer list would end this process. */
const MAX_ALL = 2 * 1024 * 1024 - 8192

/** Throws `usage` where the system would not start a program with that much. */
export function refuseTooLong({ argv }: Program, env: Readonly<Record<string, string>>): void {
  const sizes = [...Object.entries(env).map((each) => each.join('=')), ...argv].map(
    (text) => Buffer.byteLength(text) + 9,
  )
  if (sizes.reduce((sum, size) => sum + size, 0) <= MAX_ALL) return
  throw new SottoError(
    'usage',
    'Cannot start the program: its variables have more than 2 MiB together',
    {
      hint: 'Give secrets to it as files: --file PATH=SECRET.',
    },
  )
}

/** The parts of a flag that is a list with commas. */
export function listed(invocation: Invocation, flag: string): string[] {
  return (invocation.text(flag) ?? '').split(',').filter(Boolean)
}
