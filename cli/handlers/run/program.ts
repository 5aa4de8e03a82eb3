/** Finds the program that a command line names, as execvp(3) does, and looks at it before it is started. */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { errorCode, reasonOf } from '../../../client/platform/system-error.ts'

/** A program, ready to be started. */
export interface Program {
  readonly path: string
  /** Its arguments, its own name first. */
  readonly argv: readonly [string, ...string[]]
}

/** Where a system without PATH looks. */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'
const SHELL = '/bin/sh'

/** Why the program did not start. The exit code is that of a shell: 127 where there is none, 126 where it cannot be run. */
export class NotStarted extends SottoError {
  readonly exit: 126 | 127

  constructor(exit: 126 | 127, name: string, why: string, hint?: string) {
    super('local', `Cannot run ${quote(name)}: ${why}`, { hint })
    this.exit = exit
  }
}

/**
 * The program `name`, on the folders of `path` where it has no slash. A text that does not say by `#!` what reads it goes
 * to the shell. Throws NotStarted: a failing execve may take the process with it, so all that can be seen is seen before.
 */
export function findProgram(
  name: string,
  args: readonly string[],
  path: string = DEFAULT_PATH,
): Program {
  const found = name.includes('/') ? name : onPath(name, path)
  const fault = faultOf(found)
  if (fault) throw new NotStarted(fault.exit, name, fault.why, fault.hint)
  const start = startOf(found, name)
  if (start.subarray(0, 2).toString() === '#!') refuseMissingReader(start, name)
  else if (isText(start)) return { path: SHELL, argv: [SHELL, found, ...args] }
  else if (process.platform === 'linux' && start.subarray(0, 4).toString('latin1') !== '\x7fELF') {
    throw new NotStarted(126, name, 'it is not a program of this system')
  }
  return { path: found, argv: [name, ...args] }
}

function onPath(name: string, path: string): string {
  let refused: string | undefined
  for (const folder of path.split(':')) {
    const candidate = join(folder || '.', name)
    const fault = faultOf(candidate)
    // A bare name would be looked for on the path again.
    if (!fault) return candidate.includes('/') ? candidate : `./${candidate}`
    if (fault.exit === 126) refused ??= candidate
  }
  if (refused !== undefined) return refused
  throw new NotStarted(127, name, 'there is no such program on PATH')
}

interface Fault {
  readonly exit: 126 | 127
  readonly why: string
  readonly hint?: string
}

function faultOf(path: string): Fault | undefined {
  let status: Stats
  try {
    status = statSync(path)
    if (status.isDirectory()) return { exit: 126, why: 'it is a directory' }
    if (!status.isFile()) return { exit: 126, why: 'it is not a regular file' }
    accessSync(path, constants.X_OK)
    return undefined
  } catch (error) {
    const isAbsent = ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')
    if (isAbsent) return { exit: 127, why: 'there is no such program' }
    const hint = 'Its file must be executable, and its file system not mounted noexec.'
    return { exit: 126, why: reasonOf(error), ...(errorCode(error) === 'EACCES' && { hint }) }
  }
}

/** The first bytes of a file; those of a program where it may be run and not read. */
function startOf(path: string, name: string): Buffer {
  const start = Buffer.alloc(256)
  try {
    const file = openSync(path, 'r')
    try {
      return start.subarray(0, readSync(file, start, 0, start.length, 0))
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (errorCode(error) === 'EACCES') return Buffer.from('\x7fELF', 'latin1')
    throw new NotStarted(126, name, reasonOf(error))
  }
}

/** As shells tell a script from what is not a program: no NUL in its first line. */
function isText(start: Buffer): boolean {
  const end = start.indexOf('\n')
  return !start.subarray(0, end < 0 ? undefined : end).includes(0)
}

function refuseMissingReader(start: Buffer, name: string): void {
  const [, reader] = /^#![ \t]*([^ \t\r\n]+)/.exec(start.toString('latin1')) ?? []
  const fault = reader === undefined ? undefined : faultOf(reader)
  if (reader === undefined || !fault) return
  const why = `what its first line names, ${quote(reader)}, cannot be run: ${fault.why}`
  throw new NotStarted(fault.exit, name, why)
}
