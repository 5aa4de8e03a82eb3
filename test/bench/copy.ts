/**
 * `npm run bench -- copy`: what a continuous copy by Litestream costs changes, as ratios of alternating
 * runs with and without it, and how much is lost when all of the machine ends at once. Needs the
 * peers.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type Copying, startLitestream } from '../interop/litestream.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { median, Poster, timed } from './load.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 8)
const SECONDS = 3
const WRITERS = 8

/** What one run of changes came to. */
interface Run {
  readonly perSecond: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly longestMs: number
}

using scratch = temporaryDirectory()
let folders = 0
let puts = 0

await cost()
await loss()

/** Two servers, the one with a copy, under the same load in turn. */
async function cost(): Promise<void> {
  const without = await server()
  const copied = await server()
  const copying = startLitestream(copied.state, join(copied.path, 'replica'))
  const runs = new Map([without, copied].map((each) => [each, [] as Run[]]))
  for (const each of [without, copied]) await load(each.url)
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? [without, copied] : [copied, without]
    for (const each of order) runs.get(each)?.push(await load(each.url))
  }
  const pairs = (runs.get(copied) ?? []).map((mine, at) => [mine, runs.get(without)?.[at]] as const)
  console.log('| with a copy to without | ratio | range | medians |\n| --- | --- | --- | --- |')
  for (const [what, key] of [
    ['changes a second', 'perSecond'],
    ['time of a change, median', 'medianMs'],
    ['time of a change, 99 of 100', 'p99Ms'],
    ['longest time of a change', 'longestMs'],
  ] as const) {
    const ratios = pairs.map(([mine, other]) => mine[key] / (other?.[key] ?? Number.NaN))
    const [own, theirs] = [copied, without].map((each) =>
      median((runs.get(each) ?? []).map((run) => run[key])).toPrecision(3),
    )
    const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`
    console.log(`| ${what} | ${median(ratios).toFixed(2)} | ${range} | ${own} : ${theirs} |`)
  }
  await Promise.all([copying.kill(), copied.kill(), without.kill()])
}

/** Kills the server and Litestream at a random instant under load, and counts what the copy lacks. */
async function loss(): Promise<void> {
  const windows: number[] = []
  const counts: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const each = await server()
    const copying = startLitestream(each.state, join(each.path, 'replica'))
    const acknowledged: number[] = []
    const loading = writers(
      each.url,
      () => true,
      () => acknowledged.push(performance.now()),
    ).catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 3000 + Math.random() * 1000))
    const killed = performance.now()
    await Promise.all([copying.kill(), each.kill()])
    await loading
    const has = revisionOf(copying, join(each.path, 'copy.db'))
    counts.push(Math.max(0, acknowledged.length - has))
    windows.push(has < acknowledged.length ? killed - (acknowledged[has] ?? killed) : 0)
  }
  const ms = (value: number): string => `${Math.round(value)} ms`
  console.log(
    `\nlost: ${ms(median(windows))} of changes, at most ${ms(Math.max(...windows))}; ` +
      `${median(counts)} changes, at most ${Math.max(...counts)}, in ${ROUNDS} kills`,
  )
}

async function server() {
  const path = join(scratch.path, String(++folders))
  const state = join(path, 'state')
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const running = await startSotto({ args: ['--state-dir', state] })
  return { path, state, url: running.url, kill: () => running.kill() }
}

async function load(url: string): Promise<Run> {
  const times: number[] = []
  const end = performance.now() + SECONDS * 1000
  await writers(
    url,
    () => performance.now() < end,
    (ms) => times.push(ms),
  )
  const sorted = times.toSorted((a, b) => a - b)
  return {
    perSecond: times.length / SECONDS,
    medianMs: median(times),
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
    longestMs: sorted.at(-1) ?? Number.NaN,
  }
}

/** Puts values of 1 KiB, new names and new versions in turn, and tells how long each took. */
async function writers(
  url: string,
  more: () => boolean,
  done: (ms: number) => void,
): Promise<void> {
  const poster = new Poster(url, WRITERS)
  const writer = async (): Promise<void> => {
    while (more()) {
      puts++
      const name = puts % 2 === 0 ? `new/${puts}` : `again/${puts % 64}`
      const value = Buffer.alloc(1024, String(puts)).toString('base64')
      done(await timed(() => poster.post('/api/put', { Name: name, Value: value })))
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, writer)).finally(() => poster.close())
}

/** How many changes the copy has. */
function revisionOf(copying: Copying, path: string): number {
  copying.restore(path)
  const db = new Database(path, { readonly: true })
  const row = db.prepare<[], { revision: number }>('SELECT revision FROM meta').get()
  db.close()
  return row?.revision ?? 0
}
