/**
 * Kills the server, or the command, at random instants while secrets move between the store and a real
 * OpenBao, continues until all have moved, and holds what is there against what was put:
 *   npm run fire -- migration --rounds 3 --secrets 1000 --seed 1
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import { pathOf } from '../../server/backends/names.ts'
import { allow, specFor } from '../interop/backends/elsewhere.ts'
import { type OpenBao, startOpenBao } from '../support/openbao.ts'
import { TestProcess } from '../support/process.ts'
import { cli, type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { Random } from './support-crash/random.ts'

/** How much is tried. */
export interface Dial {
  readonly secrets: number
  /** Moves of all secrets; there are more of them, up to one each way, while a kind of kill is missing. */
  readonly rounds: number
  /** Kills of one round at most; then the command may come to its end. */
  readonly kills: number
  readonly seed: number
}

/** What happened. */
export interface Totals {
  kills: number
  /** Kills of the command; the others were of the server. */
  ofCommand: number
  /** Kills of the server that left values at the destination of secrets that were not flipped. */
  beforeFlip: number
  /** Those that left values at the source of secrets that were. */
  beforeRemoval: number
  moved: number
  compared: number
}

const AT_ONCE = 16
/** Ends of the command at most that are put down to a slow machine. */
const SLOW = 10

/** From where to where, round after round. */
const ways = [
  { from: 'default', to: 'one', keep: false },
  { from: 'one', to: 'two', keep: false },
  { from: 'two', to: 'default', keep: false },
  { from: 'default', to: 'two', keep: false },
  { from: 'two', to: 'one', keep: true },
  { from: 'one', to: 'default', keep: false },
] as const

type Way = (typeof ways)[number]

/** Versions with their values, and which is active. */
interface Secret {
  readonly name: string
  readonly values: ReadonlyMap<number, string>
  readonly active: number
}

/** Runs it. Rejects with what is wrong, and the seed. */
export async function migrations({ secrets, rounds, kills, seed }: Dial): Promise<Totals> {
  using scratch = temporaryDirectory()
  await using bao = await startOpenBao()
  const random = new Random(seed)
  const totals: Totals = {
    kills: 0,
    ofCommand: 0,
    beforeFlip: 0,
    beforeRemoval: 0,
    moved: 0,
    compared: 0,
  }
  const world = await World.start(bao, scratch.path)
  try {
    const model = await world.fill(secrets, random)
    const { length } = ways
    for (let round = 0; round < rounds || (round < length && !hasEveryKill(totals)); round++) {
      const way = ways[round % length] as Way
      await world.move(way, kills, random, totals)
      totals.moved += secrets
      totals.compared += await world.check(way, model)
    }
    return totals
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
  } finally {
    await world.server.kill()
  }
}

function hasEveryKill({ beforeFlip, beforeRemoval, ofCommand }: Totals): boolean {
  return Math.min(beforeFlip, beforeRemoval, ofCommand) > 0
}

/** A server that is killed and started again, and the OpenBao beside it. */
class World {
  readonly bao: OpenBao
  readonly #args: readonly string[]
  readonly #state: string
  server!: Running

  private constructor(bao: OpenBao, args: readonly string[], state: string) {
    this.bao = bao
    this.#args = args
    this.#state = state
  }

  static async start(bao: OpenBao, directory: string): Promise<World> {
    const tailnet = join(directory, 'tailnet.json')
    const rules = [{ action: actions, secret: ['*'] }]
    const nodes = { '127.0.0.1': { name: 'root', user: 'root@example.com', rules } }
    writeFileSync(tailnet, JSON.stringify({ nodes }))
    const state = join(directory, 'state')
    const backend = await allow(bao, directory)
    const args = ['--state-dir', state, '--tailnet', tailnet, ...backend]
    const world = new World(bao, args, state)
    await world.begin()
    for (const name of ['one', 'two']) {
      await world.client.operate('backend-create', specFor(bao, name))
    }
    return world
  }

