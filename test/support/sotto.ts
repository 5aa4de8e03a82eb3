/** Runs the real program for tests: the same command line that a person types, as a child process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

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
}

/** Starts `sotto server --dev` on a free port and resolves once its first line says where. */
export async function startSotto({ args = [], ...options }: StartOptions = {}): Promise<Running> {
  return startServerProcess(['--dev', '--listen', '127.0.0.1:0', ...args], options)
}

/** Starts `sotto server ARGS` and resolves once its first line says where, with a port. */
export async function startServerProcess(
  args: readonly string[],
  { node = [], env, main = cli }: Omit<StartOptions, 'args'> = {},
): Promise<Running> {
  const child = spawn(process.execPath, [...node, main, 'server', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), ...env },
  })
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const first = new Promise<string>((resolve) => lines.once('line', resolve))
  lines.on('line', (line) => (stdout += `${line}\n`))
  const line = await Promise.race([first, exited.then(() => undefined)])
  const [, url = '', port] = /^listening on (https?:\/\/\S+:(\d+))$/.exec(line ?? '') ?? []
  if (port === undefined) {
    child.kill('SIGKILL')
    throw new Error(`sotto server did not start: ${line ?? ''}\n${stderr}`)
  }
  return {
    url,
    port: Number(port),
    process: child,
    output: () => ({ stdout, stderr }),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await exited
      return child.exitCode
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** What a finished command said. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `sotto ARGS` to its end, with `input` on a piped stdin (empty when absent). */
export async function runSotto(
  args: readonly string[],
  options: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [cli, ...args], {
    stdio: 'pipe',
    env: { ...cleanEnvironment(), ...options.env },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  await once(child, 'close')
  return { code: child.exitCode, stdout, stderr }
}

/** A directory that goes away when the scope ends (`using`). */
export function temporaryDirectory(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'sotto-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** The environment without settings of ours, so that a test says all that it depends on. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SOTTO|SETEC)_/.test(name)),
  )
}
