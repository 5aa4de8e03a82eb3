/** Errors of the operating system and of Node, and the one way from them to a sentence. */
import { accessSync, constants, statSync } from 'node:fs'
import { asSottoError, type ErrorCode, quote, SottoError } from '../api/errors.ts'

/** The code of an error, such as `ENOENT`; undefined for what has none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** Whether there is nothing at the path that `error` is about. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')
}

/** Whether `error` is one of the system, as Node gives it. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return /^E[A-Z0-9]+$/.test(errorCode(error) ?? '')
}

/** What the caller knows better than the error does. */
export interface SystemErrorExtra {
  /** Default: `local`. */
  readonly code?: ErrorCode
  /** Default: what helps against the reason. */
  readonly hint?: string | undefined
}

/**
 * `error` as a SottoError: `Cannot ATTEMPT PATH: REASON`, and what to do. Where the error is about another path than
 * `path`, such as one below it, that is named too. What is not an error of the system stays as it is.
 */
export function systemError(
  error: unknown,
  attempt: string,
  path: string,
  { code = 'local', hint }: SystemErrorExtra = {},
): Error {
  if (!isSystemError(error)) return error as Error
  const { path: at = path } = error
  const where = at === path ? '' : `${quote(at)}: `
  return new SottoError(code, `Cannot ${attempt} ${quote(path)}: ${where}${reasonOf(error)}`, {
    hint: hint ?? adviceOn(error),
    cause: error,
  })
}

/** The same, of an error that nobody said more about; undefined where it is not one of the system. */
export function bareSystemError(error: unknown): SottoError | undefined {
  if (!isSystemError(error)) return undefined
  const { path, syscall = '' } = error
  const attempt = attempts[syscall]
  const unnamed = withoutPath[syscall] ?? `${attempt ?? 'use'} a file`
  const what = path === undefined ? unnamed : `${attempt ?? 'use'} ${quote(path)}`
  const message = `Cannot ${what}: ${reasonOf(error)}`
  return new SottoError('local', message, { hint: adviceOn(error), cause: error })
}

/** As `asSottoError`, but an error of the system is told with its act, path and reason. */
export function described(error: unknown): SottoError {
  return error instanceof SottoError ? error : (bareSystemError(error) ?? asSottoError(error))
}

/**
 * Why this user may not read and change what is at `path`, for a library that does not say so. `isFolder`: put files
 * into it. Undefined where the user may.
 */
export function accessFault(path: string, isFolder = false): NodeJS.ErrnoException | undefined {
  try {
    if (isFolder && !statSync(path).isDirectory()) throw notFolder(path)
    accessSync(path, constants.R_OK | constants.W_OK | (isFolder ? constants.X_OK : 0))
    return undefined
  } catch (error) {
    // What is not there is told as what it should be.
    return Object.assign(error as NodeJS.ErrnoException, isFolder && { syscall: 'opendir' })
  }
}

/** What the system says where a folder is asked for. */
function notFolder(path: string): NodeJS.ErrnoException {
  return Object.assign(new Error('ENOTDIR'), { code: 'ENOTDIR', path })
}

/** Why the system refused, to end a sentence that names what was attempted. */
export function reasonOf(error: unknown): string {
  if (!isSystemError(error)) return error instanceof Error ? error.message : String(error)
  const { code = '', syscall = '' } = error
  if (code === 'ENOENT' && /dir|mkdtemp|statfs|cwd/.test(syscall))
    return 'there is no such directory'
  return known[code]?.[0] ?? `the system says ${code}`
}

/** What to do about it; undefined where that depends on what was attempted. */
export function adviceOn(error: unknown): string | undefined {
  const advice = known[errorCode(error) ?? '']?.[1]
  return advice === RIGHTS ? `${advice} It runs as user ${process.geteuid?.()}.` : advice
}

