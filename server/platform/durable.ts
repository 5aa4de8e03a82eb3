/** Makes files and their names durable: a name is in its folder, which has to be synced too. */
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Makes the entries of the folder at `path`, or the content of the file there, durable. */
export async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r')
  await file.sync()
}

/** As `sync`, at once. */
export function syncNow(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
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
