/** Keeps compiled code from one run to the next, where only its owner can have put it. */
import { lstatSync, mkdirSync } from 'node:fs'
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** By then a server has started. */
const FLUSH_MS = 5000

/**
 * Turns Node's compile cache on in the user's own cache directory; does nothing where there is none
 * or it could be written by others. What is cached runs unchecked, so Node's default, a directory
 * in the temporary directory of all users, is not safe.
 */
export function keepCompiled(env: Readonly<Record<string, string | undefined>>): void {
  try {
    const directory = join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sotto')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { uid, mode } = lstatSync(directory)
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return
    module.enableCompileCache(directory)
    // Node writes it when the process ends by itself; a server may be killed instead.
    setTimeout(() => module.flushCompileCache(), FLUSH_MS).unref()
  } catch {
    // Without a cache the program starts a little later.
  }
}