  async begin(): Promise<void> {
    this.server = await startSotto({ args: this.#args })
  }

  get client(): Client {
    return new Client({ server: this.server.url })
  }

  async fill(count: number, random: Random): Promise<Secret[]> {
    const client = this.client
    const names = Array.from({ length: count }, (_, at) => `team ${at % 7}/a=${at}/../key`)
    const plans = names.map((name) => ({
      name,
      versions: 1 + random.below(3),
      last: random.chance(0.5),
    }))
    const made = await inParallel(plans, async ({ name, versions, last }): Promise<Secret> => {
      const values = new Map<number, string>()
      for (let version = 1; version <= versions; version++) {
        const value = `value ${version} of ${name}`
        await client.put(name, Buffer.from(value))
        values.set(version, value)
      }
      if (!last || versions === 1) return { name, values, active: 1 }
      await client.activate(name, versions)
      await client.deleteVersion(name, 1)
      values.delete(1)
      return { name, values, active: versions }
    })
    client.close()
    return made
  }

  /** Moves everything, with kills on the way, until the command says that nothing is left. */
  async move(way: Way, most: number, random: Random, totals: Totals): Promise<void> {
    for (let kills = 0, slow = 0; ; ) {
      const command = this.#command(way)
      const delay = kills < most ? 300 + random.below(1500) : 600_000
      const first = await Promise.race([command.exited, pause(delay, 'late' as const)])
      if (first === 0) return
      // OpenBao was too slow for all attempts of the command: it is run again, as a person would.
      if (first === 2 && ++slow < SLOW) continue
      if (first !== 'late')
        throw new Error(`the command ended with ${String(first)}: ${command.output}`)
      kills++
      totals.kills++
      if (random.chance(0.3)) {
        totals.ofCommand++
        await command.kill()
        continue
      }
      await this.server.kill()
      await command.exited
      const { unflipped, unremoved } = await this.#between(way)
      if (unflipped > 0) totals.beforeFlip++
      if (unremoved > 0) totals.beforeRemoval++
      await this.begin()
    }
  }

  /** Holds everything against `model`. Resolves with how many values were compared. */
  async check({ from, to, keep }: Way, model: readonly Secret[]): Promise<number> {
    const client = this.client
    for (let attempt = 1; ; attempt++) {
      const job = await client.operate('job-run', { Name: 'backends' })
      if (job.LastResult === 'ok') break
      if (attempt === 30) throw new Error(`what was left was not cleared: ${job.LastMessage}`)
      await pause(1000)
    }
    const counts = await inParallel(model, async ({ name, values, active }) => {
      const info = await client.info(name)
      const wanted = { Name: name, Versions: [...values.keys()], ActiveVersion: active }
      if (JSON.stringify(info) !== JSON.stringify(wanted)) {
        throw new Error(`${JSON.stringify(info)} where ${JSON.stringify(wanted)} was due`)
      }
      for (const [version, value] of values) {
        const { Value } = await patiently(() => client.getVersion(name, version))
        const found = Buffer.from(Value).toString()
        if (found !== value) throw new Error(`version ${version} of ${name} is ${found}`)
      }
      return values.size
    })
    const compared = counts.reduce((sum, count) => sum + count, 0)
    for (const backend of ['one', 'two']) {
      const due = backend === to || (keep && backend === from) ? compared : 0
      const { leaves, rewritten } = await this.#leaves(backend, model)
      if (leaves !== due) throw new Error(`${backend} has ${leaves} values where ${due} are due`)
      if (rewritten > 0) throw new Error(`${rewritten} values of ${backend} were written twice`)
    }
    const left = (await client.operate('backend-list', {})).map(({ Name, Secrets }) => [
      Name,
      Secrets,
    ])
    client.close()
    const home = left.filter(([, secrets]) => secrets !== 0)
    if (JSON.stringify(home) !== JSON.stringify([[to, model.length]])) {
      throw new Error(`the secrets are at ${JSON.stringify(home)}`)
    }
    return compared
  }

  #command({ from, to, keep }: Way): TestProcess {
    const args = ['migrate', 'secrets', '--from', from, '--to', to, '-s', this.server.url]
    return new TestProcess(process.execPath, [cli, ...args, ...(keep ? ['--keep-source'] : [])])
  }

  /** What a server that was killed left half done. */
  async #between({ from, to }: Way): Promise<{ unflipped: number; unremoved: number }> {
    const db = new Database(join(this.#state, 'sotto.db'), { readonly: true })
    const count = (waits: number, name: string): number =>
      db
        .prepare<[number, string], number>(
          `SELECT count(*) FROM leftover WHERE waits = ?
            AND backend = (SELECT id FROM backend WHERE name = ?)`,
        )
        .pluck()
        .get(waits, name) ?? 0
    const found = { unflipped: count(1, to), unremoved: count(0, from) }
    db.close()
    return found
  }

  /** How many values stand in a backend, and how many of them were written more than once. */
  async #leaves(
    backend: string,
    model: readonly Secret[],
  ): Promise<{ leaves: number; rewritten: number }> {
    const found = await inParallel(model, async ({ name, values }) => {
      const tries = [...values.keys(), 1].filter((each, at, all) => all.indexOf(each) === at)
      const versions: number[] = []
      for (const version of tries) {
        const path = `secret/metadata/sotto/${backend}/home/${pathOf(name)}/${version}`
        const { status, body } = await this.bao.call('GET', path)
        if (status === 200) versions.push(body.data.current_version)
      }
      return versions
    })
    const all = found.flat()
    return { leaves: all.length, rewritten: all.filter((version) => version !== 1).length }
  }
}

/** Runs `act` until OpenBao is not too slow for it. */
async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act()
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'backend_unavailable' || attempt === 30)
        throw error
      await pause(1000)
    }
  }
}

async function inParallel<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const left = items.entries()
  const worker = async (): Promise<void> => {
    for (const [at, item] of left) results[at] = await act(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return results
}
