/** How a program is started so that it finds what it would find without us: limits, and open files. */
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import type { Environment } from '../../../client/api/given.ts'
import type { Program } from './program.ts'

/** The file that is executed, and its arguments, its name first. */
export interface Launch {
  readonly file: string
  readonly argv: readonly [string, ...string[]]
}

/** What of this process a program inherits. */
export interface Inherited {
  /** The soft limit of open files to go back to: Node raised ours. Undefined where it did not. */
  readonly openFiles: number | undefined
  /** The open files after stderr, which Node keeps from programs: 3 and so on. */
  readonly files: readonly number[]
}

const PRLIMIT = '/usr/bin/prlimit'

/** Looks at what this process was given. */
export function inherited(): Inherited {
  return { openFiles: softOpenFiles(), files: givenFiles() }
}

/** How `program` is started with the environment `env`; `path` is the PATH on which it was found. */
export function launchOf(
  { path, argv }: Program,
  env: Environment,
  searched: string | undefined,
  { openFiles, files }: Inherited,
): Launch {
  // systemd hands sockets to the process of that number alone.
  const isListener = files.length > 0 && env['LISTEN_PID'] === String(process.pid)
  if (openFiles === undefined && !isListener) return { file: path, argv }
  // The name as it was typed is found again on the same PATH.
  const [name, ...args] = argv
  const again = [env['PATH'] === searched ? name : path, ...args]
  // A shell leaves variables out whose names it could not have.
  if (!isListener && existsSync(PRLIMIT)) {
    return { file: PRLIMIT, argv: ['prlimit', `--nofile=${openFiles}:`, '--', ...again] }
  }
  if (!isListener && !Object.keys(env).every((each) => /^[A-Za-z_]\w*$/.test(each))) {
    return { file: path, argv }
  }
  const limit = openFiles === undefined ? [] : ['ulimit -Sn "$0"']
  const listener = isListener ? ['LISTEN_PID=$$', 'export LISTEN_PID'] : []
  const script = [...limit, ...listener, 'exec "$@"'].join('; ')
  return { file: '/bin/sh', argv: ['sh', '-c', script, String(openFiles ?? 'sh'), ...again] }
}

/** The soft limit of open files of who started this process, where it is lower than ours. */
function softOpenFiles(): number | undefined {
  const [ours, theirs] = ['self', process.ppid].map(openFilesOf)
  return ours !== undefined && theirs !== undefined && theirs < ours ? theirs : undefined
}

function openFilesOf(pid: number | string): number | undefined {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
    const [, soft] = /^Max open files +(\d+|unlimited) /m.exec(limits) ?? []
    return soft === undefined ? undefined : soft === 'unlimited' ? Infinity : Number(soft)
  } catch {
    return undefined
  }
}

/** Files that were open before Node made its own, the first of which is for its events. */
function givenFiles(): number[] {
  const given: number[] = []
  try {
    for (let fd = 3; !readlinkSync(`/proc/self/fd/${fd}`).startsWith('anon_inode:'); fd++) {
      given.push(fd)
    }
    return given
  } catch {
    // There is a gap, so this is not how Node begins; or no /proc.
    return []
  }
}
