/** One owner of a state directory at a time, by a lock that the kernel lets go with the process. */
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { quote, SottoError } from '../../client/api/errors.ts'
import {
  accessFault,
  isSystemError,
  reasonOf,
  systemError,
} from '../../client/platform/system-error.ts'

/** A lock that is held. */
export interface DirectoryLock {
  /** Lets go. Calling it again does nothing. */
  release(): void
}

/** A handle without a reference is collected as garbage, and its lock with it. */
const held = new Set<Database.Database>()

/**
 * Takes the lock of the directory at `path`, without waiting. It is held until `release` or until
 * the process is gone, however it ends. The directory gets two small files: `lock`, and `lock.pid`
 * with the owner's process id. Throws `store_locked`, naming the owner, when another holds it;
 * `no_store` when there is no such directory; `local` when the files cannot be made.
 *
 * Nothing else may open `lock`: the kernel lets go of a process's locks on a file when the process
 * closes the file anywhere.
 */
export function lockDirectory(path: string): DirectoryLock {
  const directory = resolve(path)
  const pidFile = join(directory, 'lock.pid')
  let db: Database.Database | undefined
  try {
    db = new Database(join(directory, 'lock'), { timeout: 0 })
    // A transaction that writes nothing needs no journal file.
    db.pragma('journal_mode = MEMORY')
    db.exec('BEGIN EXCLUSIVE')
    chmodSync(join(directory, 'lock'), 0o600)
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  } catch (error) {
    db?.close()
    throw lockError(error, directory, pidFile)
  }
  const lock = db
  held.add(lock)
  return {
    release() {
      if (!held.delete(lock)) return
      rmSync(pidFile, { force: true })
      lock.close()
    },
  }
}

/** The process that holds the lock of the directory at `path`, or 0 where that is not known; undefined for none. */
export function lockOwner(path: string): number | undefined {
  const lock = join(resolve(path), 'lock')
  if (!existsSync(lock)) return undefined
  let db: Database.Database | undefined
  try {
    db = new Database(lock, { readonly: true, timeout: 0 })
    db.pragma('user_version')
    return undefined
  } catch (error) {
    if (!isHeld(error)) return undefined
    return readPid(join(resolve(path), 'lock.pid')) ?? 0
  } finally {
    db?.close()
  }
}

function isHeld(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

function lockError(error: unknown, directory: string, pidFile: string): Error {
  // What better-sqlite3 throws for a directory that is missing.
  if (error instanceof TypeError) {
    return new SottoError('no_store', `Cannot lock "${directory}": there is no such directory`, {
      hint: 'Make a store with `sotto init`, or give the directory that has one.',
    })
  }
  if (isHeld(error)) {
    const pid = readPid(pidFile)
    const owner = pid === undefined ? 'another process' : `process ${pid}`
    return new SottoError('store_locked', `Cannot use "${directory}": ${owner} is using it`, {
      hint: 'Ask the running server instead, or stop it first.',
    })
  }
  // Nothing may open the lock, but its rights can be looked at.
  const lock = join(directory, 'lock')
  const denied = accessFault(directory, true) ?? (existsSync(lock) ? accessFault(lock) : undefined)
  const cause = denied ?? error
  if (isSystemError(cause)) return systemError(cause, 'lock', directory)
  return new SottoError('local', `Cannot lock ${quote(directory)}: ${reasonOf(cause)}`, {
    hint: 'Look at the file system that holds the directory.',
    cause: error,
  })
}

/** Undefined when the owner has not told its process id yet. */
function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}
