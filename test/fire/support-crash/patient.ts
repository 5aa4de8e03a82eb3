/**
 * A server whose disks are about to fail: asked while they do, under load if wanted, and judged by
 * what is left after it was killed and started again.
 */
import { writeFileSync } from 'node:fs'
import { type Call, History } from './history.ts'
import { type Counts, Judge } from './judge.ts'
import { type Evidence, Ledger } from './ledger.ts'
import { Line } from './line.ts'
import { Load, tailnet } from './load.ts'
import type { Operation } from './model.ts'
import { Random } from './random.ts'
import { ServerProcess } from './server.ts'

/** A secret of its own, which no load touches: version 1 is active, 2 and 3 are there. */
export const ward = 'prod/ward'

/** A call that was answered. */
export interface Asked {
  readonly status: number
  readonly body: string
  /** How long the answer took, in milliseconds. */
  readonly ms: number
}

/** What was found in the end. */
export interface Findings {
  readonly counts: Counts
  readonly evidence: Evidence
  /** Records that the log says could not be written. */
  readonly lost: number
}

/** Every change of the ward that would succeed on a healthy server. */
export const changes: readonly Operation[] = [
  { method: 'put', name: ward, value: base64('four') },
  { method: 'put', name: 'prod/new', value: base64('x'.repeat(40_000)) },
  { method: 'create-version', name: ward, version: 9, value: base64('nine') },
  { method: 'activate', name: ward, version: 2 },
  { method: 'delete-version', name: ward, version: 3 },
  { method: 'delete', name: ward },
]

/** Calls that reveal no value, each with the status that it has on a server in any health. */
export const harmless: readonly (readonly [Call['operation'], string, number])[] = [
  [{ method: 'list' }, '127.0.0.1', 200],
  [{ method: 'info', name: ward }, '127.0.0.2', 200],
  [{ method: 'get', name: ward, version: 1, held: true }, '127.0.0.3', 304],
  [{ method: 'get', name: 'prod/none', version: 0 }, '127.0.0.1', 404],
  [{ method: 'delete', name: 'prod/none' }, '127.0.0.1', 200],
  [{ method: 'put', name: ward, value: base64('denied') }, '127.0.0.4', 403],
]

/** A server on a state directory with disks of the test's own. */
export class Patient implements Disposable {
  readonly server: ServerProcess
  readonly port: number
  readonly #state: string
  readonly #tailnet: string
  readonly #history = new History()
  #again: ServerProcess | undefined
  #load: { load: Load; running: Promise<void> } | undefined

  private constructor(server: ServerProcess, port: number, state: string, file: string) {
    this.server = server
    this.port = port
    this.#state = state
    this.#tailnet = file
  }

  /** Starts a server on `state`, under another program if one is given, and gives it its ward. */
  static async admit(state: string, under?: readonly string[]): Promise<Patient> {
    const file = `${state}.tailnet.json`
    writeFileSync(file, JSON.stringify(tailnet))
    const server = new ServerProcess({ state, tailnet: file, ...(under && { under }) })
    const patient = new Patient(server, await server.demandReady(), state, file)
    for (const value of ['one', 'two', 'three']) {
      await patient.ask({ method: 'put', name: ward, value: base64(value) })
    }
    return patient
  }

  /** Calls `operation` on a connection of its own. Rejects when there is no answer. */
  async ask(operation: Call['operation'], from = '127.0.0.1'): Promise<Asked> {
    const line = new Line(this.port, from)
    const began = performance.now()
    const { answer } = await this.#history.call(line, from, operation)
    const ms = performance.now() - began
    line.close()
    if (!answer?.whole) throw new Error(`No answer to ${JSON.stringify(operation)}`)
    return { status: answer.status, body: answer.body, ms }
  }

  /** The active version of the ward. */
  get(): Promise<Asked> {
    return this.ask({ method: 'get', name: ward, version: 0 })
  }

  /** What `/readyz` says: its status and the parts. */
  async ready(): Promise<{ status: number; parts: unknown }> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`)
    return { status: answer.status, parts: await answer.json() }
  }

  /** Puts the server under load until `endLoad` or the end. */
  startLoad(seed = 1): void {
    const load = new Load(this.port, this.#history, new Random(seed))
    this.#load = { load, running: load.run() }
  }

  /** Lets the load have its last answers. */
  async endLoad(): Promise<void> {
    this.#load?.load.end()
    await this.#load?.running
    this.#load = undefined
  }

  /**
   * Ends the server, kindly or not, starts it again and judges: no acknowledged change is lost and
   * no other made in part, every value that left is on the log, log and store agree, the log
   * verifies, and after a kind end the gap in it is counted. Throws at what is wrong.
   */
  async autopsy(end: 'kill' | 'stop' = 'kill'): Promise<Findings> {
    if (end === 'stop') await this.endLoad()
    await this.server[end]()
    await this.endLoad()
    this.#again = new ServerProcess({ state: this.#state, tailnet: this.#tailnet })
    await this.#again.demandReady()
    const ledger = new Ledger(this.#state)
    const evidence = await ledger.read()
    const judge = new Judge({ faults: true })
    const counts = judge.judge(this.#history.calls, evidence)
    judge.compare(ledger.stored())
    const { lost } = await ledger.verify()
    await this.#again.stop()
    const told = evidence.records.reduce(
      (sum, { record }) => sum + (record.kind === 'refusals' ? record.count : 0),
      lost,
    )
    // What was counted last is told when the server ends.
    if (end === 'stop' && counts.unrecorded > told) {
      throw new Error(`${counts.unrecorded} answers have no record, and the log tells of ${told}`)
    }
    return { counts, evidence, lost }
  }

  /** Kills the server, without waiting: one whose disk does not answer cannot end yet. */
  [Symbol.dispose](): void {
    this.server.signal('SIGKILL')
    this.#again?.signal('SIGKILL')
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
