/** The secrets of one caller: what calls it makes, and what the model says of each. */
import type { Random } from '../support-crash/random.ts'
import { infoBody, type Operation, type State, step, unused } from '../support-crash/model.ts'
import { refusals, type Verdict } from './draft.ts'

/** A call of the API by the rules, and its outcome. */
export interface Planned {
  readonly operation: Operation | { readonly method: 'list' } | { readonly method: 'whoami' }
  readonly verdict: Verdict
}

/** Every value begins with these bytes, so that it is known where it should not be. */
const MARK = Buffer.from('S3CR3T')

/** Forms of the mark that no error, and no header, may have. */
export const marks: readonly string[] = [MARK.toString(), MARK.toString('base64')]

const HIGHEST = 4_294_967_295

/** What names end in, below the folder of their caller. */
const tails: readonly string[] = [
  'key',
  'key ',
  'päron/秘密/🔑',
  '../../etc/passwd',
  '"quoted"\\and%2f',
  '__proto__',
  'x'.repeat(460),
]

/** Calls until the caller deletes everything and goes on under other names. */
const CALLS_OF_A_FOLDER = 1500

const weights = {
  get: 30,
  'get-version': 8,
  'get-if-changed': 14,
  info: 6,
  put: 18,
  'create-version': 7,
  activate: 8,
  'delete-version': 6,
  delete: 2,
  list: 2,
  whoami: 3,
}

/** The secrets below the folder of one caller. */
export class Secrets {
  /** Callers may do everything below their folder and nothing elsewhere. */
  readonly folder: string
  readonly #states = new Map<string, State>()
  #epoch = 0
  #calls = 0
  #doomed: string[] = []

  constructor(folder: string) {
    this.folder = folder
  }

  /** The next call. None of those in a batch concerns a name of `taken`, to which its own is added. */
  plan(random: Random, taken: Set<string>): Planned {
    if (++this.#calls % CALLS_OF_A_FOLDER === 0) {
      this.#epoch++
      this.#doomed = [...this.#states.keys()]
    }
    const doomed = this.#doomed.at(-1)
    if (doomed !== undefined && !taken.has(doomed) && !taken.has('')) {
      this.#doomed.pop()
      taken.add(doomed)
      return this.#step({ method: 'delete', name: doomed })
    }
    let kind = random.weighted(weights)
    // What is sent ahead of a list may or may not be in it.
    if (kind === 'list' && taken.size > 0) kind = 'whoami'
    if (kind === 'whoami') return { operation: { method: 'whoami' }, verdict: { status: 200 } }
    if (kind === 'list') {
      taken.add('')
      return { operation: { method: 'list' }, verdict: { status: 200, body: this.list() } }
    }
    const name = this.freeName(random, taken)
    if (name === undefined) return { operation: { method: 'whoami' }, verdict: { status: 200 } }
    taken.add(name)
    return this.#step(this.#operation(random, kind, name))
  }

  /** A name of the folder that is in nobody's hands; undefined when all are, or a list is. */
  freeName(random: Random, taken: ReadonlySet<string>): string | undefined {
    if (taken.has('')) return undefined
    const free = tails.map((tail) => this.#nameOf(tail)).filter((name) => !taken.has(name))
    return free.length === 0 ? undefined : random.pick(free)
  }

  /** The answer to a list. */
  list(): string {
    const existing = [...this.#states].filter(([, state]) => state.active > 0)
    const sorted = existing.toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    return `[${sorted.map(([name, state]) => infoBody(name, state)).join(',')}]`
  }

  #nameOf(tail: string): string {
    return `${this.folder}${this.#epoch}/${tail}`
  }

  #step(operation: Operation): Planned {
    const { name } = operation
    const state = this.#states.get(name) ?? unused
    const { outcome, next } = step(state, operation)
    // Whatever the value is: who guesses at the latest leaves no version here.
    if (operation.method === 'put' && state.highest >= HIGHEST) {
      return { operation, verdict: refusals.exhausted }
    }
    if (next !== state) this.#states.set(name, next)
    if (next.active === 0 && !name.startsWith(`${this.folder}${this.#epoch}/`)) {
      this.#states.delete(name)
    }
    return { operation, verdict: { ...outcome, ...inWords(operation, outcome.status) } }
  }

  #operation(random: Random, kind: keyof typeof weights, name: string): Operation {
    const state = this.#states.get(name) ?? unused
    const versions = [...state.values.keys()]
    const known = (): number =>
      versions.length > 0 && random.chance(0.8)
        ? random.pick(versions)
        : random.pick([1, 2, 3, 77, Math.min(state.highest + 1, HIGHEST), HIGHEST])
    switch (kind) {
      case 'get':
        return { method: 'get', name, version: 0 }
      case 'get-version':
        return { method: 'get', name, version: known() }
      case 'get-if-changed':
        return {
          method: 'get',
          name,
          version: random.chance(0.7) ? state.active : known(),
          held: true,
        }
      case 'put': {
        const latest = state.values.get(versions.at(-1) ?? 0)
        const again = latest !== undefined && random.chance(0.15)
        return { method: 'put', name, value: again ? latest : valueOf(random) }
      }
      case 'create-version': {
        // The highest number ends what a name can take: seldom.
        const version = random.chance(0.005)
          ? HIGHEST
          : Math.min(HIGHEST, 1 + random.below(Math.min(state.highest, 1e6) + 4))
        return { method: 'create-version', name, version, value: valueOf(random) }
      }
      case 'activate':
      case 'delete-version':
        return { method: kind, name, version: Math.max(1, known()) }
      case 'delete':
        return { method: 'delete', name }
      case 'info':
      case 'list':
      case 'whoami':
        break
    }
    return { method: 'info', name }
  }
}

/** A value in base64: mostly short, now and then empty or long. */
export function valueOf(random: Random): string {
  if (random.chance(0.03)) return ''
  const length = random.chance(0.002) ? random.below(900_000) : random.below(60)
  const rest = Buffer.alloc(length, random.below(256))
  if (length > 0) rest[0] = random.below(256)
  return Buffer.concat([MARK, rest]).toString('base64')
}

function inWords({ method }: Operation, status: number): { body?: string } {
  if (status === 404) return refusals.notFound
  if (status === 412) return refusals.versionSet
  return status === 400 && method === 'delete-version' ? refusals.versionActive : {}
}
