/**
 * What watchers cost, and how soon they hear of a change: `npm run bench -- watch [SECTION…]`. Sections: `told`, `held`,
 * `idle`, `restart`. The watchers are a process of their own, beside the server: with two cores each has one.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { everything } from '../support/service.ts'
import { startServerProcess, type Running, temporaryDirectory } from '../support/sotto.ts'
import { hasWrk, Poster, serve, type Shot } from './load.ts'
import {
  buildProgram,
  processorSeconds,
  residentBytes,
  servingSeconds,
  sottoProgram,
} from './servers.ts'
import { printSpread } from './spread.ts'
import { surroundings } from './surroundings.ts'
import { NAME, nodeAddress, type WatchersNews } from './watchers.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 8)
const MANY = Number(process.env['WATCHERS'] ?? 4000)
const SECONDS = 2
/** For how long idle watchers are looked at: several heartbeats. */
const IDLE_SECONDS = 60
const NODES = 128
const shot: Shot = { path: '/api/get', body: JSON.stringify({ Name: NAME }), status: 200 }

const sections: Record<string, () => Promise<void>> = { told, held, idle, restart }
const asked = process.argv.slice(2).filter((arg) => arg in sections)

if (!hasWrk()) throw new Error('The bench needs wrk: on Debian, apt-get install wrk')
buildProgram()
using scratch = temporaryDirectory()
let folders = 0
for (const name of asked.length > 0 ? asked : Object.keys(sections)) {
  const { load, syncMedian } = surroundings(scratch.path)
  console.log(`${name}: load ${load.toFixed(1)}, a durable write ${syncMedian.toFixed(2)} ms`)
  await sections[name]?.()
}

/** From before an activation is sent until each of 1,000 watchers is told. */
async function told(): Promise<void> {
  await changes('raw', 'told of a change')
}

/** The same until each of 1,000 stores holds the value. */
async function held(): Promise<void> {
  await changes('stores', 'holding the new value')
}

async function changes(how: 'raw' | 'stores', what: string): Promise<void> {
  const server = await start()
  const crowd = await gather(server.url, 1000, how)
  const poster = new Poster(server.url)
  const times: number[] = []
  for (let version = 2; version < 2 + ROUNDS * 4; version++) {
    await poster.post('/api/put', { Name: NAME, Value: valueOf(version) })
    const sent = Number(process.hrtime.bigint()) / 1e6
    const all = next(crowd, (news) =>
      news.kind === 'told' && news.version === version ? news : undefined,
    )
    await poster.post('/api/activate', { Name: NAME, Version: version })
    times.push(...(await all).at.map((at) => at - sent))
  }
  poster.close()
  printSpread(`1,000 watchers, ${what}`, times, 'ms')
  await end(crowd, server)
}

/**
 * What so many idle watchers cost: memory, heartbeats, and the gets of others. Two processes of one program differ by
 * more than the watchers cost: each pair of rounds has new ones.
 */
async function idle(): Promise<void> {
  const ratios: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const [busy, quiet] = [await start(), await start()]
    for (const each of [busy, quiet]) await warm(each)
    const before = residentBytes(pidOf(busy))
    const crowd = await gather(busy.url, MANY, 'raw')
    if (round === 0) await rest(busy, quiet, before)
    const cost = new Map<Running, number>([
      [busy, 0],
      [quiet, 0],
    ])
    for (const each of round % 2 === 0 ? [busy, quiet, quiet, busy] : [quiet, busy, busy, quiet]) {
      cost.set(each, (cost.get(each) ?? 0) + (await costOf(each)))
    }
    ratios.push((cost.get(busy) ?? 0) / (cost.get(quiet) ?? 0))
    await end(crowd, busy, quiet)
  }
  printSpread('  the serving thread per get, with them to without', ratios, '')
}

