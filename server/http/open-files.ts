/** How many files, sockets among them, the system lets this process have open. */
import { readFileSync } from 'node:fs'

/** The soft limit of open files; Infinity where the system does not tell it in this way. */
export function openFileLimit(path = '/proc/self/limits'): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1]
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
