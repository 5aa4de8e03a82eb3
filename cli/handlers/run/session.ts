/** The terminal of this process, and the processes below one, as the kernel has them. */
import { closeSync, openSync, readFileSync } from 'node:fs'

/** What the kernel knows of a process. */
interface Status {
  /** `T` for one that is stopped. */
  readonly state: string
  readonly group: number
  /** The number of its terminal; 0 where it has none. */
  readonly terminal: number
  /** The group in the foreground of its terminal. */
  readonly foreground: number
  /** When it was started, in ticks since the machine was. */
  readonly started: string
}

/** Undefined where there is no such process, or the system has no /proc. */
export function statusOf(pid: number | 'self'): Status | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name of the program, in parentheses, may have anything in it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const [state = '', , group, , terminal, foreground] = fields
    return {
      state,
      group: Number(group),
      terminal: Number(terminal),
      foreground: Number(foreground),
      started: fields[19] ?? '',
    }
  } catch {
    return undefined
  }
}

/** Whether this process has a terminal that sends it signals, whatever its streams are. */
export function hasTerminal(): boolean {
  const status = statusOf('self')
  if (status) return status.terminal !== 0
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}

/** Whether what is typed, such as Ctrl-C, goes to the group of this process. */
export function isForeground(): boolean {
  const status = statusOf('self')
  return status === undefined || status.foreground === status.group
}

/** The processes below `pid`, itself first, each with when it was started. */
export function family(pid: number): Map<number, string> {
  const found = new Map<number, string>()
  const visit = (each: number): void => {
    const status = statusOf(each)
    if (!status || found.has(each)) return
    found.set(each, status.started)
    childrenOf(each).forEach(visit)
  }
  visit(pid)
  return found
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
