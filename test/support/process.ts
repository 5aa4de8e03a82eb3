/** Starts programs for tests, without settings of ours; collects what they print, and ends them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** How a program is started. */
export interface ProcessOptions {
  readonly cwd?: string
  /** Added to the environment of the tests; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The whole environment, in place of that of the tests. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Runs as this user, and the group of the same number: only root can. */
  readonly uid?: number
  /** What it reads from stdin. Absent: stdin is not there (`/dev/null`). */
  readonly input?: string | Uint8Array | Readable
}

/** What a program that ended printed. */
export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Processes that run: none outlives a run of the tests that is cut short. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A program that was started. It is killed at the end of the scope (`await using`). */
export class TestProcess implements AsyncDisposable {
  readonly child: ChildProcess
  /** Its exit code, null when a signal ended it; all that it printed is there by then. */
  readonly exited: Promise<number | null>
  readonly #name: string
  readonly #printed: { readonly stdout: boolean; readonly chunk: Buffer }[] = []
  /** Resolves with the next chunk. */
  #more = Promise.withResolvers<void>()

  constructor(program: string, args: readonly string[], options: ProcessOptions = {}) {
    const { cwd, env, environment = cleanEnvironment(), uid, input } = options
    this.#name = [program, ...args].join(' ')
    this.child = spawn(program, args, {
      cwd,
      ...(uid !== undefined && { uid, gid: uid }),
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...environment, ...env },
    })
    const { child } = this
    running.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      const stdout = stream === child.stdout
      stream?.on('data', (chunk: Buffer) => {
        this.#printed.push({ stdout, chunk })
        this.#more.resolve()
        this.#more = Promise.withResolvers()
      })
    }
    // A program that ends without reading its input is judged by how it ends.
    child.stdin?.on('error', () => {})
    if (input instanceof Readable) input.pipe(child.stdin as NonNullable<typeof child.stdin>)
    else child.stdin?.end(input)
    this.exited = once(child, 'close').then(() => child.exitCode)
    this.exited.catch(() => {}).finally(() => running.delete(child))
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.#name} did not start`)
    return this.child.pid
  }

  /** Whether it has not ended. */
  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** What it printed so far. */
  get stdout(): string {
    return this.stdoutBytes.toString()
  }

  get stdoutBytes(): Buffer {
    return Buffer.concat(this.#printed.flatMap(({ stdout, chunk }) => (stdout ? [chunk] : [])))
  }

  get stderr(): string {
    return Buffer.concat(
      this.#printed.flatMap(({ stdout, chunk }) => (stdout ? [] : [chunk])),
    ).toString()
  }

  /** Both streams, as they came. */
  get output(): string {
    return Buffer.concat(this.#printed.map(({ chunk }) => chunk)).toString()
  }

  /** Resolves with the first line of stdout. Rejects when the program ends before. */
  async firstLine(): Promise<string> {
    const [line] = await this.#find(/^.*$/, () => [this.stdout])
    return line
  }

  /** Resolves with the match of the first line, on either stream, that fits `pattern`. Rejects when the program ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#find(pattern, () => [this.stdout, this.stderr])
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null> {
    this.signal('SIGTERM')
    return this.exited
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }

  /** SIGSTOP; resolves when no thread of it runs any more, or it is gone. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP')
    const threads = `/proc/${this.pid}/task`
    const runs = (thread: string): boolean => {
      try {
        return !/^.*\) [TtZX] /.test(readFileSync(`${threads}/${thread}/stat`, 'utf8'))
      } catch {
        return false
      }
    }
    while (existsSync(threads) && readdirSync(threads).some(runs)) await sleep(1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  async #find(pattern: RegExp, texts: () => string[]): Promise<RegExpExecArray> {
    for (;;) {
      // What follows the last newline is not a whole line yet.
      const lines = texts().flatMap((text) => text.split('\n').slice(0, -1))
      for (const line of lines) {
        const found = pattern.exec(line)
        if (found) return found
      }
      const more = this.#more.promise.then(() => true)
      if (!(await Promise.race([more, this.exited.then(() => false)]))) {
        const code = this.child.exitCode ?? this.child.signalCode
        throw new Error(`${this.#name} ended with ${code}:\n${this.output}`)
      }
    }
  }
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<Finished> {
  const started = new TestProcess(program, args, options)
  const code = await started.exited
  return { code, stdout: started.stdout, stderr: started.stderr }
}

/** The environment without settings of ours, so that a test says all that it depends on. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SOTTO|SETEC)_/.test(name)),
  )
}
