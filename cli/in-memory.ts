/** Whether what is written at a place stays in memory. */
import { statfsSync } from 'node:fs'

/** File systems in memory, as statfs(2) of Linux numbers them: tmpfs and ramfs. */
const inMemory: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])

/** Whether the folder at `path` is in memory; false where that cannot be told. */
export function isInMemory(path: string): boolean {
  try {
    return process.platform === 'linux' && inMemory.has(statfsSync(path).type)
  } catch {
    return false
  }
}
