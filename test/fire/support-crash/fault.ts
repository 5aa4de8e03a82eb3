/** Makes system calls of a running process fail or take long, for as long as it is wanted. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { TestProcess } from '../../support/process.ts'

/** What befalls the calls on some files. */
export interface Fault {
  /** Files that the calls are on: paths as they were opened. */
  readonly paths: readonly string[]
  /** Names of system calls. */
  readonly calls: readonly string[]
  /** What happens, in strace's words: `error=EIO`, `delay_enter=MICROSECONDS`. */
  readonly what: string
}

/** A fault that holds until the scope ends (`await using`), or until it is mended before. */
export interface Held extends AsyncDisposable {
  mend(): Promise<void>
}

/** Lets a fault befall the process `pid`; resolves once it holds for every thread. */
export async function befall(pid: number, { paths, calls, what }: Fault): Promise<Held> {
  const names = calls.join(',')
  const args = ['-f', '-qq', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${names}`].concat(
    paths.flatMap((path) => ['-P', path]),
    ['-e', `inject=${names}:${what}`],
  )
  const tracer = new TestProcess('strace', args)
  while (!isTraced(pid)) {
    if (!tracer.isRunning) throw new Error(`strace: ${tracer.stderr}`)
    await sleep(5)
  }
  const mend = async (): Promise<void> => {
    // A tracer lets go of a process when it is interrupted; calls under way then go on as they are.
    tracer.signal('SIGINT')
    await tracer.exited
  }
  return { mend, [Symbol.asyncDispose]: mend }
}

function isTraced(pid: number): boolean {
  return /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}
