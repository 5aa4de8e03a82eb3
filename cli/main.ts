#!/usr/bin/env node
/**
 * The entry of the program. An old Node must still understand this file well enough to say that it
 * is too old, so it has no static import and nothing that is newer than ES2020.
 */

const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)
// The first releases with the security fixes of October 2026, as `engines` in package.json has them.
const isFixed =
  major > 26 ||
  (major === 26 && (minor > 12 || (minor === 12 && patch >= 1))) ||
  (major === 24 && (minor > 22 || (minor === 22 && patch >= 1)))

if (isFixed) {
  void start()
} else {
  process.stderr.write(
    'sotto needs Node 24.22.1 or later of 24, or 26.12.1 or later, which have known weaknesses of Node fixed; this is ' +
      process.version +
      '\n',
  )
  process.exitCode = 1
}

async function start() {
  // Were the answer never to come, the process would end by itself, and must not pass for a success.
  process.exitCode = 1
  try {
    await keepCompiled()
    const { processIo } = await import('./terminal/process-io.ts')
    const { run } = await import('./run.ts')
    process.exitCode = await run(process.argv.slice(2), processIo(), process.env)
    // A command that was asked to stop has put all in order; what it may still wait for is of no use.
    if (process.exitCode > 128) process.exit()
  } catch (error) {
    // Only what and where: a message could hold what was being worked on.
    const places = (error instanceof Error && String(error.stack).match(/^ +at .*$/gm)) || []
    if (error instanceof Error && 'exit' in error) process.exitCode = Number(error.exit)
    const kind = error instanceof Error ? error.constructor.name : typeof error
    const code = error instanceof Error && 'code' in error ? ' ' + error.code : ''
    const lines = ['sotto: the program failed: ' + kind + code, ...places]
    for (const line of lines) process.stderr.write(line.replace(/\p{Control}/gu, '?') + '\n')
  }
}

/**
 * Turns Node's compile cache on in the user's own cache directory; does nothing where there is none
 * or it could be written by others. What is cached runs unchecked, so Node's default, a directory
 * in the temporary directory of all users, is not safe.
 */
async function keepCompiled() {
  try {
    const { lstatSync, mkdirSync } = process.getBuiltinModule('node:fs')
    const { join } = process.getBuiltinModule('node:path')
    const { homedir } = process.getBuiltinModule('node:os')
    const module = process.getBuiltinModule('node:module')
    const directory = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sotto')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { uid, mode } = lstatSync(directory)
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return
    const { foreignAt } = await import('../client/platform/owned.ts')
    if (foreignAt(directory) !== undefined) return
    module.enableCompileCache(directory)
    // Node writes it when the process ends by itself; a server may be killed instead, after it has started.
    setTimeout(() => module.flushCompileCache(), 5000).unref()
  } catch {
    // Without a cache the program starts a little later.
  }
}
