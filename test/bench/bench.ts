/**
 * `npm run bench [-- SECTION…]`: ratios of alternating runs in one process tree. Absolute figures
 * move with the machine and its neighbours; ratios of adjacent runs are what is compared.
 *
 * Sections: cost, put, rotation, start, memory, backup. Needs wrk; setec's server joins in when
 * `npm run peers` has built it, and another build of Sotto when BASE is the path of its main module.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { cli, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { backupFigures, type Figure } from './backup.ts'
import {
  hasWrk,
  median,
  Poster,
  rateOf,
  requestsPerSecond,
  serve,
  type Shot,
  timed,
} from './load.ts'
import {
  bare,
  buildProgram,
  type Contestant,
  processorSeconds,
  sottoProgram,
  residentBytes,
  servingSeconds,
  setec,
  sotto,
} from './servers.ts'
import { type Surroundings, surroundings } from './surroundings.ts'

/** Pairs of runs whose ratios the median is taken of. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 8)
const SECONDS = 2
/** How long each server is under load before anything is measured: one that has just started is slower. */
const WARM_UP_SECONDS = 3

/** One line of the result. */
interface Row {
  readonly what: string
  readonly of: string
  readonly to: string
  /** The median of the ratios of adjacent runs. */
  readonly ratio: number
  readonly low: number
  readonly high: number
  /** Medians of what was measured, with its unit. */
  readonly measured: string
}

const getShot: Shot = { path: '/api/get', body: '{"Name":"prod/app/key"}', status: 200 }
const conditionalShot: Shot = {
  path: '/api/get',
  body: '{"Name":"prod/app/key","Version":1,"UpdateIfChanged":true}',
  status: 304,
}

using scratch = temporaryDirectory()
let folders = 0
let puts = 0
const sections: Record<string, () => Promise<readonly (Row | Figure)[]>> = {
  cost,
  put,
  rotation,
  start,
  memory,
  backup,
}
const asked = process.argv.slice(2).filter((arg) => arg in sections)

if (!hasWrk()) throw new Error('The bench needs wrk: on Debian, apt-get install wrk')
buildProgram()
const report: Record<string, unknown> = {}
for (const name of asked.length > 0 ? asked : Object.keys(sections)) {
  console.error(`${name} …`)
  const rows = (await sections[name]?.()) ?? []
  const around = surroundings(scratch.path)
  print(name, rows, around)
  report[name] = { ...around, rows }
}
console.log(`\n${JSON.stringify({ rounds: ROUNDS, seconds: SECONDS, sections: report })}`)

/** The rate of gets with a durable record, and of those that answer 304, and the processor time of each. */
async function cost(): Promise<Row[]> {
  return [
    ...(await compareLoad('get with durable audit', getShot)),
    ...(await compareLoad('conditional get, unchanged', conditionalShot)),
  ]
}

/** Sotto and all that it is compared with, with one secret in each. */
async function contestants(): Promise<[Contestant, ...Contestant[]]> {
  const own = await sotto(folder('sotto'))
  const base = process.env['BASE']
  const others = [
    await setec(folder('setec')),
    base === undefined ? undefined : await sotto(folder('base'), { name: 'base', main: base }),
    await bare(),
  ].filter((each) => each !== undefined)
  for (const { url } of [own, ...others]) {
    const poster = new Poster(url)
    const value = Buffer.alloc(32, 'x').toString('base64')
    await poster.post('/api/put', { Name: 'prod/app/key', Value: value })
    poster.close()
  }
  return [own, ...others]
}

async function compareLoad(what: string, shot: Shot): Promise<Row[]> {
  const rows: Row[] = []
  const all = await contestants()
  for (const { url } of all) {
    const options = { connections: 64, seconds: WARM_UP_SECONDS, scratch: scratch.path }
    await serve(url, shot, options)
  }
  for (const connections of [1, 16, 64]) {
    const costs = new Map<Contestant, number[]>(all.map((each) => [each, []]))
    const serving = new Map<Contestant, number[]>(all.map((each) => [each, []]))
    const rates = await alternate(all, async (each) => {
      const before = processorSeconds(each.pid)
      const servingBefore = servingSeconds(each.pid)
      const options = { connections, seconds: SECONDS, scratch: scratch.path }
      const served = await serve(each.url, shot, options)
      const seconds = processorSeconds(each.pid) - before
      costs.get(each)?.push((seconds / served.answers) * 1e6)
      const ofThread = servingSeconds(each.pid) - servingBefore
      serving.get(each)?.push((ofThread / served.answers) * 1e6)
      return rateOf(served)
    })
    const [own, ...others] = all
    for (const other of others) {
      const head = `${what}, ${connections} connection${connections === 1 ? '' : 's'}`
      rows.push(row(`${head}: processor time`, own, other, costs, 'µs'))
      if (other.name === 'base') {
        rows.push(row(`${head}: processor time of the serving thread`, own, other, serving, 'µs'))
      }
      rows.push(row(`${head}: rate`, own, other, rates, 'req/s'))
    }
  }
  await Promise.all(all.map((each) => each.stop()))
  return rows
}

