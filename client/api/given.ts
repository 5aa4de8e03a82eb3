/** Values that are given by flags and variables. Empty is neither absent nor a place: often a variable is not set. */
import { SottoError } from './errors.ts'

/** The environment, as Node gives it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A variable that is set. */
export interface Variable {
  readonly name: string
  readonly value: string
}

/** What help shows for the value of a flag that is a path. */
const paths = /^(?:DIR|FILE|LOG)\b/

/**
 * The value of `what`, a flag or a variable, as it is; `shape` is what help shows for it. Throws `usage` where it is
 * empty, ends in a line break, or is what only a shell makes a path of: a folder of that name would be made, or read.
 */
export function given(what: string, value: string, shape = ''): string {
  if (/[\r\n]$/.test(value)) {
    throw new SottoError('usage', `The value of ${what} ends in a line break`, {
      hint: 'It may come from a file with the line ends of Windows: save that with those of Unix.',
    })
  }
  if (value.trim() === '') {
    throw new SottoError('usage', `The value of ${what} is empty`, {
      hint: 'Leave it out, or give it a value; a variable that it is made of may not be set.',
    })
  }
  const isPath = paths.test(shape)
  if ((isPath || what.startsWith('$')) && /^(["'])[^]*\1$/.test(value)) {
    throw new SottoError('usage', `The value of ${what} is in quotes`, {
      hint: 'A shell takes them away, and other readers of variables do not: leave them out.',
    })
  }
  if (isPath && /^[~$]|^file:/i.test(value)) {
    throw new SottoError('usage', `The value of ${what} is not a path`, {
      hint: 'Write the whole path: ~ and variables are replaced by a shell alone, and file:// by nobody.',
    })
  }
  return value
}

/**
 * The first of the variables `names` that is set in `env`. Those of other programs count as not set where they are
 * empty, as for those programs. Throws `usage` where one of ours is empty, and as `given` does.
 */
export function variableIn(
  env: Environment,
  names: readonly string[],
  shape?: string,
): Variable | undefined {
  for (const name of names) {
    const value = env[name]
    if (value === undefined || (value === '' && !name.startsWith('SOTTO_'))) continue
    return { name, value: given(`$${name}`, value, shape) }
  }
  return undefined
}
