#!/usr/bin/env node
/**
 * The entry of the program. An old Node must still understand this file well enough to say that it
 * is too old, so it has no static import and nothing that is newer than ES2020.
 */

if (Number(process.versions.node.split('.')[0]) >= 24) {
  void start()
} else {
  process.stderr.write('sotto needs Node 24 or newer; this is ' + process.version + '\n')
  process.exitCode = 1
}

async function start() {
  // Were the answer never to come, the process would end by itself, and must not pass for a success.
  process.exitCode = 1
  try {
    const { keepCompiled } = await import('./compile-cache.ts')
    keepCompiled(process.env)
    const { processIo } = await import('./terminal/process-io.ts')
    const { run } = await import('./run.ts')
    process.exitCode = await run(process.argv.slice(2), processIo(), process.env)
  } catch (error) {
    // Only what and where: a message could hold what was being worked on.
    const places = (error instanceof Error && String(error.stack).match(/^ +at .*$/gm)) || []
    const kind = error instanceof Error ? error.constructor.name : typeof error
    const code = error instanceof Error && 'code' in error ? ' ' + error.code : ''
    process.stderr.write('sotto: the program failed: ' + kind + code + '\n')
    process.stderr.write(places.join('\n') + '\n')
  }
}
