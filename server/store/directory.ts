/** The state directory: what is where in it, and whether it is safe to use. */
import { mkdirSync, readdirSync, rmSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { removedAtExit } from '../platform/at-exit.ts'
import { foldersOf, syncNow } from '../../client/platform/durable.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import { isAbsent, systemError } from '../../client/platform/system-error.ts'
import { makeTemporaryNow } from '../platform/temporary.ts'

/** The files of a state directory. */
export interface StateDirectory {
  readonly path: string
  readonly store: string
  readonly audit: string
  readonly keyFile: string
  /** What is known of the backups that were made of it. */
  readonly backups: string
  /** Which versions programs hold. */
  readonly holdings: string
  /** The operators' socket, and the directory of the files by which they prove who they are. */
  readonly operatorSocket: string
  readonly operators: string
  /** Whether nothing is in it but what a server makes again, and what a file system puts into a new volume. */
  readonly empty: boolean
  /** What an `init` that was cut short left, where nothing else is in it: no store was ever here. */
  readonly orphans: readonly string[]
  /** What a restore that was cut short left. */
  readonly restoring: readonly string[]
  /** All other names in it. */
  readonly entries: readonly string[]
}

/**
 * Looks at the state directory `path`. Throws `no_store` when it does not exist, `unsafe` when others
 * than its owner can enter it, or others than root and this user could put something else in its place, and
 * `store_foreign` when it is that of a setec server.
 */
export function stateDirectory(path: string): StateDirectory {
  try {
    return examine(path)
  } catch (error) {
    if (!isAbsent(error)) throw systemError(error, 'use the state directory', path)
    throw new SottoError('no_store', `There is no state directory ${quote(path)}`, {
      cause: error,
      hint: 'Check the path and that the volume is mounted. `sotto init` makes a new, empty store.',
    })
  }
}

function examine(path: string): StateDirectory {
  const stat = statSync(path)
  refuseForeign(path, `the state directory ${quote(path)}`)
  if (!stat.isDirectory()) {
    throw new SottoError('unsafe', `The state directory ${quote(path)} is not a directory`, {
      hint: 'Give a directory of its own.',
    })
  }
  if ((stat.mode & 0o077) !== 0) throw tooOpen(path, stat)
  refuseSetec(path)
  const state = describe(path)
  for (const each of [state.store, state.audit]) refuseForeign(each, quote(each))
  return state
}

/** The root of a volume belongs to who made it, and a platform may set its mode again. */
function tooOpen(path: string, { mode, uid }: Stats): SottoError {
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  const mayChange = [0, uid].includes(process.geteuid?.() ?? uid)
  return new SottoError('unsafe', `The state directory ${quote(path)} has mode ${shown}`, {
    hint: mayChange
      ? `Others must not enter it: chmod 700 ${quote(path)}. If it is the root of a volume, better give a folder inside: ${quote(join(path, 'sotto'))}`
      : `Others must not enter it, and user ${uid} owns it. If it is the root of a volume, give a folder inside: ${quote(join(path, 'sotto'))}`,
  })
}

/** setec's users have SETEC_STATE_DIR set, which Sotto reads too. */
function refuseSetec(path: string): void {
  const names = new Set(readdirSync(path))
  if (names.has('sotto.db') || !names.has('database') || !names.has('audit.log')) return
  throw new SottoError('store_foreign', `The directory ${quote(path)} is that of a setec server`, {
    hint: 'Give Sotto one of its own; `sotto import setec` brings the secrets over while both run.',
  })
}

/**
 * The state directory `path`, made with mode 0700 if it does not exist; then its name is on the disk
 * when this returns. Rejects as stateDirectory.
 */
export function madeStateDirectory(path: string): StateDirectory {
  refuseForeign(path, `the state directory ${quote(path)}`)
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 })
    if (made !== undefined) for (const folder of foldersOf(path, made)) syncNow(folder)
  } catch (error) {
    throw systemError(error, 'make the state directory', path)
  }
  return stateDirectory(path)
}

/** A state directory that goes with the process: call `remove` at the end. */
export function temporaryStateDirectory(): StateDirectory & { remove(): void } {
  const path = makeTemporaryNow('sotto-dev-')
  const atExit = removedAtExit(path)
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true })
    atExit[Symbol.dispose]()
  }
  return { ...describe(path), remove }
}

const orphan = /^(?:local\.key|sotto\.db\.[0-9a-f]{8}\.new(?:-wal|-shm)?)$/

/**
 * What a server makes again; the cache of a user whose home this is; and what file systems put into the root of a
 * volume.
 */
const aside: ReadonlySet<string> = new Set([
  '.cache',
  'lock',
  'lock.pid',
  'operator.sock',
  'operators',
  'lost+found',
  '.snapshot',
  '@eaDir',
  'System Volume Information',
])

/** What a file system or a desktop leaves under names with a number: of files that are open, and deleted ones. */
const leftAside = /^\.(?:nfs[0-9a-f]{8,}|Trash-\d+)$/

/** A restore that is not complete, and one that is but for its last step. */
const restoring = /^restore\.[0-9a-f]{8}\.(?:partial|ready)$/

function describe(path: string): StateDirectory {
  const names = readdirSync(path).filter((name) => !aside.has(name) && !leftAside.test(name))
  return {
    path,
    store: join(path, 'sotto.db'),
    audit: join(path, 'audit'),
    keyFile: join(path, 'local.key'),
    backups: join(path, 'backups.json'),
    holdings: join(path, 'holdings'),
    operatorSocket: join(path, 'operator.sock'),
    operators: join(path, 'operators'),
    empty: names.length === 0,
    entries: names.toSorted(),
    restoring: names.filter((name) => restoring.test(name)),
    orphans: names.every((name) => orphan.test(name)) ? names.toSorted() : [],
  }
}