/** What Node was doing, in words that a path can follow. */
const attempts: Readonly<Record<string, string>> = {
  open: 'open',
  read: 'read',
  write: 'write',
  scandir: 'list',
  opendir: 'list',
  stat: 'look at',
  lstat: 'look at',
  realpath: 'look at',
  statfs: 'look at the file system of',
  access: 'use',
  mkdir: 'make the directory',
  mkdtemp: 'make the temporary directory',
  rename: 'rename',
  link: 'name',
  unlink: 'delete',
  rm: 'delete',
  rmdir: 'delete',
  chmod: 'change the mode of',
  fchmod: 'change the mode of',
  fsync: 'make durable',
  ftruncate: 'cut',
  copyfile: 'copy',
}

/** The same where an error has no path. */
const withoutPath: Readonly<Record<string, string>> = {
  // A stream that the program writes to.
  write: 'write the output',
  uv_cwd: 'use the working directory',
  connect: 'connect',
  listen: 'listen',
  spawn: 'start a program',
}

const RIGHTS =
  'The user that the program runs as must have the right to that, and to enter each directory above.'
const PATH = 'Check the path, and that the volume is mounted.'
const ROOM = 'Free some space, or name a place on another disk.'
const DISK = 'Look at the log of the system.'
const OPEN = 'Raise the limit of open files: `ulimit -n`, or LimitNOFILE of a systemd unit.'

const known: Readonly<Record<string, readonly [reason: string, advice: string]>> = {
  EACCES: ['permission denied', RIGHTS],
  EPERM: ['the system does not permit that', RIGHTS],
  ENOENT: ['there is no such file', PATH],
  ENOTDIR: ['a part of the path is not a directory', PATH],
  EISDIR: ['it is a directory', 'Name a file.'],
  EEXIST: ['something is there already', 'Choose another name, or move what is there away.'],
  ENOTEMPTY: ['the directory is not empty', 'Choose another one, or move what is there away.'],
  EROFS: ['its file system is read-only', 'Name a place that can be written, or mount it so.'],
  ENOSPC: ['no space is left on its disk', ROOM],
  EDQUOT: ['the quota of its disk is used up', ROOM],
  EFBIG: ['the file would be larger than is allowed', 'Look at the limits: `ulimit -f`.'],
  ELOOP: ['it leads through too many symbolic links', 'Name the file or directory itself.'],
  ENAMETOOLONG: ['a name in the path is too long', 'Choose a shorter one.'],
  ENXIO: ['it is not a file that can be read', 'Name a file.'],
  EBUSY: ['something else is using it', 'End what has it open, or unmount it.'],
  ETXTBSY: ['something else is using it', 'End what has it open.'],
  EXDEV: ['it is on another file system', 'Name a place on the same one.'],
  EINVAL: ['its file system cannot do that', 'Name a place on another file system.'],
  ENOTSUP: ['its file system cannot do that', 'Name a place on another file system.'],
  EOPNOTSUPP: ['its file system cannot do that', 'Name a place on another file system.'],
  ENOSYS: ['the system cannot do that', 'Name a place on another file system.'],
  ENOLCK: ['its file system keeps no locks', 'Name a place on another file system.'],
  ENOTCONN: ['its file system lost its server', 'Mount that again.'],
  ENODEV: ['its device is gone', DISK],
  EIO: ['its disk failed', DISK],
  ESTALE: ['its network file system lost it', 'Mount that again.'],
  ETIMEDOUT: ['its file system did not answer', DISK],
  EADDRINUSE: ['something else is listening there', 'End that, or name another place.'],
  EADDRNOTAVAIL: ['it is not an address of this machine', 'Look at the addresses of this machine.'],
  ECONNREFUSED: ['nothing is listening there', 'Check that the server runs, and where.'],
  ECONNRESET: ['the other end broke the connection off', 'Look at the log of the other end.'],
  EMFILE: ['too many files are open', OPEN],
  ENFILE: ['too many files are open on this machine', OPEN],
  ENOMEM: ['the machine has no memory left', 'End something else, or add memory.'],
}
