/** A model of nodes and programs that hold a secret, beside the holdings that a server keeps of them. */
import type { FileHead } from '../../server/consumers/file.ts'
import { decodeHoldings, encodeHoldings } from '../../server/consumers/file.ts'
import { type HoldingLimits, Holdings, type Speaker } from '../../server/consumers/holdings.ts'
import { TICKS } from '../../server/consumers/judge.ts'

/** A program, and what is true of it. */
export interface Program {
  readonly node: string
  readonly label: string | undefined
  /** The version that it uses. */
  held: number
  asleep: boolean
  stream: ReturnType<Holdings['opened']>
}

interface Release {
  readonly speaker: Speaker
  readonly version: number
  readonly held: number
}

const about: FileHead = {
  store: '0'.repeat(32),
  branch: '0'.repeat(16),
  logged: 0,
  listens: 0,
  roughNames: false,
}

/** The name of the secret. */
export const NAME = 'prod/app/key'

/** Does all of `work` at once. */
export function finished<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

/** A caller on `node`. */
export function speakerOf(node: string, label?: string): Speaker {
  const principal = { hostname: node, ip: `ip-${node}`, tags: ['tag:app'] }
  return { caller: { node, principal }, client: label }
}

/** The world: what is done to it is done to the holdings as the server would. */
export class World {
  active = 1
  readonly programs = new Set<Program>()
  holdings: Holdings
  readonly #limits: Partial<HoldingLimits>
  #ticks = 1
  readonly #released: Release[] = []
  #file: { bytes: Buffer; logged: number }
  /** What programs without labels left when they ended, by node. */
  readonly #caches = new Map<string, number[]>()
  readonly #given = new Map<string, Set<number>>()

  constructor(limits: Partial<HoldingLimits> = {}) {
    this.#limits = limits
    this.holdings = this.#empty()
    this.#file = this.#encoded()
  }

  pass(seconds: number): void {
    this.#ticks += Math.round(seconds * TICKS)
  }

  /**
   * A program starts, and fetches the secret. Or it has a version from a cache, and says so: with a label `cached`, if its
   * node was given that; without one what another one had that ended: two that share a cache cannot be told apart.
   */
  start(node: string, label: string | undefined, cached = 0): Program {
    const isGiven = label !== undefined && this.#given.get(node)?.has(cached) === true
    const found = cached === 0 || label !== undefined ? undefined : this.#caches.get(node)?.pop()
    const held = isGiven ? cached : (found ?? 0)
    const program = { node, label, held, asleep: false, stream: undefined }
    this.programs.add(program)
    this.poll(program)
    // What no record tells is kept soon.
    if (this.holdings.hasNews) this.keep()
    this.holdings.hasNews = false
    return program
  }

  /** It asks, as all do that are awake. `isLost`: the first answer does not come, and it asks again. */
  poll(program: Program, isLost = false): void {
    if (program.asleep) return
    const speaker = speakerOf(program.node, program.label)
    if (program.held === this.active) return this.holdings.claimed(speaker, NAME, this.active)
    for (let times = isLost ? 2 : 1; times > 0; times--) {
      this.holdings.given(speaker, NAME, this.active, program.held)
      this.#released.push({ speaker, version: this.active, held: program.held })
      const given = this.#given.get(program.node) ?? new Set()
      this.#given.set(program.node, given.add(this.active))
    }
    program.held = this.active
  }

  /** It is told of changes by a stream, once it said what it holds. */
  watch(program: Program): void {
    if (program.asleep || program.stream || program.label === undefined) return
    const speaker = speakerOf(program.node, program.label)
    this.holdings.claimed(speaker, NAME, program.held)
    program.stream = this.holdings.opened(speaker)
  }

  /** It ends, and with it its stream. */
  end(program: Program): void {
    const { node, label, held } = program
    this.programs.delete(program)
    if (label === undefined && held > 0) {
      this.#caches.set(node, [...(this.#caches.get(node) ?? []), held])
    }
    if (program.stream) this.holdings.ended(program.stream, true)
  }

  /** The file is written. */
  keep(): void {
    this.#file = this.#encoded()
  }

  /** The server is killed and starts again. All streams end. */
  crash(): void {
    const empty = this.#empty()
    finished(decodeHoldings(this.#file.bytes, empty))
    for (const { speaker, version, held } of this.#released.slice(this.#file.logged)) {
      empty.given(speaker, NAME, version, held)
    }
    empty.silence()
    this.holdings = empty
    for (const program of this.programs) program.stream = undefined
    this.keep()
  }

  states(): string[] {
    const { holdings, active } = this
    return holdings
      .rowsOf(NAME)
      .map((row) => holdings.held(row, NAME, active))
      .filter((held) => held !== undefined)
      .map(({ holder, state, version }) =>
        [holder.node.key, holder.label ?? '-', version, state].join(' '),
      )
      .toSorted()
  }

  /** Whether the holdings say that everybody has the active version. */
  get converged(): boolean {
    const isOver = this.states().every((text) => /(?:current|left)$/.test(text))
    return isOver && !this.holdings.isLost(NAME)
  }

  /** Whether everybody has. */
  get isSo(): boolean {
    return [...this.programs].every(({ held }) => held === 0 || held === this.active)
  }

  #encoded(): { bytes: Buffer; logged: number } {
    const bytes = Buffer.concat(finished(encodeHoldings(this.holdings, about, new Set())))
    return { bytes, logged: this.#released.length }
  }

  #empty(): Holdings {
    return new Holdings(() => this.#ticks, this.#limits)
  }
}
