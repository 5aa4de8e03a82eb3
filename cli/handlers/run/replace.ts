/** Replaces this process by the program: nothing of us is left. */
import { flushCompileCache } from 'node:module'
import type { Environment } from '../../../client/api/given.ts'
import { reasonOf } from '../../../client/platform/system-error.ts'
import type { Launch } from './launch.ts'
import { NotStarted } from './program.ts'

/** Whether this Node can. */
export function canReplace(): boolean {
  return typeof process.execve === 'function'
}

/** Never returns. Throws NotStarted where the system refuses the program `name`. */
export function replace({ file, argv }: Launch, env: Environment, name: string): never {
  // Node ignores these, and what is ignored stays so in the program: `yes | head -1` would complain.
  for (const signal of ['SIGPIPE', 'SIGXFSZ'] as const) process.on(signal, () => {})
  // At its end Node would do this.
  flushCompileCache()
  // It says that the call is experimental.
  process.emitWarning = () => {}
  try {
    return process.execve?.(file, argv, { ...env }) as never
  } catch (error) {
    throw new NotStarted(126, name, reasonOf(error))
  }
}
