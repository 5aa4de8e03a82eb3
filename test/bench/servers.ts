/** The servers that are compared: each a child process on a port of its own. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { actions } from '../../client/api/types.ts'
import { TestProcess } from '../support/process.ts'
import { startSotto } from '../support/sotto.ts'

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

/** Sotto as `sotto server --dev` runs it, with its state on the disk of `directory`. */
export async function sotto(directory: string): Promise<Contestant> {
  const tailnet = tailnetFile(directory)
  const running = await startSotto({ args: ['--state-dir', directory, '--tailnet', tailnet] })
  const pid = running.process.pid as number
  return { name: 'sotto', url: running.url, pid, stop: async () => void (await running.stop()) }
}

/** Bare node:http that answers the bytes of a get. */
export async function bare(): Promise<Contestant> {
  return started('bare', process.execPath, [new URL('bare.ts', import.meta.url).pathname])
}

/** setec's own server with its file audit log; undefined when it is not installed. */
export async function setec(directory: string): Promise<Contestant | undefined> {
  const program = new URL('../../.peers/bin/setecd', import.meta.url).pathname
  if (!existsSync(program)) return undefined
  return started('setec', program, [
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

async function started(name: string, program: string, args: string[]): Promise<Contestant> {
  const server = new TestProcess(program, args)
  const [, address] = await server.line(/listening (?:on http:\/\/)?([\d.]+:\d+)/)
  return { name, url: `http://${address}`, pid: server.pid, stop: () => server.kill() }
}
