/**
 * Rounds on one state directory after another: start the server, judge what the crash before left,
 * read everything back, put it under load, kill it at some instant.
 */
import { mkdirSync, rmSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Program } from './build.ts'
import { ImageDisk } from './disk.ts'
import { type Call, History } from './history.ts'
import { type Counts, Judge } from './judge.ts'
import { Ledger } from './ledger.ts'
import { Line } from './line.ts'
import { Load, tailnet } from './load.ts'
import { Random } from './random.ts'
import { ServerProcess } from './server.ts'

/** What is run. */
export interface RoundsOptions {
  /** A folder of its own. Where a round fails, what it left stays there. */
  readonly directory: string
  readonly seed: number
  readonly rounds: number
  readonly program: Program
  /** Loses the power of a disk of its own instead of killing the server alone; needs `noDisks()`. */
  readonly power?: boolean
}

/** What happened, in numbers. */
export interface Totals extends Counts {
  rounds: number
  /** Servers that were killed before they served. */
  killedEarly: number
  /** Servers that were killed while they were stopping. */
  killedStopping: number
  /** Rounds in which the crash left part of a record at the end of the log. */
  torn: number
  /** Records on the logs. */
  records: number
}

/** Rounds until a fresh directory is begun, so that what is read each time stays small. */
const ROUNDS_PER_DIRECTORY = 20

/** Room on a disk that loses its power: enough for what one directory gathers. */
const DISK_BYTES = 96 * 1024 * 1024

/** How long a server may take to start, in milliseconds: far longer than any does. */
const START_MS = 60_000

/** A total of nothing. */
export function noTotals(): Totals {
  return {
    rounds: 0,
    answered: 0,
    values: 0,
    changes: 0,
    unanswered: 0,
    silent: 0,
    abandoned: 0,
    unread: 0,
    unrecorded: 0,
    killedEarly: 0,
    killedStopping: 0,
    torn: 0,
    records: 0,
  }
}

/** Adds `more` to `totals`. */
export function addTotals(totals: Totals, more: Partial<Totals>): void {
  for (const [key, value] of Object.entries(more) as [keyof Totals, number][]) totals[key] += value
}

/** Runs rounds and resolves with what happened; rejects at the first thing that is wrong. */
export async function runRounds(options: RoundsOptions): Promise<Totals> {
  const totals = noTotals()
  const random = new Random(options.seed)
  for (let at = 0; totals.rounds < options.rounds; at++) {
    const directory = join(options.directory, String(at))
    const rounds = Math.min(ROUNDS_PER_DIRECTORY, options.rounds - totals.rounds)
    using disk = new DisposableStack()
    await new StateRounds(directory, options, random, totals, disk).run(rounds)
    disk.dispose()
    rmSync(directory, { recursive: true })
  }
  return totals
}

/** One state directory, from its first start to its last. */
class StateRounds {
  readonly #program: Program
  readonly #random: Random
  readonly #totals: Totals
  readonly #state: string
  readonly #audit: string
  readonly #tailnet: string
  readonly #judge = new Judge()
  readonly #ledger: Ledger
  readonly #disk: ImageDisk | undefined
  #history = new History()
  /** The server that was under load last, and those started since. */
  #servers: ServerProcess[] = []
  #startMs = 300

  constructor(
    directory: string,
    { program, power }: RoundsOptions,
    random: Random,
    totals: Totals,
    disks: DisposableStack,
  ) {
    mkdirSync(directory, { recursive: true })
    this.#program = program
    this.#random = random
    this.#totals = totals
    const place = join(directory, 'disk')
    if (power) this.#disk = disks.use(new ImageDisk(directory, place, DISK_BYTES))
    this.#state = join(place, 'state')
    this.#audit = join(this.#state, 'audit')
    this.#tailnet = join(directory, 'tailnet.json')
    this.#ledger = new Ledger(this.#state)
    mkdirSync(place, { recursive: true })
    writeFileSync(this.#tailnet, JSON.stringify(tailnet))
  }

  async run(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      try {
        if (round > 0) await this.#killEarly()
        const { server, port } = await this.#start()
        await this.#check()
        await this.#readBack(port)
        await this.#load(server, port)
        this.#totals.rounds++
      } catch (error) {
        const where = `round ${this.#totals.rounds} on ${this.#state}`
        const said = this.#servers.map(({ stderr }) => faultsIn(stderr)).join('')
        throw new Error(`${where}: ${(error as Error).message}\n${said}`, { cause: error })
      }
    }
    const { server, port } = await this.#start()
    await this.#check()
    await this.#readBack(port)
    await server.stop()
    await this.#check()
    await this.#ledger.verify()
  }

