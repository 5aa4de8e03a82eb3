/** What must not outlive the process, such as an unpacked store: it is removed at the exit if nothing removed it before. */
import { rmSync } from 'node:fs'

const left = new Set<string>()

process.on('exit', () => {
  for (const path of left) rmSync(path, { recursive: true, force: true })
})

/** Has `path` removed, with all that is in it, if the process exits before this is disposed of. */
export function removedAtExit(path: string): Disposable {
  left.add(path)
  return { [Symbol.dispose]: () => void left.delete(path) }
}
