/** Reads a log: its records in order, the chain checked on the way, and what is added if asked to. */
import type { Located } from './damage.ts'
import type { FileSystem } from './files.ts'
import { isKnown } from './line.ts'
import { damageError } from './recovery.ts'
import { processTimers, type Timers } from '../client/platform/timers.ts'
import { walk } from './walk.ts'

/** How to read a log. */
export interface ReadOptions {
  /** Begins after the record of this id; earlier segments are not opened. */
  readonly after?: number
  /** Skips damage instead of throwing, and gives every record that can be read. */
  readonly lenient?: boolean
  /** Continues with what is added, until the signal is aborted. */
  readonly follow?: AbortSignal
  /** How often a followed log is looked at, in milliseconds. Default: 250. */
  readonly pollMs?: number
  readonly timers?: Timers
  readonly files?: FileSystem
  /** Ends it: it then throws the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The records of the log at `path`, a folder or a single segment, in order. Records of kinds that
 * this release does not know are checked and left out. Throws SottoError `audit_damaged` where the
 * log does not verify, `store_newer` at a segment in a later format, `local` when it cannot be read.
 */
export async function* readLog(path: string, options: ReadOptions = {}): AsyncGenerator<Located> {
  const { after = 0, lenient = false, follow, files, signal } = options
  const steps = walk(path, {
    lenient,
    signal,
    ...(files && { files }),
    ...(after > 0 && { from: after + 1 }),
    ...(follow && { more: () => pause(follow, options) }),
  })
  for await (const step of steps) {
    if ('damage' in step) {
      if (!lenient) throw damageError(path, step)
    } else if ('record' in step && step.record.id > after && isKnown(step.record)) {
      yield step
    }
  }
}

/** Resolves after a while with true, or with false once the signal is aborted. */
function pause(signal: AbortSignal, options: ReadOptions): Promise<boolean> {
  const { timers = processTimers, pollMs = 250 } = options
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false)
    const end = () => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve(!signal.aborted)
    }
    const cancel = timers.after(pollMs, end)
    signal.addEventListener('abort', end)
  })
}
