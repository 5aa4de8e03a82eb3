/** The real server as a child process that may be killed before it ever serves. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli } from '../../support/sotto.ts'
import type { Program } from './build.ts'

/** How a server is started. */
export interface SpawnOptions {
  readonly state: string
  /** The development tailnet's file; absent for the default tailnet. */
  readonly tailnet?: string
  /** A program with its arguments that runs the server, such as a tracer; absent for none. */
  readonly under?: readonly string[]
  /** Absent for the sources. */
  readonly program?: Program
}

/** A server that was started. */
export class ServerProcess {
  readonly child: ChildProcess
  /** The port once it serves; undefined when it ended before. */
  readonly ready: Promise<number | undefined>
  readonly exited: Promise<unknown>
  readonly #state: string
  #stderr = ''

  constructor({ state, tailnet, under = [], program }: SpawnOptions) {
    const args = [
      program?.cli ?? cli,
      'server',
      '--dev',
      '--listen',
      '127.0.0.1:0',
      '--state-dir',
      state,
    ]
    if (tailnet !== undefined) args.push('--tailnet', tailnet)
    const [command = process.execPath, ...rest] = [...under, process.execPath, ...args]
    this.#state = state
    this.child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment(), ...program?.env },
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.exited = once(this.child, 'close')
    const lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })
    const first = new Promise<string>((resolve) => lines.once('line', resolve))
    this.ready = Promise.race([first, this.exited.then(() => '')]).then((line) => {
      const port = Number(/^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1])
      return port > 0 ? port : undefined
    })
  }

  /** The server's own process id, also under another program, once it owns its directory. */
  get pid(): number {
    return Number(readFileSync(join(this.#state, 'lock.pid'), 'utf8'))
  }

  /** What it said to the operator so far. */
  get stderr(): string {
    return this.#stderr
  }

  /** The port, or an error with what the server said when it ended before it served. */
  async demandReady(): Promise<number> {
    const port = await this.ready
    if (port !== undefined) return port
    throw new Error(
      `The server ended with ${this.child.exitCode} before it served:\n${this.stderr}`,
    )
  }

  /** Sends a signal to the program that was spawned. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** SIGSTOP; resolves when no thread of it runs any more, or it is gone. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP')
    const threads = `/proc/${this.child.pid}/task`
    const runs = (thread: string): boolean => {
      try {
        return !/^.*\) [TtZX] /.test(readFileSync(join(threads, thread, 'stat'), 'utf8'))
      } catch {
        return false
      }
    }
    while (existsSync(threads) && readdirSync(threads).some(runs)) await sleep(1)
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }

  /** SIGTERM; resolves with the exit code when it is gone. */
  async stop(): Promise<number | null> {
    this.signal('SIGTERM')
    await this.exited
    return this.child.exitCode
  }
}

/** The environment without settings of ours. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SOTTO|SETEC)_/.test(name)),
  )
}