/** What they cost while nothing is asked: `before` is the memory of `busy` without them, in bytes. */
async function rest(busy: Running, quiet: Running, before: number): Promise<void> {
  const kib = (residentBytes(pidOf(busy)) - before) / 1024 / MANY
  console.log(`  ${MANY} idle watchers: ${kib.toFixed(1)} KiB each`)
  const used = processorSeconds(pidOf(busy))
  const usedQuiet = processorSeconds(pidOf(quiet))
  await pause(IDLE_SECONDS * 1000)
  const share = (processorSeconds(pidOf(busy)) - used) / IDLE_SECONDS
  const shareQuiet = (processorSeconds(pidOf(quiet)) - usedQuiet) / IDLE_SECONDS
  console.log(
    `  heartbeats: ${((share - shareQuiet) * 100).toFixed(2)} % of a core (at rest ${(shareQuiet * 100).toFixed(2)} %)`,
  )
}

/** From the end of a server with so many stores until all are told of changes again by the next one. */
async function restart(): Promise<void> {
  const server = await start()
  const crowd = await gather(server.url, MANY, 'stores')
  const began = performance.now()
  await server.stop()
  const again = await start({ port: server.port, state: server.state })
  await ready(crowd)
  console.log(
    `  ${MANY} stores: all back after ${((performance.now() - began) / 1000).toFixed(1)} s`,
  )
  await end(crowd, again)
}

/** Microseconds of the serving thread per get, at 64 connections. */
async function costOf(server: Running): Promise<number> {
  const before = servingSeconds(pidOf(server))
  const { answers } = await serve(server.url, shot, options(SECONDS))
  return ((servingSeconds(pidOf(server)) - before) / answers) * 1e6
}

async function warm(server: Running): Promise<void> {
  await serve(server.url, shot, options(3))
}

function options(seconds: number) {
  return { connections: 64, seconds, scratch: scratch.path }
}

type Started = Running & { readonly state: string }

/** A server with one secret and a node for each address of the watchers. */
async function start(again: { port?: number; state?: string } = {}): Promise<Started> {
  const state = again.state ?? join(scratch.path, `state-${++folders}`)
  if (again.state === undefined) mkdirSync(state, { mode: 0o700 })
  const nodes = Object.fromEntries(
    ['127.0.0.1', ...Array.from({ length: NODES }, (_, at) => nodeAddress(at))].map((address) => [
      address,
      { name: `n${address.replaceAll('.', '-')}`, user: 'bench@example.com', rules: [everything] },
    ]),
  )
  const tailnet = `${state}.json`
  writeFileSync(tailnet, JSON.stringify({ nodes }))
  const args = ['--dev', '--listen', `127.0.0.1:${again.port ?? 0}`]
  const running = await startServerProcess([...args, '--state-dir', state, '--tailnet', tailnet], {
    main: sottoProgram,
  })
  if (again.state === undefined) {
    const poster = new Poster(running.url)
    await poster.post('/api/put', { Name: NAME, Value: valueOf(1) })
    poster.close()
  }
  return { ...running, state }
}

/** So many watchers in a process of their own, connected and told everything. */
async function gather(url: string, count: number, how: 'raw' | 'stores'): Promise<ChildProcess> {
  const crowd = fork(new URL('watchers.ts', import.meta.url), [url, String(count), how])
  await ready(crowd)
  return crowd
}

function ready(crowd: ChildProcess): Promise<unknown> {
  return next(crowd, (news) => (news.kind === 'ready' ? news : undefined))
}

/** The next of the news that `pick` takes. Rejects when the watchers end. */
async function next<T>(
  crowd: ChildProcess,
  pick: (news: WatchersNews) => T | undefined,
): Promise<T> {
  const found = Promise.withResolvers<T>()
  const hear = (news: WatchersNews): void => {
    const picked = pick(news)
    if (picked !== undefined) found.resolve(picked)
  }
  const gone = (): void => found.reject(new Error('The watchers ended'))
  crowd.on('message', hear).once('exit', gone)
  try {
    return await found.promise
  } finally {
    crowd.off('message', hear).off('exit', gone)
  }
}

async function end(crowd: ChildProcess, ...servers: Running[]): Promise<void> {
  const gone = once(crowd, 'exit')
  crowd.kill('SIGKILL')
  await gone
  await Promise.all(servers.map((server) => server.stop()))
}

function valueOf(version: number): string {
  return Buffer.from(`value ${version}`).toString('base64')
}

function pidOf(server: Running): number {
  return server.process.pid as number
}
