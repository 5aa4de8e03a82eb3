/** How a program ended, and how this process then ends alike. */
import { writeFileSync } from 'node:fs'
import { constants } from 'node:os'

/** An exit code, or the signal that it died of. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The exit code that stands for it: of a signal 128 and its number. */
export function exitOf({ code, signal }: Ending): number {
  return signal === null ? (code ?? 0) : 128 + constants.signals[signal]
}

/** In words, such as `exit code 3`. */
export function endingText({ code, signal }: Ending): string {
  return signal === null ? `exit code ${code ?? 0}` : signal
}

/**
 * Dies of the signal that the program died of, so that who waits for this process sees that. Returns the exit code where
 * there was none, or this process outlives it, as the first of a container does.
 */
export function endAlike(ending: Ending): number {
  const { signal } = ending
  if (signal !== null && process.pid !== 1 && (!withCore.has(signal) || leavesNoCore())) {
    // Node ignores these until somebody listens, and then no more.
    if (signal === 'SIGPIPE' || signal === 'SIGXFSZ') process.on(signal, () => {})
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    // Another thread may be the one that dies of it, in a moment.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000)
  }
  return exitOf(ending)
}

/** Signals of which a process leaves its memory in a file. */
const withCore: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGSYS',
])

/** Has the system leave the memory out of a core file: it had the values. */
function leavesNoCore(): boolean {
  if (process.platform !== 'linux') return false
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
    return true
  } catch {
    return false
  }
}
