/** What this process is sent while the program runs, which is meant for the program. */
import { isForeground, statusOf } from './session.ts'

/** What can be passed on. The others say something of this process itself, or cannot be heard. */
const passed: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGWINCH',
  'SIGCONT',
  'SIGTSTP',
  ...(process.platform === 'linux' ? (['SIGPWR', 'SIGIO', 'SIGURG'] as const) : []),
]

/** What a terminal sends to every process in its foreground: the program has it already. */
const typed: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>(['SIGINT', 'SIGQUIT', 'SIGTSTP'])

/** Who hears of them. */
export interface SignalParts {
  /** Whether the program has a session of its own, so that no terminal sends it anything. */
  readonly apart: boolean
  /** The program; undefined where none runs. */
  readonly pid: () => number | undefined
  /** `isKnown`: the program has it already. */
  readonly tell: (signal: NodeJS.Signals, isKnown: boolean) => void
}

/**
 * Passes signals on until disposed of. Where the program shares our terminal and stops, as by Ctrl-Z, this process stops too, so that
 * the shell sees that; a program that does not stop is not stopped by us.
 */
export function passOn({ apart, pid, tell }: SignalParts): Disposable {
  const hear = (signal: NodeJS.Signals): void =>
    tell(signal, !apart && typed.has(signal) && isForeground())
  const look = (): void => {
    const child = pid()
    if (child !== undefined && statusOf(child)?.state === 'T') process.kill(process.pid, 'SIGSTOP')
  }
  for (const signal of passed) process.on(signal, hear)
  if (!apart) process.on('SIGCHLD', look)
  return {
    [Symbol.dispose]: () => {
      for (const signal of passed) process.off(signal, hear)
      process.off('SIGCHLD', look)
    },
  }
}
