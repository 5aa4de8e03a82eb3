/**
 * Folders for a short time in a folder that others use too: each is made under a name of its own, and nothing is
 * removed but what was made here. What a process that was killed left is removed by the next one.
 */
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockDirectory } from '../../store/lock.ts'

/** A folder for a short time. Disposing of it removes it. */
export interface Scratch extends AsyncDisposable {
  readonly path: string
  /** Names of folders that were left before, and could not be removed. */
  readonly stuck: readonly string[]
}

/** Says in a folder whose it is. */
const NOTE = 'made-by-sotto'

/** Makes a folder for the store `storeId` in `directory`. Rejects with the system's error. */
export async function makeScratch(directory: string, storeId: string): Promise<Scratch> {
  const prefix = `sotto-rehearsal-${storeId}-`
  const stuck = await removeLeft(directory, prefix)
  const path = await mkdtemp(join(directory, prefix))
  // Held by the kernel for as long as this process lives.
  const lock = lockDirectory(path)
  await writeFile(join(path, NOTE), `${storeId}\n`, { mode: 0o600 })
  return {
    path,
    stuck,
    async [Symbol.asyncDispose]() {
      lock.release()
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** Removes folders of this store that no process holds any more; gives the names of those that it could not. */
async function removeLeft(directory: string, prefix: string): Promise<string[]> {
  const stuck: string[] = []
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix) || !/^[A-Za-z0-9]{6}$/.test(name.slice(prefix.length))) continue
    const path = join(directory, name)
    if (!(await isLeft(path))) continue
    await rm(path, { recursive: true, force: true }).catch(() => stuck.push(name))
  }
  return stuck
}

async function isLeft(path: string): Promise<boolean> {
  try {
    const [folder, note] = await Promise.all([lstat(path), lstat(join(path, NOTE))])
    if (!folder.isDirectory() || folder.uid !== process.getuid?.() || !note.isFile()) return false
    lockDirectory(path).release()
    return true
  } catch {
    // It is held, or not ours.
    return false
  }
}
