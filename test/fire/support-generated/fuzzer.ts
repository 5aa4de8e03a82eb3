/** One caller on one connection after another: sends what is made up and judges each answer. */
import { UNCOUNTED_BYTES } from '../../../server/http/exchange.ts'
import { RawConnection, type RawAnswer } from '../../http/raw.ts'
import { Random } from '../support-crash/random.ts'
import { broken, mutated } from './broken.ts'
import { largeBody, largeHead, spoilBody, spoilHead, wrongField } from './defects.ts'
import { Draft, refusals, type Verdict } from './draft.ts'
import { marks, type Planned, Secrets } from './secrets.ts'
import { healthCheck, spelled } from './spelling.ts'

/** Who calls: by what rules, and with what requests. */
export type Kind = 'owner' | 'mutant' | 'powerless' | 'stranger'

/** What fuzzers count, and how they are stopped. */
export interface Tally {
  requests: number
  /** Answers by status. */
  readonly statuses: Map<number, number>
  connections: number
  /** The longest that an answer took, in milliseconds. */
  slowest: number
  stopped: boolean
}

/** What a fuzzer is made of. */
export interface FuzzerOptions {
  readonly url: string
  readonly from: string
  readonly kind: Kind
  readonly seed: number
  /** How many requests to send. */
  readonly count: number
  readonly tally: Tally
}

/** Within this an answer must be there, in milliseconds. */
const PATIENCE_MS = 15_000

/** Statuses that bytes changed at random may meet. */
const mutantStatuses = new Set([100, 200, 304, 400, 403, 404, 408, 412, 413, 421, 431])

/** Requests that are sent ahead of their answers, at most. */
const AHEAD = 12

const weights = {
  good: 46,
  wrongField: 14,
  spoiledBody: 8,
  spoiledHead: 12,
  elsewhere: 6,
  health: 1,
  broken: 3,
  vanished: 1.5,
  largeHead: 0.4,
  largeBody: 0.2,
}

/** A caller. */
export class Fuzzer {
  readonly #options: FuzzerOptions
  readonly #random: Random
  readonly #secrets: Secrets
  #connection: RawConnection | undefined
  #sent = 0
  /** What is waited for: since when, and on which connection. */
  #since: number | undefined
  #waitsOn: RawConnection | undefined
  /** The latest requests, on whatever connection. */
  readonly #sentLately: string[] = []
  /** The last list that was seen, where there is no model. */
  #list: string | undefined

  constructor(options: FuzzerOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#secrets = new Secrets(folderOf(options.from))
  }

