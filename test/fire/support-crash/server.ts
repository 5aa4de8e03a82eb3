/** The real server as a child process that may be killed before it ever serves. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TestProcess } from '../../support/process.ts'
import { serverCommand } from '../../support/sotto.ts'
import type { Program } from './build.ts'

/** How a server is started. */
export interface SpawnOptions {
  readonly state: string
  /** The development tailnet's file; absent for the default tailnet. */
  readonly tailnet?: string
  /** More arguments. */
  readonly args?: readonly string[]
  /** A program with its arguments that runs the server, such as a tracer; absent for none. */
  readonly under?: readonly string[]
  /** Absent for the sources. */
  readonly program?: Program
}

/** A server that was started; the process is the program that it runs under, if there is one. */
export class ServerProcess extends TestProcess {
  /** The port once it serves; undefined when it ended before. */
  readonly ready: Promise<number | undefined>
  readonly #state: string

  constructor({ state, tailnet, args: more = [], under, program }: SpawnOptions) {
    const args = ['--dev', '--listen', '127.0.0.1:0', '--state-dir', state, ...more]
    if (tailnet !== undefined) args.push('--tailnet', tailnet)
    const made = program && { main: program.cli, env: program.env }
    super(...serverCommand(args, { ...made, ...(under && { under }) }))
    this.#state = state
    this.ready = this.firstLine().then(
      (line) => Number(/^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1]) || undefined,
      () => undefined,
    )
  }

  /** The server's own process id, also under another program, once it owns its directory. */
  get serverPid(): number {
    return Number(readFileSync(join(this.#state, 'lock.pid'), 'utf8'))
  }

  /** The port, or an error with what the server said when it ended before it served. */
  async demandReady(): Promise<number> {
    const port = await this.ready
    if (port !== undefined) return port
    const { exitCode } = this.child
    throw new Error(`The server ended with ${exitCode} before it served:\n${this.stderr}`)
  }
}
