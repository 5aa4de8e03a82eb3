/** Whose the folders are that a path leads through. It imports little: every command of the program loads it. */
import { lstatSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { type ErrorCode, quote, SottoError } from '../api/errors.ts'

/** As many links as the system itself follows. */
const MAX_LINKS = 40

/**
 * Throws `code` where others than root and this user could put something else where `path` is; `what` names it in
 * the message. As `foreignAt`.
 */
export function refuseForeign(path: string, what: string, code: ErrorCode = 'unsafe'): void {
  const why = foreignAt(path)
  if (why !== undefined) throw refused(what, why, code)
}

/**
 * Throws `unsafe` where the folder at `path` was perhaps made by another user for us to use. It may belong to one, as that
 * of a service does to its user: then it must be where root and this user alone can put a folder.
 */
export function refuseUngiven(path: string, what: string): void {
  const { uid } = statSync(path)
  const why = foreignAt(path, uid) ?? (isTrusted({ uid }, false) ? undefined : ungivenAt(path, uid))
  if (why !== undefined) throw refused(what, why, 'unsafe')
}

function ungivenAt(path: string, uid: number): string | undefined {
  const above = dirname(realpathSync(path))
  // A sticky folder keeps others from what is in it, and not from making more.
  if ((statSync(above).mode & 0o022) === 0) return undefined
  return `it belongs to user ${uid}, who could have made it in ${quote(above)} themselves`
}

function refused(what: string, why: string, code: ErrorCode): SottoError {
  return new SottoError(code, `Cannot use ${what}: ${why}`, {
    hint: 'It and each folder above it must belong to root or to the user that the program runs as, and only they may write there. Run as its owner, or change the owner or the mode.',
  })
}

/**
 * Why others than root and this user could put something else where `path` is, as words; undefined where they
 * cannot. Looked at is each folder from `/` down, each symbolic link with the folders that it leads through, and what
 * `path` itself names, which may be of `owner` too. What does not exist, or may not be looked at, ends the walk.
 */
export function foreignAt(path: string, owner?: number): string | undefined {
  let links = 0
  const todo = partsOf(isAbsolute(path) ? path : `${process.cwd()}/${path}`)
  let at = '/'
  for (;;) {
    const stat = lstat(at)
    if (!stat) return undefined
    const isGiven = todo.length === 0 && stat.uid === owner && !stat.isSymbolicLink()
    if (!isGiven && !isTrusted(stat, todo.length > 0))
      return `${quote(at)} belongs to user ${stat.uid}`
    if (stat.isSymbolicLink()) {
      if (++links > MAX_LINKS) return `${quote(at)} is one of too many symbolic links`
      const target = readlinkSync(at)
      todo.unshift(...partsOf(target))
      at = isAbsolute(target) ? '/' : dirname(at)
      continue
    }
    if (isOpen(stat)) return `others can write to ${quote(at)}`
    const next = todo.shift()
    if (next === undefined) return undefined
    // Not before the links in front of it were followed.
    at = next === '..' ? dirname(at) : join(at, next)
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

function lstat(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch {
    return undefined
  }
}

/**
 * Whether a file is root's or ours. A folder `above` may also belong to a user that this user namespace has no name
 * for: that is one of the host, whose root made the namespace.
 */
function isTrusted({ uid }: Pick<Stats, 'uid'>, above: boolean): boolean {
  return uid === 0 || uid === process.geteuid?.() || (above && uid === nameless())
}

/**
 * Whether others can change a file, or replace what is in a folder: where all or a group may write to it and it is not
 * sticky. Where something of root is open to a group of ours, an administrator decided so, as for a volume of
 * Kubernetes. Sockets are open to all who may enter their folder.
 */
function isOpen(stat: Stats): boolean {
  const { mode, uid, gid } = stat
  if (stat.isSocket() || (mode & 0o1000) !== 0) return false
  if ((mode & 0o002) !== 0) return true
  const ours = uid === 0 && (gid === process.getegid?.() || process.getgroups?.().includes(gid))
  return (mode & 0o020) !== 0 && !ours
}

/** The user that stands for all who have no number here, where this is a namespace without that number. */
function nameless(): number | undefined {
  try {
    const user = Number(readFileSync('/proc/sys/kernel/overflowuid', 'utf8'))
    const ranges = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')
    const isMapped = ranges.some((line) => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number)
      return user >= first && user < first + count
    })
    return isMapped ? undefined : user
  } catch {
    return undefined
  }
}
