/**
 * The entry of the one-file program. The modules of Sotto are in the executable; this gives them to Node's loader, in
 * the main thread and in each thread that the program starts. No module is read from a disk.
 */
'use strict'
const {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} = require('node:fs')
const { createRequire } = require('node:module')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { getRawAsset } = require('node:sea')

/** Where the modules seem to be. Nothing is ever read there. */
const top = 'file:///sotto/'

/** The open file of SQLite's addon. All threads load that one: two copies would undo each other's file locks. */
let addon

/**
 * Writes the addon to a file that only this user can reach, opens it, and removes it: the system loads libraries from
 * files alone. What is loaded is the very file that was made here, by its descriptor: whose folder TMPDIR names could
 * put another in its place.
 */
function openAddon() {
  if (addon !== undefined) return addon
  const folder = tmpdir()
  try {
    const directory = mkdtempSync(join(folder, 'sotto-sqlite-'))
    // By the descriptor: another folder, or a link to one, could come to have its name.
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
    const own = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    const file = `/proc/self/fd/${own}/sqlite.node`
    try {
      // Fails where something is there.
      const made = openSync(file, 'wx+', 0o600)
      try {
        writeFileSync(made, new Uint8Array(getRawAsset('sqlite.node')))
        addon = openSync(`/proc/self/fd/${made}`, 'r')
      } finally {
        closeSync(made)
        unlinkSync(file)
      }
    } finally {
      closeSync(own)
      remove(directory)
    }
    // Loaded once here, so that a folder that may hold no programs is named.
    process.dlopen({ exports: {} }, `/proc/self/fd/${addon}`)
  } catch (error) {
    process.stderr.write(
      `sotto: Cannot load SQLite from the temporary folder ${folder}: ${error.message}\n` +
        'Set TMPDIR to a folder that may hold programs (one that is not mounted with noexec).\n',
    )
    process.exit(1)
  }
  return addon
}

/** Removes an empty folder. What took its place is not ours. */
function remove(directory) {
  try {
    rmdirSync(directory)
  } catch {
    // The temporary folder is another user's, who moved it.
  }
}

/** Answers Node's loader from the executable. Its text is also the start of each thread. */
function install(home, sqliteFile) {
  const { registerHooks, syncBuiltinESMExports } = require('node:module')
  const { getAsset } = require('node:sea')
  const threads = require('node:worker_threads')
  const sqlite = 'node_modules/better-sqlite3/lib/'
  const has = (path) => {
    try {
      getAsset(path)
      return true
    } catch {
      return false
    }
  }
  globalThis[Symbol.for('sotto.sqlite')] = () => {
    const module = { exports: {} }
    process.dlopen(module, `/proc/self/fd/${sqliteFile()}`)
    return module.exports
  }
  const loadAddon = "() => globalThis[Symbol.for('sotto.sqlite')]()"
  const entry = `module.exports = require('./database.js')(${loadAddon}, false)
module.exports.SqliteError = require('./sqlite-error.js')`
  const { Worker } = threads
  // Threads start others, and what is installed in one is not in those.
  threads.Worker = class extends Worker {
    constructor(script, options) {
      const href = String(script)
      if (!href.startsWith(home)) {
        super(script, options)
        return
      }
      const given = `${JSON.stringify(home)}, () => ${sqliteFile()}`
      const start = `(${install.toString()})(${given}); import(${JSON.stringify(href)})`
      super(start, { ...options, eval: true })
    }
  }
  syncBuiltinESMExports()
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'sotto:start') return { url: `${home}start.cjs`, shortCircuit: true }
      if (specifier === 'better-sqlite3')
        return { url: `${home}${sqlite}entry.js`, shortCircuit: true }
      const from = context.parentURL?.startsWith(home) === true
      const isOwn = specifier.startsWith(home) || (from && /^\.{0,2}\//.test(specifier))
      if (!isOwn) return next(specifier, context)
      const { href } = new URL(specifier, context.parentURL)
      const path = href.slice(home.length)
      const found = [path, `${path}.js`, `${path}/index.js`].find(has)
      if (found === undefined) throw new Error(`The program lacks its module ${path}`)
      return { url: home + found, shortCircuit: true }
    },
    load(url, context, next) {
      if (!url.startsWith(home)) return next(url, context)
      const path = url.slice(home.length)
      const made = { 'start.cjs': "import('./dist/cli/main.js')", [`${sqlite}entry.js`]: entry }
      const format = path.startsWith(sqlite) || path === 'start.cjs' ? 'commonjs' : 'module'
      return { format, source: made[path] ?? getAsset(path, 'utf8'), shortCircuit: true }
    },
  })
}

install(top, openAddon)
// The main module of such an executable may import Node's own modules alone. What is required from it is free of that.
createRequire(top)('sotto:start')
