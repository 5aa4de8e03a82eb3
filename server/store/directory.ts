/** The state directory: what is where in it, and whether it is safe to use. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { foldersOf, syncNow } from '../platform/durable.ts'

/** The files of a state directory. */
export interface StateDirectory {
  readonly path: string
  readonly store: string
  readonly audit: string
  readonly keyFile: string
  /** What is known of the backups that were made of it. */
  readonly backups: string
  /** Whether nothing is in it, the lock of an owner aside. */
  readonly empty: boolean
  /** What an `init` that was cut short left, where nothing else is in it: no store was ever here. */
  readonly orphans: readonly string[]
  /** What a restore that was cut short left. */
  readonly restoring: readonly string[]
  /** All names in it, the lock of an owner aside. */
  readonly entries: readonly string[]
}

/**
 * Looks at the state directory `path`. Throws `no_store` when it does not exist, `unsafe` when others
 * than its owner can enter it, and `store_foreign` when it is that of a setec server.
 */
export function stateDirectory(path: string): StateDirectory {
  let stat: ReturnType<typeof lstatSync>
  try {
    stat = lstatSync(realpathSync(path))
  } catch (cause) {
    throw new SottoError('no_store', `There is no state directory ${quote(path)}`, {
      cause,
      hint: 'Check the path and that the volume is mounted. `sotto init` makes a new, empty store.',
    })
  }
  if (!stat.isDirectory()) {
    throw new SottoError('unsafe', `The state directory ${quote(path)} is not a directory`)
  }
  if ((stat.mode & 0o077) !== 0) {
    const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
    throw new SottoError('unsafe', `The state directory ${quote(path)} has mode ${mode}`, {
      hint: `Others must not enter it: chmod 700 ${quote(path)}`,
    })
  }
  refuseSetec(path)
  return describe(path)
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
  const made = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (made !== undefined) for (const folder of foldersOf(path, made)) syncNow(folder)
  return stateDirectory(path)
}

/** A state directory that goes with the process: call `remove` at the end. */
export function temporaryStateDirectory(): StateDirectory & { remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sotto-dev-'))
  return { ...describe(path), remove: () => rmSync(path, { recursive: true, force: true }) }
}

const orphan = /^(?:local\.key|sotto\.db\.[0-9a-f]{8}\.new(?:-wal|-shm)?)$/

/** A restore that is not complete, and one that is but for its last step. */
const restoring = /^restore\.[0-9a-f]{8}\.(?:partial|ready)$/

function describe(path: string): StateDirectory {
  const names = readdirSync(path).filter((name) => !name.startsWith('lock'))
  return {
    path,
    store: join(path, 'sotto.db'),
    audit: join(path, 'audit'),
    keyFile: join(path, 'local.key'),
    backups: join(path, 'backups.json'),
    empty: names.length === 0,
    entries: names.toSorted(),
    restoring: names.filter((name) => restoring.test(name)),
    orphans: names.every((name) => orphan.test(name)) ? names.toSorted() : [],
  }
}
