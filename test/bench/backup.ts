/** What backups take with 100,000 secrets of 1 KiB, and what a server that makes them serves meanwhile. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cli } from '../support/sotto.ts'
import { makeFilled } from './filled.ts'
import { median, Poster, requestsPerSecond, type Shot, timed } from './load.ts'
import { tailnetFile } from './servers.ts'

const SECRETS = 100_000

/** One figure. */
export interface Figure {
  readonly what: string
  readonly measured: string
}

/** Measures `rounds` times; `folder` gives fresh directories, `scratch` holds them. */
export async function backupFigures(
  rounds: number,
  { folder, scratch }: { folder: (name: string) => string; scratch: string },
): Promise<Figure[]> {
  const state = folder('filled')
  await makeFilled(state, SECRETS)
  const backups = folder('backups')
  return [
    ...(await commands(rounds, state, backups)),
    ...(await serving(rounds, { state, backups, scratch })),
  ]
}

/** The commands on files, each a process of its own. */
async function commands(rounds: number, state: string, backups: string): Promise<Figure[]> {
  const times = new Map<string, number[]>()
  const memory = new Map<string, number[]>()
  const run = async (what: string, args: readonly string[]): Promise<string> => {
    const { output, ms, peakMiB } = await measured(args)
    times.set(what, [...(times.get(what) ?? []), ms])
    memory.set(what, [...(memory.get(what) ?? []), peakMiB])
    return output
  }
  for (let round = 0; round < rounds; round++) {
    const to = ['--to', backups, '--state-dir', state]
    const name = (await run('sotto backup create', ['backup', 'create', ...to])).trim()
    const file = join(backups, name)
    const key = ['--key-file', join(state, 'local.key')]
    await run('sotto backup verify', ['backup', 'verify', file, ...key])
    const restored = `${state}-restored-${round}`
    await run('sotto restore', ['restore', file, '--to', restored, ...key])
    rmSync(restored, { recursive: true })
    rmSync(file)
  }
  return [...times].map(([what, each]) => ({
    what: `${what}, ${SECRETS.toLocaleString('en')} secrets of 1 KiB`,
    measured: `${seconds(each)}, at most ${Math.max(...(memory.get(what) ?? [])).toFixed(0)} MiB of memory`,
  }))
}

/** Gets and puts of a server that makes backups without a pause, beside those of one that does not. */
async function serving(
  rounds: number,
  { state, backups, scratch }: { state: string; backups: string; scratch: string },
): Promise<Figure[]> {
  const program = new URL('backed-up.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [program, state, tailnetFile(state), backups], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => String((await lines.next()).value)
  const url = (await line()).replace('listening on ', '')
  const taken: number[] = []
  const backUp = async (): Promise<void> => {
    child.stdin.write('backup\n')
    taken.push(Number((await line()).replace('backed up in ', '')))
  }
  /** Runs `task` while backups are made one after another, or while none is. */
  const beside = async <T>(during: boolean, task: () => Promise<T>): Promise<T> => {
    const busy = { on: during }
    const backing = (async () => {
      while (busy.on) await backUp()
    })()
    const result = await task()
    busy.on = false
    await backing
    return result
  }
  const shot: Shot = { path: '/api/get', body: '{"Name":"fill/1"}', status: 200 }
  const load = { connections: 64, seconds: 2, scratch }
  await requestsPerSecond(url, shot, load)
  const ratios: number[] = []
  const puts: Record<'with' | 'without', number[]> = { with: [], without: [] }
  for (let round = 0; round < rounds; round++) {
    const calm = await requestsPerSecond(url, shot, load)
    ratios.push((await beside(true, () => requestsPerSecond(url, shot, load))) / calm)
    puts.without.push(...(await beside(false, () => putTimes(url, round * 2))))
    puts.with.push(...(await beside(true, () => putTimes(url, round * 2 + 1))))
  }
  child.kill()
  await once(child, 'exit')
  const put = (times: readonly number[]): string =>
    `${median(times).toFixed(1)} ms, the longest ${Math.max(...times).toFixed(0)} ms`
  return [
    { what: 'a backup by a server under load', measured: seconds(taken) },
    {
      what: 'gets of 64 connections while backups are made without a pause, to those while none is',
      measured: `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`,
    },
    { what: 'a put while none is made', measured: put(puts.without) },
    { what: 'a put while one is made', measured: put(puts.with) },
  ]
}

/** How long each of many puts takes, one after another. */
async function putTimes(url: string, run: number): Promise<number[]> {
  const poster = new Poster(url)
  const times: number[] = []
  for (let at = 0; at < 200; at++) {
    const value = Buffer.alloc(1024, `${run}/${at}`).toString('base64')
    times.push(await timed(() => poster.post('/api/put', { Name: `fill/${at + 1}`, Value: value })))
  }
  poster.close()
  return times
}

/** Runs the program and tells what it printed, how long it took, and the most memory it held. */
async function measured(
  args: readonly string[],
): Promise<{ output: string; ms: number; peakMiB: number }> {
  const start = performance.now()
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  let peakMiB = 0
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      // A process that has just ended has no such line.
      peakMiB = Math.max(peakMiB, Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024)
    } catch {
      // It is gone.
    }
  }, 20)
  await once(child, 'close')
  clearInterval(look)
  if (child.exitCode !== 0) throw new Error(`sotto ${args.join(' ')} failed`)
  return { output, ms: performance.now() - start, peakMiB }
}

function seconds(times: readonly number[]): string {
  return `${(median(times) / 1000).toFixed(1)} s (${(Math.min(...times) / 1000).toFixed(1)}–${(Math.max(...times) / 1000).toFixed(1)})`
}