async function put(): Promise<Row[]> {
  const rows: Row[] = []
  const sizes = [100, 5000, 10_000, 100_000]
  const servers = new Map<number, Contestant>()
  for (const size of sizes) {
    const server = await sotto(folder(`put-${size}`))
    await fill(server.url, size)
    servers.set(size, { ...server, name: `sotto at ${size}` })
  }
  const peer = await setec(folder('setec-put'))
  if (peer) await fill(peer.url, 5000, 1)
  const all = [...servers.values(), ...(peer ? [{ ...peer, name: 'setec at 5000' }] : [])]
  const times = await alternate(all, medianPut)
  const smallest = servers.get(100)
  for (const size of sizes.slice(1)) {
    rows.push(row('put, time', servers.get(size), smallest, times, 'ms'))
  }
  if (peer) rows.push(row('put, time', all.at(-1), servers.get(5000), times, 'ms'))
  await Promise.all(all.map((each) => each.stop()))
  return rows
}

/** The median time of 30 puts, one after another, new names and new versions in turn. */
async function medianPut({ url }: Contestant): Promise<number> {
  const poster = new Poster(url)
  const times: number[] = []
  for (let at = 0; at < 30; at++) {
    puts++
    const name = at % 2 === 0 ? `new/${puts}` : 'fill/1'
    const value = Buffer.alloc(1024, String(puts)).toString('base64')
    times.push(await timed(() => poster.post('/api/put', { Name: name, Value: value })))
  }
  poster.close()
  return median(times)
}

async function fill(url: string, count: number, connections = 64): Promise<void> {
  const poster = new Poster(url, connections)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const mine = next++
      const value = Buffer.alloc(1024, String(mine)).toString('base64')
      await poster.post('/api/put', { Name: `fill/${mine}`, Value: value })
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
  poster.close()
}

/** What callers notice of a rotation of the keyring, and how long it takes. */
async function rotation(): Promise<Row[]> {
  const rows: Row[] = []
  const server = await sotto(folder('rotation'))
  await fill(server.url, 20_000)
  const poster = new Poster(server.url)
  const value = Buffer.alloc(32, 'x').toString('base64')
  await poster.post('/api/put', { Name: 'prod/app/key', Value: value })
  const spare = { connections: 16, scratch: scratch.path }
  await requestsPerSecond(server.url, getShot, { ...spare, seconds: WARM_UP_SECONDS })
  const many = (): Promise<number> =>
    requestsPerSecond(server.url, getShot, { ...spare, seconds: SECONDS })
  const pairs = [
    await besideRest('get, 16 connections', poster, many),
    await besideRest('get, time, any of 20,000 secrets', poster, () => medianGet(poster)),
    await besideRest('put, time', poster, () => medianPut(server)),
  ]
  for (const [index, unit] of ['req/s', 'ms', 'ms'].entries()) {
    const { what, busy, rest, results } = pairs[index] as (typeof pairs)[0]
    rows.push(row(what, busy, rest, results, unit))
  }
  const large = await sotto(folder('rotation-large'))
  await fill(large.url, 100_000)
  const stores = [
    { name: '100,000 versions', poster: new Poster(large.url) },
    { name: '20,000 versions', poster },
  ]
  const lengths = await alternate(stores, (each) => rotated(each.poster, async () => {}))
  rows.push(row('rotation, time', stores[0], stores[1], lengths, 's'))
  for (const each of stores) each.poster.close()
  await Promise.all([server.stop(), large.stop()])
  return rows
}

/** Measures at rest and while the keyring is rotated, in turn. */
async function besideRest(what: string, poster: Poster, measure: () => Promise<number>) {
  const busy = { name: 'while rotating' }
  const rest = { name: 'at rest' }
  const rotating = async (): Promise<number> => {
    let measured = 0
    await rotated(poster, async () => {
      measured = await measure()
    })
    return measured
  }
  const results = await alternate([busy, rest], (each) => (each === busy ? rotating() : measure()))
  return { what, busy, rest, results }
}

/** Rotates the keyring, and resolves with how many seconds it took. */
async function rotated(poster: Poster, meanwhile: () => Promise<void>): Promise<number> {
  interface Status {
    readonly Entries: readonly unknown[]
  }
  const ask = async (operation: string): Promise<Status> =>
    JSON.parse(await poster.post(`/api/${operation}`, {})) as Status
  const begun = performance.now()
  await ask('key-rotate')
  await meanwhile()
  while ((await ask('key-status')).Entries.length > 1) await pause(50)
  return (performance.now() - begun) / 1000
}

