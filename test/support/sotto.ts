/** Runs the real program for tests: the same command line that a person types, as a child process. */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Finished, run, TestProcess } from './process.ts'

export type { Finished } from './process.ts'

/** The command line from source, as `npm run sotto --` runs it. */
export const cli: string = new URL('../../cli/main.ts', import.meta.url).pathname

/** A running server and what it said so far. */
export interface Running {
  readonly url: string
  readonly port: number
  readonly process: ChildProcess
  /** Everything printed so far. */
  output(): { stdout: string; stderr: string }
  /** Asks it to stop as an operator would (SIGTERM) and resolves with its exit code. */
  stop(): Promise<number | null>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

/** How to start a server. */
export interface StartOptions {
  /** Arguments after `sotto server --dev`. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Arguments to Node itself, before the program. */
  readonly node?: readonly string[]
  /** The program's main module. Default: the one in the sources. */
  readonly main?: string
  /** A program with its arguments that runs the server, such as a tracer. */
  readonly under?: readonly string[]
}

/** Starts `sotto server --dev` on a free port and resolves once its first line says where. */
export async function startSotto({ args = [], ...options }: StartOptions = {}): Promise<Running> {
  return startServerProcess(['--dev', '--listen', '127.0.0.1:0', ...args], options)
}

/** Starts `sotto server ARGS` and resolves once its first line says where, with a port. */
export async function startServerProcess(
  args: readonly string[],
  options: Omit<StartOptions, 'args'> = {},
): Promise<Running> {
  const server = new TestProcess(...serverCommand(args, options))
  const line = await server.firstLine()
  const [, url = '', port] = /^listening on (https?:\/\/\S+:(\d+))$/.exec(line) ?? []
  if (port === undefined) {
    await server.kill()
    throw new Error(`sotto server did not start: ${server.output}`)
  }
  return {
    url,
    port: Number(port),
    process: server.child,
    output: () => ({ stdout: server.stdout, stderr: server.stderr }),
    stop: () => server.stop(),
    kill: () => server.kill(),
  }
}

/** What starts `sotto server ARGS`: the arguments of TestProcess. */
export function serverCommand(
  args: readonly string[],
  { node = [], env = {}, main = cli, under = [] }: Omit<StartOptions, 'args'> = {},
): ConstructorParameters<typeof TestProcess> {
  const words = [...under, process.execPath, ...node, main, 'server', ...args]
  const [program, ...rest] = words as [string, ...string[]]
  return [program, rest, { env }]
}

/** Runs `sotto ARGS` to its end, with `input` on a piped stdin (empty when absent). */
export async function runSotto(
  args: readonly string[],
  { input = '', env = {} }: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Finished> {
  return run(process.execPath, [cli, ...args], { input, env })
}

/** A directory that goes away when the scope ends (`using`). */
export function temporaryDirectory(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'sotto-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** A PATH on which `sotto` is the command line from source, by a file in `folder`. */
export function pathWithSotto(folder: string): string {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'sotto'), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`, {
    mode: 0o755,
  })
  return `${bin}:${process.env['PATH']}`
}
