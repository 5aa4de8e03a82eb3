/** Where an export goes: a file or a directory that its owner alone can read, or a file that others append to as well. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { constants, lstatSync, type Stats } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { replaceBy, writeDurably } from '../../client/platform/durable.ts'
import { systemError } from '../../client/platform/system-error.ts'

/** A file of a directory. */
export interface Named {
  readonly name: string
  readonly content: Uint8Array
}

/**
 * Puts `content` at `path`, with that mode and no moment at which a part of it is there. Throws `local` where there is
 * something else than a regular file, and for what the system refuses.
 */
export async function replaceFile(path: string, content: Uint8Array, mode = 0o600): Promise<void> {
  refuseUnless(path, (stat) => stat.isFile(), 'a regular file')
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}`)
  try {
    await writeDurably(draft, content, { flag: 'wx', mode })
    await replaceBy(draft, path)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw systemError(error, 'write', path)
  }
}

/** Adds `content` to the end of the file at `path`, which must be there. Throws `local`. */
export async function appendTo(path: string, content: Uint8Array): Promise<void> {
  refuseUnless(path, (stat) => stat.isFile(), 'a regular file')
  try {
    const flags = constants.O_WRONLY | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0)
    await using file = await open(path, flags)
    await file.writeFile(content)
  } catch (error) {
    throw systemError(error, 'append to', path)
  }
}

/** Puts each file into the directory at `path`, which is made where there is none; others in it are left alone. Throws `local`. */
export async function fillDirectory(path: string, files: readonly Named[]): Promise<void> {
  refuseUnless(path, (stat) => stat.isDirectory(), 'a directory')
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw systemError(error, 'make the directory', path)
  })
  for (const { name, content } of files) await replaceFile(join(path, name), content, 0o400)
}

/** Whether what is at `path` would go along with a commit: it is in a work tree of git that does not ignore it. */
export function isInGit(path: string): Promise<boolean> {
  const whole = resolve(path)
  // No program that the configuration of a work tree names is to be started for this.
  const args = ['-c', 'core.fsmonitor=false', '-C', dirname(whole), 'check-ignore', '-q', whole]
  return new Promise((answer) => {
    // 1: it is not ignored. 128: it is in no work tree. Without git there is nothing to say.
    execFile('git', args, { timeout: 5000 }, (error) => answer(error?.code === 1))
  })
}

function refuseUnless(path: string, isRight: (stat: Stats) => boolean, what: string): void {
  let stat: Stats | undefined
  try {
    stat = lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw systemError(error, 'look at', path)
  }
  if (stat === undefined || isRight(stat)) return
  const found = stat.isSymbolicLink() ? 'a symbolic link' : `not ${what}`
  throw new SottoError('local', `Cannot write ${quote(path)}: it is ${found}`, {
    hint: `Name ${what} itself, or one that is not there yet.`,
  })
}
