/** Backups in a directory: a file each, written under another name first. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { BackupTarget, TargetObject, Upload } from './target.ts'
import { sync } from '../../platform/durable.ts'
import { errorCode } from '../../platform/system-error.ts'

const named = /^[A-Za-z][A-Za-z0-9.-]*$/
/** What is being written, or was when the process ended: a dot, the name, eight hex digits. */
const partial = /^\.[A-Za-z][A-Za-z0-9.-]*\.[0-9a-f]{8}\.partial$/
/** After so long no process still writes to a file under its first name. */
const PARTIAL_KEPT_MS = 24 * 3600 * 1000

/** The target that the directory at `path` is. It must be there when it is used. */
export function directoryTarget(path: string, clock: () => Date = () => new Date()): BackupTarget {
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
    list: () => attempt('list', () => list(directory)),
    put: (upload: Upload) =>
      attempt(`write ${quote(upload.name)}`, () => put(directory, upload, clock)),
    get: (name: string) => attempt(`read ${quote(name)}`, () => get(directory, name)),
    delete: (name: string) => attempt(`delete ${quote(name)}`, () => remove(directory, name)),
  })
}

/** The bytes of a file, in pieces. Rejects with `no_backup` where there is none. */
export async function readFilePieces(path: string): Promise<AsyncIterable<Uint8Array>> {
  return pieces(path, missing(path))
}

async function list(directory: string): Promise<TargetObject[]> {
  const names = (await readdir(directory)).filter((name) => named.test(name)).toSorted()
  const found = await Promise.all(
    names.map(async (name) => ({ name, status: await stat(join(directory, name)) })),
  )
  return found
    .filter(({ status }) => status.isFile())
    .map(({ name, status }) => ({ name, size: status.size }))
}

async function put(directory: string, upload: Upload, clock: () => Date): Promise<void> {
  const { name } = upload
  if (!named.test(name)) throw new Error(`${quote(name)} is not a name for a backup`)
  await clearPartial(directory, clock().getTime() - PARTIAL_KEPT_MS)
  const draft = join(directory, `.${name}.${randomBytes(4).toString('hex')}.partial`)
  try {
    await using file = await open(draft, 'wx', 0o600)
    await write(file, upload)
    await file.sync()
    if (existsSync(join(directory, name))) throw new Error('the name is taken')
    await rename(draft, join(directory, name))
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw error
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
  const file = await open(path, 'r').catch((error: unknown) => {
    throw errorCode(error) === 'ENOENT' ? absent : error
  })
  return file.createReadStream({ highWaterMark: 256 * 1024 })
}

/** Removes what a process that ended long ago left. */
async function clearPartial(directory: string, before: number): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!partial.test(name)) continue
    const path = join(directory, name)
    const status = await stat(path).catch(() => undefined)
    if (status && status.mtimeMs < before) await rm(path, { force: true }).catch(() => {})
  }
}

function missing(name: string): SottoError {
  return new SottoError('no_backup', `There is no backup ${quote(name)}`, {
    hint: '`sotto backup list DIR` shows which there are.',
  })
}

function unavailable(directory: string, what: string, cause: unknown): SottoError {
  const absent = ['ENOENT', 'ENOTDIR'].includes(errorCode(cause) ?? '')
  const why = absent ? 'there is no such directory' : (cause as Error).message
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
