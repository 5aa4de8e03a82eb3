/** What strace wrote about a process, as calls in an order that can be relied on. */

/** A system call. */
export interface SystemCall {
  readonly name: string
  /** What stands between the parentheses, with strace's escapes. */
  readonly args: string
  /** The file or socket of the first argument, where that is a descriptor. */
  readonly target: string | undefined
  /** What it returned; undefined while it was under way when the process ended. */
  readonly result: number | undefined
  /**
   * The lines on which it began and ended. A traced thread waits at both, so that whatever ended on
   * a line before another call began was done before that.
   */
  readonly begun: number
  readonly ended: number
}

/** The arguments of strace that write such a trace of a command to `file`. */
export function traceTo(file: string): string[] {
  const calls = [
    'open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat',
    'write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,ftruncate,fsync,fdatasync,sync_file_range',
  ]
  const what = ['-e', `trace=${calls.join(',')}`, '-e', 'signal=none']
  // Long enough for a batch of audit records and for a page of the store.
  return ['strace', '-f', '-yy', '-tt', '--seccomp-bpf', '-s', '1000000', ...what, '-o', file]
}

const whole = /^(\d+) +\S+ (\w+)\((.*)\) += (-?\d+|\?).*$/s
const unfinished = /^(\d+) +\S+ (\w+)\((.*) <unfinished \.\.\.>$/s
const resumed = /^(\d+) +\S+ <\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?).*$/s

/** The calls in `text`, in the order in which they began. Throws at a line that is none of strace's. */
export function parseTrace(text: string): SystemCall[] {
  const calls: SystemCall[] = []
  /** The call that each thread is in: its place in `calls`. */
  const open = new Map<string, number>()
  for (const [line, content] of text.split('\n').entries()) {
    if (content === '' || /^\d+ +\S+ (\+\+\+|---) /.test(content)) continue
    const rest = resumed.exec(content)
    if (rest) {
      const [, thread = '', , more = '', result = ''] = rest
      const at = open.get(thread)
      const begun = at === undefined ? undefined : calls[at]
      if (at === undefined || !begun) throw new Error(`line ${line + 1} resumes nothing`)
      const args = begun.args + more
      calls[at] = { ...begun, args, result: numberOf(result), ended: line }
      open.delete(thread)
      continue
    }
    const found = whole.exec(content) ?? unfinished.exec(content)
    if (!found) throw new Error(`line ${line + 1} is no call: ${content.slice(0, 200)}`)
    const [, thread = '', name = '', args = '', result] = found
    const ended = result === undefined ? Number.POSITIVE_INFINITY : line
    if (result === undefined) open.set(thread, calls.length)
    const target = targetOf(args)
    calls.push({ name, args, target, result: numberOf(result), begun: line, ended })
  }
  return calls
}

/** Strace writes a descriptor as its number and, in angle brackets, what it is. */
function targetOf(args: string): string | undefined {
  return /^\d+<((?:TCP|UDP|UNIX)[^[]*\[.*?\]|[^>]*)>/s.exec(args)?.[1]
}

function numberOf(result: string | undefined): number | undefined {
  return result === undefined || result === '?' ? undefined : Number(result)
}
