/** A load of reads and changes from several callers over several connections, until it is ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TailnetFile } from '../../../server/identity/development.ts'
import type { Call, History } from './history.ts'
import { Line } from './line.ts'
import type { Operation } from './model.ts'
import type { Random } from './random.ts'

/** Callers by address; two of them have two connections each. */
const callers = ['127.0.0.1', '127.0.0.1', '127.0.0.2', '127.0.0.2', '127.0.0.3', '127.0.0.4']

/** Names of every kind that the API takes. */
const names: readonly string[] = [
  'prod/app/key',
  'prod/app/key2',
  'prod/db',
  'a',
  '../../etc/passwd',
  'päron/秘密/🔑',
  `long/${'x'.repeat(507)}`,
  'dev/"quoted"\\and spaced ',
]

/** The tailnet of the load: 127.0.0.4 may only read what is below prod/. */
export const tailnet: TailnetFile = {
  nodes: {
    ...Object.fromEntries(
      ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((ip, at) => [
        ip,
        { name: `node-${at}`, user: `user-${at}@example.com`, rules: [everything()] },
      ]),
    ),
    '127.0.0.4': {
      name: 'reader',
      tags: ['tag:reader'],
      rules: [{ action: ['get', 'info'], secret: ['prod/*'] }],
    },
  },
}

/** Whether the caller `from` may do what `method` does on some name. */
export function mayAny(from: string, method: string): boolean {
  return from !== '127.0.0.4' || ['get', 'info', 'list'].includes(method)
}

/** Whether the caller `from` may know of `name`. */
export function sees(from: string, name: string): boolean {
  return from !== '127.0.0.4' || name.startsWith('prod/')
}

const weights = {
  get: 30,
  'get-version': 8,
  'get-if-changed': 12,
  info: 4,
  list: 2,
  put: 24,
  'create-version': 6,
  activate: 8,
  'delete-version': 8,
  delete: 2,
}

/** Versions that a secret may have before callers rather delete than add. */
const MANY = 8

/** How long a caller waits after a call that failed, in milliseconds. */
const REST_MS = 20

/** Sends calls to one server and takes note of them. */
export class Load {
  readonly #random: Random
  readonly #history: History
  readonly #port: number
  readonly #callers: readonly string[]
  /** What callers believe of the secrets, from the answers so far. */
  readonly #known = new Map<string, { highest: number; versions: Set<number>; last: string }>()
  /** Changes under way, so that a caller has one of a secret at a time. */
  readonly #busy = new Set<string>()
  #serial = 0
  #answers = 0
  #ended = false
  /** Called after each answer, with the number of answers so far. */
  onAnswer: (answers: number) => void = () => {}

  /** Every caller has its connections `times` times. */
  constructor(port: number, history: History, random: Random, times = 1) {
    this.#callers = Array.from({ length: times }, () => callers).flat()
    this.#port = port
    this.#history = history
    this.#random = random
  }

  /** Runs until `end` was called or every connection is cut. */
  async run(): Promise<void> {
    await Promise.all(this.#callers.map((from) => this.#serve(from)))
  }

  /** Lets the calls under way have their answers and sends no more. */
  end(): void {
    this.#ended = true
  }

  async #serve(from: string): Promise<void> {
    const line = new Line(this.#port, from)
    while (!line.cut && !this.#ended) {
      const operation = this.#choose()
      const changes = 'name' in operation && !['get', 'info'].includes(operation.method)
      const busy = changes ? `${from} ${operation.name}` : ''
      if (changes && this.#busy.has(busy)) continue
      this.#busy.add(busy)
      const call = await this.#history.call(line, from, operation)
      this.#busy.delete(busy)
      if (call.answer === undefined) break
      this.#learn(call)
      this.onAnswer(++this.#answers)
      if (call.answer.status >= 500) await sleep(REST_MS)
    }
    line.close()
  }

  #choose(): Call['operation'] {
    const random = this.#random
    const name = random.pick(names)
    const known = this.#known.get(name) ?? { highest: 0, versions: new Set(), last: '' }
    const version = random.pick([...known.versions, known.highest || 1])
    switch (random.weighted(weights)) {
      case 'list':
        return { method: 'list' }
      case 'info':
        return { method: 'info', name }
      case 'get':
        return { method: 'get', name, version: 0 }
      case 'get-version':
        return { method: 'get', name, version }
      case 'get-if-changed':
        return { method: 'get', name, version, held: true }
      case 'put':
        if (known.versions.size > MANY) return { method: 'delete-version', name, version }
        return { method: 'put', name, value: random.chance(0.15) ? known.last : this.#value() }
      case 'create-version':
        if (known.versions.size > MANY) return { method: 'delete', name }
        return {
          method: 'create-version',
          name,
          version: this.#number(version),
          value: this.#value(),
        }
      case 'activate':
        return { method: 'activate', name, version }
      case 'delete-version':
        return { method: 'delete-version', name, version }
      case 'delete':
        break
    }
    return { method: 'delete', name }
  }

  /** A number that is free, taken, or somewhere between. */
  #number(version: number): number {
    return Math.max(1, version + this.#random.below(6) - 1)
  }

  /** Values are told apart, and are from a few bytes to several pages of the store long. */
  #value(): string {
    const random = this.#random
    const bytes = random.chance(0.1) ? random.below(60_000) : random.below(200)
    const filling = Buffer.alloc(bytes, random.below(256))
    return Buffer.concat([Buffer.from(`${this.#serial++}:${random.next()}:`), filling]).toString(
      'base64',
    )
  }

  #learn({ operation, answer }: Call): void {
    if (!answer?.whole || answer.status !== 200) return
    if (operation.method === 'list') {
      for (const { Name, Versions } of JSON.parse(answer.body) as ListItem[]) {
        const last = this.#known.get(Name)?.last ?? ''
        const highest = Math.max(this.#known.get(Name)?.highest ?? 0, ...Versions)
        this.#known.set(Name, { highest, versions: new Set(Versions), last })
      }
      return
    }
    this.#learnOf(operation, answer.body)
  }

  #learnOf(operation: Operation, body: string): void {
    const { name } = operation
    const known = this.#known.get(name) ?? { highest: 0, versions: new Set(), last: '' }
    this.#known.set(name, known)
    if (operation.method === 'delete') known.versions.clear()
    if (operation.method === 'delete-version') known.versions.delete(operation.version)
    if (operation.method !== 'put' && operation.method !== 'create-version') return
    const version = operation.method === 'put' ? Number(body) : operation.version
    known.versions.add(version)
    if (version >= known.highest) known.last = operation.value
    known.highest = Math.max(known.highest, version)
  }
}

interface ListItem {
  readonly Name: string
  readonly Versions: readonly number[]
}

function everything() {
  return {
    action: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
    secret: ['*'],
  }
}
