/** The state directory: what is where in it, and whether it is safe to use. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'

/** The files of a state directory. */
export interface StateDirectory {
  readonly path: string
  readonly store: string
  readonly audit: string
  readonly keyFile: string
  /** Whether nothing is in it, the lock of an owner aside. */
  readonly empty: boolean
}

/**
 * Looks at the state directory `path`. Rejects with `no_store` when it does not exist, with `unsafe`
 * when others than its owner can enter it.
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
  return describe(path)
}

/** The state directory `path`, made with mode 0700 if it does not exist. Rejects as stateDirectory. */
export function madeStateDirectory(path: string): StateDirectory {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return stateDirectory(path)
}

/** A state directory that goes with the process: call `remove` at the end. */
export function temporaryStateDirectory(): StateDirectory & { remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sotto-dev-'))
  return { ...describe(path), remove: () => rmSync(path, { recursive: true, force: true }) }
}

function describe(path: string): StateDirectory {
  return {
    path,
    store: join(path, 'sotto.db'),
    audit: join(path, 'audit'),
    keyFile: join(path, 'local.key'),
    empty: readdirSync(path).every((name) => name.startsWith('lock')),
  }
}
