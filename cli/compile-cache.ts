/** Keeps compiled code from one run to the next, where only its owner can have put it. */
import { lstatSync, mkdirSync } from 'node:fs'
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Turns Node's compile cache on in the user's own cache directory; does nothing where there is none
 * or it could be written by others. What is cached runs unchecked, so Node's default, a directory of
 * that name in the temporary directory of all users, is no place for it.
 */
export function keepCompiled(env: Readonly<Record<string, string | undefined>>): void {
  try {
    const directory = join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sotto')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { uid, mode } = lstatSync(directory)
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return
    module.enableCompileCache(directory)
  } catch {
    // Without a cache the program starts a little later.
  }
}