  async #start(): Promise<{ server: ServerProcess; port: number }> {
    const began = performance.now()
    const server = this.#spawn()
    const late = setTimeout(() => server.signal('SIGKILL'), START_MS)
    const port = await server.demandReady()
    clearTimeout(late)
    this.#startMs = performance.now() - began
    return { server, port }
  }

  #spawn(): ServerProcess {
    const server = new ServerProcess({
      state: this.#state,
      tailnet: this.#tailnet,
      program: this.#program,
    })
    this.#servers.push(server)
    return server
  }

  /** Kills servers before they serve: some time after their start, or as they begin to write. */
  async #killEarly(): Promise<void> {
    const random = this.#random
    for (let kills = random.pick([0, 0, 0, 0, 1, 2]); kills > 0; kills--) {
      const server = this.#spawn()
      let served = false
      void server.ready.then((port) => (served = port !== undefined))
      const enough = new AbortController()
      const instant = random.chance(0.5)
        ? sleep(random.next() * this.#startMs * 1.1, undefined, { signal: enough.signal })
        : this.#nextSegment(enough.signal).then(() => sleep(random.pick([0, 0, 1, 3])))
      await Promise.race([instant.catch(() => {}), server.ready])
      await this.#end(server)
      enough.abort()
      if (!served) this.#totals.killedEarly++
    }
  }

  /** Resolves as soon as the server makes a file in the folder of the log. */
  #nextSegment(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      watch(this.#audit, { signal }, () => resolve()).on('error', () => resolve())
    })
  }

  /** Judges what the server was killed in, against what it left. */
  async #check(): Promise<void> {
    const evidence = await this.#ledger.read()
    const { calls } = this.#history
    this.#history = new History()
    addTotals(this.#totals, this.#judge.judge(calls, evidence))
    this.#judge.compare(this.#ledger.stored())
    this.#totals.records += evidence.records.length
    for (const { record } of evidence.records) {
      if (record.kind === 'segment' && record.torn > 0) this.#totals.torn++
    }
    await this.#ledger.verify()
  }

  /** Reads the list and every value through the API. What it must be, the next check judges. */
  async #readBack(port: number): Promise<void> {
    const from = '127.0.0.1'
    const lines = [1, 2, 3, 4].map(() => new Line(port, from))
    const all: Call['operation'][] = [{ method: 'list' }]
    for (const [name, { values }] of this.#judge.states) {
      all.push({ method: 'info', name })
      for (const version of [0, ...values.keys()]) all.push({ method: 'get', name, version })
    }
    const calls = await Promise.all(
      lines.map(async (line, at) => {
        const made: Call[] = []
        for (let index = at; index < all.length; index += lines.length) {
          made.push(await this.#history.call(line, from, all[index] as Call['operation']))
        }
        line.close()
        return made
      }),
    )
    const silent = calls.flat().find(({ answer }) => !answer?.whole)
    if (silent) throw new Error(`No answer to ${JSON.stringify(silent.operation)}`)
  }

  /** Puts the server under load and ends it at some instant. */
  async #load(server: ServerProcess, port: number): Promise<void> {
    const random = this.#random
    const load = new Load(port, this.#history, random)
    const running = load.run()
    this.#servers = [server]
    const way = random.weighted({ time: 5, answers: 5, stop: 1 })
    if (way === 'answers') {
      const enough = random.below(300)
      await new Promise<void>((resolve) => {
        load.onAnswer = (answers) => {
          if (answers < enough) return
          server.signal(this.#disk === undefined ? 'SIGKILL' : 'SIGSTOP')
          load.onAnswer = () => {}
          resolve()
        }
      })
    } else {
      await sleep(random.next() * 120)
    }
    if (way === 'stop') {
      server.signal('SIGTERM')
      await Promise.race([sleep(random.next() * 30), server.exited])
      if (server.child.exitCode === null) this.#totals.killedStopping++
    }
    await this.#end(server)
    await running
  }

  /** Ends a server at this instant, and with it the power of the disk if it is to lose it. */
  async #end(server: ServerProcess): Promise<void> {
    if (this.#disk === undefined) return server.kill()
    await server.freeze()
    await this.#disk.losePower(() => server.kill())
  }
}

/** What a server said of requests that failed. */
function faultsIn(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => line.includes('failed'))
    .slice(0, 5)
    .join('\n')
}
