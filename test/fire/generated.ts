/**
 * Sends requests that are made up, well-formed and not, to a real server and holds every answer
 * against what the wire promises:
 *   npm run fire -- generated --count 1000000 --seed 1
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TailnetFile } from '../../server/identity/development.ts'
import { askOnce } from '../http/raw.ts'
import { everything } from '../support/service.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { folderOf, Fuzzer, type Kind, type Tally } from './support-generated/fuzzer.ts'
import { argumentsOf, type Growth, Memory } from './support-generated/memory.ts'

/** So many callers of each kind, each with a connection, and the part of the requests of each kind. */
const parts: Readonly<Record<Kind, { callers: number; share: number }>> = {
  owner: { callers: 40, share: 0.78 },
  mutant: { callers: 10, share: 0.12 },
  powerless: { callers: 2, share: 0.05 },
  stranger: { callers: 2, share: 0.05 },
}

const callers = (Object.keys(parts) as Kind[]).flatMap((kind, at) => {
  const { callers: number, share } = parts[kind]
  return Array.from({ length: number }, (_, count) => {
    return { from: `127.0.${at + 1}.${count + 1}`, kind, share: share / number }
  })
})

/** Sees every name and may do nothing else. */
const OVERSEER = '127.0.5.1'

const tailnet: TailnetFile = {
  nodes: {
    ...Object.fromEntries(
      callers
        .filter(({ kind }) => kind !== 'stranger')
        .map(({ from, kind }) => [
          from,
          {
            name: kind,
            user: `${from}@example.com`,
            rules: kind === 'powerless' ? [] : [{ ...everything, secret: [`${folderOf(from)}*`] }],
          },
        ]),
    ),
    [OVERSEER]: { name: 'overseer', tags: ['tag:o'], rules: [{ action: ['info'], secret: ['*'] }] },
  },
}

/** What a run saw. */
export interface Generated extends Omit<Tally, 'stopped'> {
  readonly memory: Growth
}

/** MiB that may come to be in use after the warm-up: what is cached for as long as there is room. */
const LIVE_MIB = 12
/** MiB by which resident memory may grow after the warm-up, by its trend. */
const RESIDENT_MIB = 128

/**
 * Sends about `count` requests. Rejects with the first answer that is wrong and how to repeat it; when
 * the server said anything to its operator beside that strangers called; and when its memory grows.
 */
export async function generated(count: number, seed: number): Promise<Generated> {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'tailnet.json')
  writeFileSync(file, JSON.stringify(tailnet))
  const state = join(directory.path, 'state')
  const told = join(directory.path, 'memory')
  const args = ['--state-dir', state, '--tailnet', file]
  const server = await startSotto({ args, ...argumentsOf(told) })
  const tally = { requests: 0, statuses: new Map(), connections: 0, slowest: 0, stopped: false }
  const memory = new Memory(server.process.pid as number, told)
  let warm: Promise<void> | undefined
  const watch = setInterval(() => {
    memory.read(tally.requests)
    if (tally.requests > count / 3) warm ??= memory.readLive()
  }, 250)
  try {
    const fuzzers = callers.map(
      ({ share, ...who }, at) =>
        new Fuzzer({
          ...who,
          url: server.url,
          seed: seed + at * 1_000_003,
          count: Math.round(count * share),
          tally,
        }),
    )
    const ends = await Promise.allSettled(fuzzers.map((fuzzer) => fuzzer.run()))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    memory.read(tally.requests)
    await warm
    await memory.readLive()
    await checkAll(server.url, fuzzers)
    await server.stop()
    checkSaid(server.output().stderr)
    const growth = memory.judge()
    const { live, trend } = growth
    if (live[1] - live[0] > LIVE_MIB || trend > RESIDENT_MIB) {
      throw new Error(`memory grew: ${JSON.stringify(growth)}`)
    }
    const { stopped: _, ...seen } = tally
    return { ...seen, memory: growth }
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
  } finally {
    clearInterval(watch)
    await server.kill()
  }
}

/** Fails unless the store has what its callers know of, and nothing else. */
async function checkAll(url: string, fuzzers: readonly Fuzzer[]): Promise<void> {
  const head = { target: '/api/list', body: '{}' }
  const { body } = await askOnce(url, head, OVERSEER)
  const known = fuzzers.flatMap(({ list }) => JSON.parse(list) as { Name: string }[])
  const names = (items: readonly { Name: string }[]) =>
    JSON.stringify(items.map((item) => JSON.stringify(item)).toSorted())
  if (names(JSON.parse(body) as { Name: string }[]) !== names(known)) {
    throw new Error(`the store has ${body}, and its callers know of ${JSON.stringify(known)}`)
  }
}

/** Fails when the server told its operator of a fault that is none of a stranger. */
function checkSaid(stderr: string): void {
  const faults = stderr.split('\n').filter((line) => /failed|warning|error/i.test(line))
  const others = faults.filter((line) => !/^request \S+ failed: unidentified: /.test(line))
  if (others.length > 0) throw new Error(`the server said ${others.join('\n')}`)
}