  /** Runs to its end. Rejects with the first answer that is wrong. */
  async run(): Promise<void> {
    const watch = setInterval(() => this.#checkPatience(), 500)
    try {
      while (this.#sent < this.#options.count && !this.#options.tally.stopped) await this.#next()
      if (this.#options.kind === 'owner') await this.#finish()
    } catch (error) {
      if (this.#options.tally.stopped) return
      this.#options.tally.stopped = true
      const { from, seed } = this.#options
      const { message } = error as Error
      const sent = this.#sentLately.join('\n')
      throw new Error(`${from}, seed ${seed}, request ${this.#sent}: ${message}\n${sent}`, {
        cause: error,
      })
    } finally {
      clearInterval(watch)
      this.#connection?.[Symbol.dispose]()
    }
  }

  /** What a list tells of this fuzzer's secrets, once it ran: that of its model, for an owner. */
  get list(): string {
    return this.#list ?? this.#secrets.list()
  }

  async #next(): Promise<void> {
    if (this.#options.kind === 'mutant') return this.#mutant()
    const random = this.#random
    const kind = random.weighted(weights)
    if (kind === 'broken') return this.#broken()
    if (kind === 'vanished') return this.#vanish()
    const taken = new Set<string>()
    const drafts = [this.#draft(kind, taken)]
    const ahead = random.chance(0.12) && kind !== 'largeBody' ? random.below(AHEAD) : 0
    while (drafts.length <= ahead && !drafts.at(-1)?.ends) {
      drafts.push(this.#draft(random.weighted(weights), taken))
    }
    await this.#ask(drafts)
  }

  /** A request of `kind`; what is no HTTP, or is large, is not sent ahead of others. */
  #draft(kind: keyof typeof weights, taken: Set<string>): Draft {
    const random = this.#random
    const { kind: who } = this.#options
    switch (kind) {
      case 'health':
        return healthCheck(random)
      case 'wrongField':
        return this.#asCaller(wrongField(random, `${this.#secrets.folder}wrong`))
      case 'spoiledBody':
      case 'spoiledHead':
      case 'largeHead': {
        const draft = spelled(random, anyCall(random, this.#secrets.folder))
        if (kind === 'largeHead') largeHead(random, draft)
        else if (kind === 'spoiledHead') spoilHead(random, draft)
        if (kind === 'spoiledBody' || random.chance(0.2)) spoilBody(random, draft)
        return this.#asCaller(draft)
      }
      case 'largeBody':
        if (taken.size > 0) break
        return largeBody(random)
      case 'elsewhere':
        return spelled(random, anyCall(random, 'elsewhere/')).fail('caller', this.#denial())
      case 'good':
      case 'broken':
      case 'vanished':
        break
    }
    if (who === 'owner') return spelled(random, this.#secrets.plan(random, taken))
    const planned = new Secrets('powerless/').plan(random, new Set())
    const draft = spelled(random, planned)
    const isRefused = who === 'stranger' || 'name' in planned.operation
    return isRefused ? draft.fail('caller', this.#denial()) : draft
  }

  /** What the caller is told of what it has no right to. */
  #denial(): Verdict {
    return this.#options.kind === 'stranger' ? refusals.unidentified : refusals.denied
  }

  /** The draft as it fares with this caller: nobody knows a stranger, and what is long is decoded for rights only. */
  #asCaller(draft: Draft): Draft {
    const { kind } = this.#options
    const isRefused =
      kind === 'stranger' || (kind === 'powerless' && draft.body.length > UNCOUNTED_BYTES)
    return isRefused ? draft.fail('caller', this.#denial()) : draft
  }

  /** Sends `drafts` at once and judges their answers. */
  async #ask(drafts: readonly Draft[]): Promise<void> {
    this.#connection ??= await this.#open()
    const connection = this.#connection
    const bytes = drafts.map((draft) => draft.bytes(this.#random))
    connection.send(Buffer.concat(bytes))
    for (const [at, draft] of drafts.entries()) {
      const answer = await this.#answer(connection, bytes[at] as Buffer, draft.method === 'HEAD')
      if (!answer) throw new Error('the connection was closed without an answer')
      this.#judge(answer, draft.verdict, draft.method === 'HEAD')
      if (answer.headers.get('connection') !== 'close') continue
      if (draft !== drafts.at(-1)) throw new Error('the connection ends too soon')
      await this.#end(connection)
    }
  }

  /** Sends what is no HTTP, or no whole request. */
  async #broken(): Promise<void> {
    const good = spelled(this.#random, anyCall(this.#random, this.#secrets.folder))
    const { bytes, verdict, ends } = broken(this.#random, good.bytes(this.#random))
    const connection = await this.#open()
    connection.send(bytes)
    if (ends) connection.socket.end()
    const answer = await this.#answer(connection, bytes)
    if (!answer) throw new Error('the connection was closed without an answer')
    this.#judge(answer, verdict)
    await this.#end(connection)
  }

  /** Hangs up, mid-request or before the answer. */
  async #vanish(): Promise<void> {
    const random = this.#random
    const connection = await this.#open()
    const name = `${this.#secrets.folder}none`
    const verdict = refusals.notFound
    const draft = spelled(random, { operation: { method: 'info', name }, verdict })
    const bytes = draft.bytes(random)
    connection.send(bytes.subarray(0, random.below(bytes.length + 1)))
    if (random.chance(0.5)) connection.socket.resetAndDestroy()
    else connection.socket.destroy()
    this.#options.tally.requests++
    this.#sent++
    await connection.closed
  }

  /** Sends a request with changed bytes, in pieces. What is refused must leave no trace. */
  async #mutant(): Promise<void> {
    const random = this.#random
    const good = spelled(random, anyCall(random, this.#secrets.folder))
    const bytes = mutated(random, good.bytes(random))
    const connection = await this.#open()
    for (let at = 0; at < bytes.length; ) {
      const size = random.chance(0.7) ? bytes.length : 1 + random.below(200)
      connection.send(bytes.subarray(at, at + size))
      at += size
    }
    connection.socket.end()
    let changed = false
    let answers = 0
    for (;;) {
      const answer = await this.#answer(connection, bytes, false, answers === 0)
      if (!answer) break
      answers++
      changed ||= answer.status === 200
      if (!mutantStatuses.has(answer.status)) throw new Error(`status ${answer.status}`)
      checkWords(answer)
    }
    const blank = bytes.every((byte) => byte === 0x0d || byte === 0x0a)
    if (answers === 0 && !blank) throw new Error('the connection was closed without an answer')
    if (this.#sent % 8 === 0 || changed) await this.#look(changed)
  }

  /** Compares the list with what it was, unless something was `changed`. */
  async #look(changed: boolean): Promise<void> {
    const { body } = await this.#call('list', {})
    if (!changed && this.#list !== undefined && body !== this.#list) {
      throw new Error(`what was refused changed ${this.#list} to ${body}`)
    }
    this.#list = body
    const secrets = JSON.parse(body) as { Name: string }[]
    if (secrets.length < 20) return
    for (const { Name } of secrets) await this.#call('delete', { Name })
    this.#list = (await this.#call('list', {})).body
    if (this.#list !== '[]') throw new Error(`what was deleted is there: ${this.#list}`)
  }

  async #finish(): Promise<void> {
    const verdict = { status: 200, body: this.#secrets.list() }
    await this.#ask([new Draft('list', '{}', verdict)])
  }

  async #call(method: string, request: object): Promise<RawAnswer> {
    this.#connection ??= await this.#open()
    const connection = this.#connection
    const bytes = new Draft(method, JSON.stringify(request), { status: 200 }).bytes(this.#random)
    connection.send(bytes)
    const answer = await this.#answer(connection, bytes)
    if (answer?.status !== 200) throw new Error(`${method}: ${answer?.status}`)
    return answer
  }

  async #open(): Promise<RawConnection> {
    this.#options.tally.connections++
    return RawConnection.open(this.#options.url, this.#options.from)
  }

  /** The answer to what was sent, without the interim ones; undefined when the connection ends. */
  async #answer(
    connection: RawConnection,
    sent: Buffer,
    bodiless = false,
    counts = true,
  ): Promise<RawAnswer | undefined> {
    const { tally } = this.#options
    if (counts) {
      this.#sent++
      tally.requests++
    }
    this.#since = performance.now()
    this.#waitsOn = connection
    this.#sentLately.push(JSON.stringify(sent.subarray(0, 1000).toString('latin1')))
    if (this.#sentLately.length > 16) this.#sentLately.shift()
    for (;;) {
      const answer = await connection.answer(bodiless)
      if (answer && answer.status < 200) continue
      const took = performance.now() - this.#since
      this.#since = undefined
      if (took > PATIENCE_MS) throw new Error(`no answer within ${PATIENCE_MS} ms`)
      tally.slowest = Math.max(tally.slowest, took)
      if (!answer) return undefined
      tally.statuses.set(answer.status, (tally.statuses.get(answer.status) ?? 0) + 1)
      return answer
    }
  }

  /** Waits until the server closed the connection, which must be all that it does. */
  async #end(connection: RawConnection): Promise<void> {
    if (connection === this.#connection) this.#connection = undefined
    this.#since = performance.now()
    this.#waitsOn = connection
    const more = await connection.answer()
    if (more) throw new Error(`one answer too many: ${more.status}`)
    if (performance.now() - this.#since > PATIENCE_MS) throw new Error('the connection stays open')
    this.#since = undefined
  }

  #checkPatience(): void {
    if (this.#since === undefined || performance.now() - this.#since < PATIENCE_MS) return
    this.#waitsOn?.socket.destroy()
  }

  #judge(answer: RawAnswer, { status, body }: Verdict, bodiless = false): void {
    if (answer.status !== status || (body !== undefined && !bodiless && answer.body !== body)) {
      const got = `${answer.status} ${answer.body.slice(0, 1000)}`
      throw new Error(`${got}\n  in place of ${status} ${body?.slice(0, 1000) ?? ''}`)
    }
    checkWords(answer)
  }
}

/** Fails for an answer that lacks what every answer has, or tells what none may. */
function checkWords({ status, headers, body }: RawAnswer): void {
  if (status < 200) return
  const head = [...headers].map(([name, value]) => `${name}: ${value}`).join('\n')
  if (headers.get('cache-control') !== 'no-store') throw new Error(`may be stored: ${head}`)
  if (!headers.has('x-request-id')) throw new Error(`no request id: ${head}`)
  const told = status === 200 ? head : head + body
  if (marks.some((mark) => told.includes(mark))) throw new Error(`a value is told: ${told}`)
  if (status < 400) return
  if (!/^[ -~]{1,80}\n$/.test(body) && body !== '') throw new Error(`not a short text: ${body}`)
  if (/\n\s+at |\.[jt]s:\d/.test(told)) throw new Error(`a stack trace: ${told}`)
}

/** A call about a secret below `folder`, or about none at all, of which nobody keeps account. */
function anyCall(random: Random, folder: string): Planned {
  for (;;) {
    const planned = new Secrets(folder).plan(random, new Set())
    if ('name' in planned.operation) return planned
  }
}

/** The folder of the caller at `from`. */
export function folderOf(from: string): string {
  return `of-${from}/`
}
