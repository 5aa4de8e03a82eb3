/** Backups in a directory: a file each, written under another name first. */
import { randomBytes } from 'node:crypto'
import { Stats } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { parseName } from '../name.ts'
import type { BackupTarget, TargetObject, Upload } from './target.ts'
import { publish, sync } from '../../../client/platform/durable.ts'
import { READ_NOW } from '../../../client/platform/private-file.ts'
import {
  errorCode,
  isAbsent,
  reasonOf,
  systemError,
} from '../../../client/platform/system-error.ts'

const named = /^[A-Za-z][A-Za-z0-9.-]*$/
/** What is being written, or was when the process ended: a dot, the name, eight hex digits. */
const partial = /^\.([A-Za-z][A-Za-z0-9.-]*)\.[0-9a-f]{8}\.partial$/
/** After so long no process still writes to a file under its first name. */
const PARTIAL_KEPT_MS = 24 * 3600 * 1000

/** The target that the directory at `path` is. It must be there when it is used. */
export function directoryTarget(path: string): BackupTarget {
  const directory = resolve(path)
  const attempt = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act()
    } catch (error) {
      throw error instanceof SottoError ? error : unavailable(directory, what, error)
    }
  }
  return Object.freeze({
    description: directory,
    place: { kind: 'directory' as const, path: directory },
    list: (skip?: (words: string) => void, folder?: (name: string) => void) =>
      attempt('list', () => list(directory, skip, folder)),
    put: (upload: Upload) => attempt(`write ${quote(upload.name)}`, () => put(directory, upload)),
    get: (name: string) => attempt(`read ${quote(name)}`, () => get(directory, name)),
    delete: (name: string) => attempt(`delete ${quote(name)}`, () => remove(directory, name)),
  })
}

/** The bytes of a file, in pieces. Rejects with `no_backup` where there is none. */
export async function readFilePieces(path: string): Promise<AsyncIterable<Uint8Array>> {
  return pieces(path, missing(path))
}

async function list(
  directory: string,
  skip: (words: string) => void = () => {},
  folder: (name: string) => void = () => {},
): Promise<TargetObject[]> {
  const names = (await readdir(directory)).filter((name) => named.test(name)).toSorted()
  const looks = await Promise.all(
    names.map(async (name) => ({ name, status: await fileStatus(join(directory, name)) })),
  )
  const faults = looks.flatMap(({ status }) => (status instanceof Error ? status : []))
  const [first] = faults
  // Where nothing can be looked at, it is the directory: it must not pass for an empty one.
  if (first !== undefined && !looks.some(({ status }) => status instanceof Stats)) throw first
  return looks.flatMap(({ name, status }) => {
    if (typeof status === 'string') skip(`${quote(name)} ${status}`)
    if (status instanceof Error) skip(`${quote(name)} cannot be looked at: ${reasonOf(status)}`)
    if (!(status instanceof Stats)) return []
    if (status.isDirectory()) folder(name)
    if (!status.isFile()) return []
    return [{ name, size: status.size, version: `${status.ino}-${status.ctimeMs}` }]
  })
}

async function put(directory: string, upload: Upload): Promise<void> {
  const { name } = upload
  if (!named.test(name)) throw new Error(`${quote(name)} is not a name for a backup`)
  const draft = join(directory, `.${name}.${randomBytes(4).toString('hex')}.partial`)
  try {
    await using file = await open(draft, 'wx', 0o600)
    await clearPartial(directory, name, (await file.stat()).mtimeMs)
    await write(file, upload)
    await file.sync()
    await publish(draft, join(directory, name))
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw errorCode(error) === 'EEXIST' ? new Error('the name is taken', { cause: error }) : error
  }
  await sync(directory)
}

async function write(file: FileHandle, { content, size, signal }: Upload): Promise<void> {
  let written = 0
  for await (const piece of content) {
    signal?.throwIfAborted()
    await file.writev([piece])
    written += piece.byteLength
  }
  if (written !== size) throw new Error(`${written} bytes came where ${size} were due`)
}

async function get(directory: string, name: string): Promise<AsyncIterable<Uint8Array>> {
  if (!named.test(name)) throw missing(name)
  return pieces(join(directory, name), missing(name))
}

async function remove(directory: string, name: string): Promise<void> {
  if (!named.test(name)) return
  await rm(join(directory, name), { force: true })
  await sync(directory)
}

async function pieces(path: string, absent: SottoError): Promise<AsyncIterable<Buffer>> {
  // Since it was listed, others who can write there may have put something else in its place.
  const file = await open(path, READ_NOW).catch((error: unknown) => {
    throw errorCode(error) === 'ENOENT' ? absent : systemError(error, 'read', path)
  })
  const stream = file.createReadStream({ highWaterMark: 256 * 1024 })
  // Of an open file, the system's error does not say which.
  return stream.once('error', (error) => Object.assign(error, { path }))
}

/**
 * Removes what a process that ended long ago left of a backup of the same store as `name`. Both times are those of
 * the file system, which may be on another machine: `now` is that of a file that was just made.
 */
async function clearPartial(directory: string, name: string, now: number): Promise<void> {
  const storeId = parseName(name)?.storeId
  for (const found of await readdir(directory)) {
    const left = parseName(partial.exec(found)?.[1] ?? '')
    if (left === undefined || left.storeId !== storeId) continue
    const path = join(directory, found)
    const status = await stat(path).catch(() => undefined)
    if (status && status.mtimeMs < now - PARTIAL_KEPT_MS) {
      await rm(path, { force: true }).catch(() => {})
    }
  }
}

/**
 * Undefined for what went meanwhile, words for a link that leads nowhere, and the error for what cannot be looked at:
 * one entry must not hide the others.
 */
async function fileStatus(path: string): Promise<Stats | Error | string | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    const own = await lstat(path).catch(() => undefined)
    if (own?.isSymbolicLink()) return 'is a link that cannot be followed'
    return own === undefined && errorCode(error) === 'ENOENT' ? undefined : (error as Error)
  }
}

function missing(name: string): SottoError {
  return new SottoError('no_backup', `There is no backup ${quote(name)}`, {
    hint: '`sotto backup list DIR` shows which there are.',
  })
}

function unavailable(directory: string, what: string, cause: unknown): SottoError {
  const absent = isAbsent(cause)
  const why = absent ? 'there is no such directory' : reasonOf(cause)
  return new SottoError(
    'target_unavailable',
    `Cannot ${what} in the backup directory ${quote(directory)}: ${why}`,
    {
      hint: absent
        ? 'Check the path and that the volume is mounted; a directory for backups is never made.'
        : 'Look at the permissions of the directory, and at the space of its disk.',
      cause,
    },
  )
}
