/**
 * Kills the server at random instants under programs that hold secrets, and holds what each of them has, and what the
 * server says of them, against what is active:
 *   npm run fire -- watch --rounds 200 --clients 200 --seed 1
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Client } from '../../client/client.ts'
import { openStore, type Store } from '../../client/store/store.ts'
import { everything } from '../support/service.ts'
import { type Running, startServerProcess, temporaryDirectory } from '../support/sotto.ts'
import { Random } from './support-crash/random.ts'

/** What is done. */
export interface WatchFire {
  readonly rounds: number
  /** Programs, each with a store of its own. */
  readonly clients: number
  readonly seed: number
}

/** What happened, in numbers. */
export interface WatchTotals {
  rounds: number
  /** Activations that the server said were done. */
  activated: number
  /** Answers about rollouts, and those that said that all have the active version. */
  answers: number
  converged: number
}

const NAMES = ['a', 'b', 'c', 'd']
/** Programs of a node: fewer than a server takes. */
const PER_NODE = 20
/** A kill comes within so many milliseconds from when all programs were right. */
const KILL_WITHIN_MS = 1500
/** Far longer than any wait takes, in milliseconds. */
const LATE_MS = 120_000
const LOOK_MS = 25
const ASK_MS = 20
const ARRIVED_MS = 20

/** Resolves with what happened. Rejects with what is wrong. */
export async function watchUnderFire({ rounds, clients, seed }: WatchFire): Promise<WatchTotals> {
  using scratch = temporaryDirectory()
  const random = new Random(seed)
  const totals: WatchTotals = { rounds: 0, activated: 0, answers: 0, converged: 0 }
  const tailnet = join(scratch.path, 'tailnet.json')
  writeFileSync(tailnet, JSON.stringify({ nodes: nodesFor(clients) }))
  const start = (port = 0): Promise<Running> => {
    const listen = ['--dev', '--listen', `127.0.0.1:${port}`]
    const state = join(scratch.path, 'state')
    return startServerProcess([...listen, '--state-dir', state, '--tailnet', tailnet])
  }
  let server = await start()
  await using undo = new AsyncDisposableStack()
  undo.defer(() => server.kill())
  const client = new Client({ server: server.url, localAddress: '127.0.0.1' })
  for (const name of NAMES) await client.put(name, Buffer.from('1'))
  const programs = await Promise.all(
    Array.from({ length: clients }, (_, at) => open(server.url, at)),
  )
  for (const program of programs) {
    undo.defer(() => program.client.close())
    undo.use(program.store)
  }
  try {
    for (let round = 0; round < rounds; round++) {
      const stop = new AbortController()
      const work = [
        change(client, random, totals, stop.signal),
        ask(client, programs, totals, stop.signal),
      ]
      await sleep(random.below(KILL_WITHIN_MS))
      await server.kill()
      stop.abort()
      await Promise.all(work)
      server = await start(server.port)
      await settled(client, programs)
      totals.rounds++
    }
    const stop = new AbortController()
    const asked = ask(client, programs, totals, stop.signal)
    await until('all rollouts end', async () => {
      const all = NAMES.map((Name) => client.operate('rollout', { Name }))
      return (await Promise.all(all)).every(({ Converged }) => Converged)
    })
    stop.abort()
    await asked
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
  }
  return totals
}

/** A program. */
interface Program {
  readonly client: Client
  readonly store: Store
  /** Secrets of which it took an older version after a newer one. */
  readonly back: Set<string>
}

async function open(url: string, at: number): Promise<Program> {
  const back = new Set<string>()
  const client = new Client({
    server: url,
    localAddress: addressOf(Math.floor(at / PER_NODE)),
    label: `program-${at}`,
  })
  // A fiftieth of the time to the next attempt: the server is killed far more often than clients reckon with.
  const store = await openStore({
    server: client,
    secrets: NAMES,
    random: () => Math.random() / 50,
  })
  for (const name of NAMES) void follow(store, name, back)
  return { client, store, back }
}

async function follow(store: Store, name: string, back: Set<string>): Promise<void> {
  let highest = 0
  for await (const { Version } of store.changes(name, { holds: false })) {
    // All activations are of newer versions.
    if (Version < highest) back.add(name)
    highest = Math.max(highest, Version)
  }
}

/** Adds versions and activates them, as quickly as that goes. */
async function change(
  client: Client,
  random: Random,
  totals: WatchTotals,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const name = random.pick(NAMES)
    try {
      const version = await client.put(name, Buffer.from(String(random.next())), { signal })
      await client.activate(name, version, { signal })
      totals.activated++
    } catch {
      // The server was killed; whether the change was made shows later.
    }
    await sleep(random.below(200))
  }
}

/** Asks who has the active version. Rejects where the server says that all have, and a program has an older one. */
async function ask(
  client: Client,
  programs: readonly Program[],
  totals: WatchTotals,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; !signal.aborted; at++) {
    const Name = NAMES[at % NAMES.length] as string
    const answer = await client.operate('rollout', { Name }, { signal }).catch(() => undefined)
    if (answer) {
      totals.answers++
      if (answer.Converged) totals.converged++
      // What has arrived by now is taken first.
      await sleep(ARRIVED_MS)
      const held = programs.map(({ store }) => store.secret(Name).version)
      const behind = held.filter((version) => version < answer.Version).length
      if (answer.Converged && behind > 0) {
        throw new Error(`${Name}: converged at ${answer.Version} is said, and ${behind} are behind`)
      }
    }
    await sleep(ASK_MS)
  }
}

/** Resolves once every program holds what is active. Rejects where one went back, or never gets there. */
async function settled(client: Client, programs: readonly Program[]): Promise<void> {
  const active = new Map<string, number>()
  for (const name of NAMES) active.set(name, (await client.info(name)).ActiveVersion)
  const late = (): Program[] =>
    programs.filter(({ store }) =>
      NAMES.some((name) => store.secret(name).version !== active.get(name)),
    )
  await until(
    'every program holds what is active',
    () => Promise.resolve(late().length === 0),
    () => late().map(({ client: { server }, store }) => `${server} ${inspect(store.health())}`),
  )
  const back = programs.filter((program) => program.back.size > 0).length
  if (back > 0) throw new Error(`${back} programs went back to an older version`)
}

async function until(
  what: string,
  isSo: () => Promise<boolean>,
  found: () => readonly string[] = () => [],
): Promise<void> {
  const late = performance.now() + LATE_MS
  while (!(await isSo())) {
    if (performance.now() > late) {
      throw new Error(`it does not come about that ${what}: ${found().slice(0, 3).join(', ')}`)
    }
    await sleep(LOOK_MS)
  }
}

function addressOf(node: number): string {
  return `127.0.1.${node + 1}`
}

function nodesFor(clients: number): Record<string, object> {
  const addresses = Array.from({ length: Math.ceil(clients / PER_NODE) }, (_, at) => addressOf(at))
  return Object.fromEntries(
    ['127.0.0.1', ...addresses].map((address) => [
      address,
      { name: `n${address.replaceAll('.', '-')}`, user: 'fire@example.com', rules: [everything] },
    ]),
  )
}
