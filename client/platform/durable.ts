/**
 * Makes files and their names durable: a name is in its folder, which has to be synced too. Where the file system
 * has no sync of folders there is nothing more to do for one, and it is left at that.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errorCode } from './system-error.ts'

/** Makes the entries of the folder at `path`, or the content of the file there, durable. */
export async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r')
  await file.sync().catch((error: unknown) => {
    if (!isMissingSync(error, file.fd)) throw error
  })
}

/** As `sync`, at once. */
export function syncNow(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } catch (error) {
    if (!isMissingSync(error, file)) throw error
  } finally {
    closeSync(file)
  }
}

/**
 * Gives the file `draft` the name `path` on the same file system. Throws an error with code `EEXIST` where that is
 * taken. Neither is synced.
 */
export async function publish(draft: string, path: string): Promise<void> {
  try {
    // Unlike a rename, a link never replaces.
    await link(draft, path)
  } catch (error) {
    refuseTaken(error, path)
    await rename(draft, path)
    return
  }
  await rm(draft)
}

/** Writes the file at `path`, and makes its content durable. Its name is not. */
export async function writeDurably(
  path: string,
  content: Parameters<FileHandle['writeFile']>[0],
  { flag = 'w', mode = 0o600 }: { readonly flag?: string; readonly mode?: number } = {},
): Promise<void> {
  await using file = await open(path, flag, mode)
  await file.writeFile(content)
  await file.sync()
}

/** Puts the file `draft` in the place of what is at `path` in the same folder, durably. */
export async function replaceBy(draft: string, path: string): Promise<void> {
  await rename(draft, path)
  await sync(dirname(path))
}

/** As `publish`, at once. */
export function publishNow(draft: string, path: string): void {
  try {
    linkSync(draft, path)
  } catch (error) {
    refuseTaken(error, path)
    renameSync(draft, path)
    return
  }
  rmSync(draft)
}

/** What file systems answer that have no links, or let nobody make them. */
const missingLinks: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'EINVAL',
  'EMLINK',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
])

/** A link failed. Throws unless that is for want of links, and the name is free. */
function refuseTaken(error: unknown, path: string): void {
  if (!missingLinks.has(errorCode(error) ?? '')) throw error
  // Also what leads nowhere has the name.
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
  throw Object.assign(new Error('it exists', { cause: error }), { code: 'EEXIST' })
}

/** What shared, remote and user-space file systems answer that cannot sync a folder. */
const missingSync: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

function isMissingSync(error: unknown, file: number): boolean {
  return missingSync.has(errorCode(error) ?? '') && fstatSync(file).isDirectory()
}

/**
 * The folders whose entries changed when the one at `path` was made together with those above it from
 * `made` on: what `mkdir` with `recursive` gives back. Innermost first.
 */
export function foldersOf(path: string, made: string = path): string[] {
  const last = dirname(resolve(made))
  const folders = [dirname(resolve(path))]
  for (let folder = folders[0] as string; folder !== last && folder !== dirname(folder); ) {
    folder = dirname(folder)
    folders.push(folder)
  }
  return folders
}
