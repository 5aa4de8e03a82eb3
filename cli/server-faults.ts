/** What Node itself says of the process of a server, as lines of the server's log. */
import { createInterface } from 'node:readline'
import type { Worker } from 'node:worker_threads'
import type { ServerLog } from './server-log.ts'

/** How long the last line may take to be handed over, in milliseconds. */
const LAST_MS = 1000

/**
 * From now on a fault that nothing caught is reported by `log`, without what was being worked on, and ends the process;
 * warnings of Node, and what threads write to stderr, are lines of a strict log. Until disposed of.
 */
export function reportFaults(log: ServerLog): Disposable {
  const undo = new DisposableStack()
  const failed = (error: unknown): void => {
    undo.dispose()
    void endWith(error, log)
  }
  process.on('uncaughtException', failed)
  undo.defer(() => process.off('uncaughtException', failed))
  if (log.isStrict) {
    followWarnings(log, undo)
    followThreads(log, undo)
  }
  return undo
}

async function endWith(error: unknown, log: ServerLog): Promise<void> {
  setTimeout(() => process.exit(1), LAST_MS)
  await log.failed(error)
  process.exit(1)
}

/** Takes the place of Node's own way to print warnings; where that is turned off, so is this. */
function followWarnings({ warn }: ServerLog, undo: DisposableStack): void {
  const nodes = process.listeners('warning')
  if (nodes.length === 0) return
  process.removeAllListeners('warning')
  const take = ({ name, message, ...more }: Error & { readonly code?: string }): void => {
    if (name === 'DeprecationWarning' && process.noDeprecation === true) return
    warn(`${name}: ${message}`, { code: more.code })
  }
  process.on('warning', take)
  undo.defer(() => {
    process.off('warning', take)
    for (const each of nodes) process.on('warning', each)
  })
}

/** A thread has a stderr of its own, which Node copies to that of the process. */
function followThreads({ warn }: ServerLog, undo: DisposableStack): void {
  const follow = ({ stderr }: Worker): void => {
    stderr.unpipe(process.stderr)
    createInterface({ input: stderr }).on('line', (line) => warn(`a thread says: ${line}`))
  }
  process.on('worker', follow)
  undo.defer(() => process.off('worker', follow))
}
