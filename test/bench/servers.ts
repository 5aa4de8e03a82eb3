/** The servers that are compared: each a child process on a port of its own. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { actions } from '../../client/api/types.ts'
import { TestProcess } from '../support/process.ts'
import { startSotto } from '../support/sotto.ts'

/** What Linux counts processor time in, whatever its own clock is. */
const TICKS_PER_SECOND = 100

/** A server under load. */
export interface Contestant {
  readonly name: string
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** The callers of both servers, told apart in the same way: by a file that each looks at again. */
export function tailnetFile(directory: string): string {
  const path = `${directory}.tailnet.json`
  const rules = [{ action: [...actions], secret: ['*'] }]
  const nodes = { '127.0.0.1': { name: 'bench', user: 'bench@example.com', rules } }
  writeFileSync(path, JSON.stringify({ nodes }))
  return path
}

/** The program as it is published, which `buildProgram` builds. */
export const sottoProgram: string = new URL('../../dist/cli/main.js', import.meta.url).pathname

/** Builds the program as it is published. */
export function buildProgram(): void {
  execFileSync('npm', ['run', '-s', 'build'], { cwd: new URL('../..', import.meta.url) })
}

/** `sotto server --dev`, run from the file `main`, with its state on the disk of `directory`. */
export async function sotto(
  directory: string,
  { name = 'sotto', main = sottoProgram }: { readonly name?: string; readonly main?: string } = {},
): Promise<Contestant> {
  const tailnet = tailnetFile(directory)
  const running = await startSotto({ args: ['--state-dir', directory, '--tailnet', tailnet], main })
  const pid = running.process.pid as number
  return { name, url: running.url, pid, stop: async () => void (await running.stop()) }
}

/** Bare node:http that reads and parses the body and answers the bytes of a get, or 304. */
export async function bare(): Promise<Contestant> {
  return started('bare', process.execPath, [new URL('bare.ts', import.meta.url).pathname])
}

/** setec's own server with its file audit log; undefined when it is not installed. */
export async function setec(directory: string): Promise<Contestant | undefined> {
  const path = new URL('../../.peers/bin/setecd', import.meta.url).pathname
  if (!existsSync(path)) return undefined
  return started('setec', path, [
    '-listen',
    '127.0.0.1:0',
    '-dir',
    directory,
    '-tailnet',
    tailnetFile(directory),
  ])
}

/** Bytes of memory that the process holds, as the kernel counts them. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

/** Seconds of processor time that all threads of the process used, in their own code and in the kernel. */
export function processorSeconds(pid: number): number {
  return secondsIn(`/proc/${pid}/stat`)
}

/** The same of the first thread alone, which serves. */
export function servingSeconds(pid: number): number {
  return secondsIn(`/proc/${pid}/task/${pid}/stat`)
}

function secondsIn(path: string): number {
  const stat = readFileSync(path, 'utf8')
  // The name of the program comes before these, in parentheses, and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

async function started(name: string, path: string, args: string[]): Promise<Contestant> {
  const server = new TestProcess(path, args)
  const [, address] = await server.line(/listening (?:on http:\/\/)?([\d.]+:\d+)/)
  return { name, url: `http://${address}`, pid: server.pid, stop: () => server.kill() }
}