/** The median time of 100 gets, one after another, of any of 20,000 secrets. */
async function medianGet(poster: Poster): Promise<number> {
  const times: number[] = []
  for (let at = 0; at < 100; at++) {
    const Name = `fill/${Math.floor(Math.random() * 20_000)}`
    times.push(await timed(() => poster.post('/api/get', { Name })))
  }
  return median(times)
}

async function start(): Promise<Row[]> {
  const server = await sotto(folder('start'))
  const poster = new Poster(server.url)
  await poster.post('/api/put', { Name: 'a', Value: 'eA==' })
  poster.close()
  const runs = [
    { name: 'node -e 0', run: () => node(['-e', '0']) },
    { name: 'sotto get', run: () => node([sottoProgram, '-s', server.url, 'get', 'a']) },
    { name: 'sotto server until it listens', run: () => startAndKill(sottoProgram) },
    { name: 'sotto get, from source', run: () => node([cli, '-s', server.url, 'get', 'a']) },
    { name: 'sotto server until it listens, from source', run: () => startAndKill(cli) },
  ]
  const times = await alternate(runs, ({ run }) => timed(run))
  await server.stop()
  return runs.slice(1).map((each) => row('time', each, runs[0], times, 'ms'))
}

async function startAndKill(main: string): Promise<void> {
  const running = await startSotto({ main })
  running.process.kill('SIGKILL')
}

async function node(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  await once(child, 'exit')
}

async function memory(): Promise<Row[]> {
  const rows: Row[] = []
  const empty = await sotto(folder('memory-empty'))
  const full = await sotto(folder('memory-full'))
  const floor = await bare()
  await fill(full.url, 100_000)
  const load = { connections: 64, seconds: SECONDS, scratch: scratch.path }
  await requestsPerSecond(full.url, { ...getShot, body: '{"Name":"fill/1"}' }, load)
  const bytes = new Map([empty, full, floor].map((each) => [each, residentBytes(each.pid)]))
  for (const [each, name] of [
    [empty, 'sotto, empty'],
    [full, 'sotto, 100,000 secrets of 1 KiB'],
  ] as const) {
    const mib = [...bytes].map(([key, value]) => [key, [value / 2 ** 20]] as const)
    rows.push(row('resident memory', { ...each, name }, floor, new Map(mib), 'MiB', each))
  }
  await Promise.all([empty, full, floor].map((each) => each.stop()))
  return rows
}

async function backup(): Promise<Figure[]> {
  return backupFigures(Math.max(1, ROUNDS >> 1), { folder, scratch: scratch.path })
}

/** Measures each in turn, ROUNDS times, in an order that alternates. */
async function alternate<T>(
  all: readonly T[],
  measure: (each: T) => Promise<number>,
): Promise<Map<T, number[]>> {
  const results = new Map<T, number[]>(all.map((each) => [each, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const each of round % 2 === 0 ? all : all.toReversed()) {
      results.get(each)?.push(await measure(each))
    }
  }
  return results
}

function row<T extends { name: string }>(
  what: string,
  own: T | undefined,
  other: T | undefined,
  results: ReadonlyMap<T, readonly number[]>,
  unit: string,
  key: T | undefined = own,
): Row {
  const mine = (key && results.get(key)) ?? []
  const theirs = (other && results.get(other)) ?? []
  const ratios = mine.map((value, at) => value / (theirs[at] ?? Number.NaN))
  const figure = (numbers: readonly number[]): string => median(numbers).toPrecision(3)
  return {
    what,
    of: own?.name ?? '',
    to: other?.name ?? '',
    ratio: median(ratios),
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    measured: `${figure(mine)} : ${figure(theirs)} ${unit}`,
  }
}

/** A fresh state directory. */
function folder(name: string): string {
  const path = join(scratch.path, `${name}-${++folders}`)
  mkdirSync(path, { mode: 0o700, recursive: true })
  return path
}

function print(
  section: string,
  rows: readonly (Row | Figure)[],
  { load, syncMedian, sync99 }: Surroundings,
): void {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const disk = `a durable write ${syncMedian.toFixed(2)} ms, 99 of 100 within ${sync99.toFixed(2)} ms`
  console.log(`\n${section}: load average ${load.toFixed(1)}, ${disk}\n`)
  console.log(line(['what', 'of', 'to', 'ratio', 'range', 'medians']))
  console.log(line(['---', '---', '---', '---', '---', '---']))
  for (const each of rows) {
    const { what, measured } = each
    if (!('ratio' in each)) console.log(line([what, '', '', '', '', measured]))
    else {
      const range = `${each.low.toFixed(2)}–${each.high.toFixed(2)}`
      console.log(line([what, each.of, each.to, each.ratio.toFixed(2), range, measured]))
    }
  }
}
