/** All watches that are open: how many there may be, who hears of a change, and when each is looked after. */
import { SottoError } from '../../../client/api/errors.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Subject } from '../../gate/commits.ts'
import type { Gone } from '../../identity/identity.ts'
import { type WatchMetrics, watchMetrics } from '../metrics.ts'

/** Why the server ends a stream. */
export type Farewell = 'lag' | 'stopping' | 'age'

/** A watch, as the table of them sees it. None of its functions throws. */
export interface Watcher {
  /** Whose it is: the StableID of a node, or what a development tailnet has in its place. */
  readonly node: string
  readonly names: Iterable<string>
  /** Whether its caller may know any of them. */
  readonly mayKnow: boolean
  /** One of its names was changed. */
  changed(name: string): void
  /** About every 14 seconds, at the latest; `turn` counts up. */
  beat(turn: number): void
  /** Each second, from `attend` on. Returns whether that is still needed. */
  tick(): boolean
  /** What its caller may do is to be asked at once: the network says that it has left. */
  doubted(): void
  /** Ends it, for that reason. */
  end(why: Farewell): void
}

/** How many watches there may be. */
export interface WatchLimits {
  /** In all. */
  readonly watchers: number
  /** Of one node. */
  readonly perNode: number
  /** Names that all of them together may have. One that is long counts as several. */
  readonly names: number
  /** Names of one node. */
  readonly namesOfNode: number
}

/** The limits of a server that is given no others. */
export const watchLimits: WatchLimits = {
  watchers: 4096,
  perNode: 64,
  names: 262_144,
  namesOfNode: 65_536,
}

/** The share of those that may know none of their names: many nodes without a right leave the rest to others. */
const STRANGERS = 1 / 16

/** Characters of a name that counts as one. */
const NAME_CHARACTERS = 64

/** How often the table is looked after, in milliseconds; one of so many parts of it each time. */
const TICK_MS = 1000
const PARTS = 14
/** Watches that one turn of the event loop looks after. */
const PER_TURN = 500
/** Watches whose callers are named again at once. */
const ASKING = 32

/** What the table is made of. */
export interface WatchersParts {
  readonly limits: WatchLimits
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random?: () => number
  readonly metrics?: WatchMetrics
}

/** What the watches of one node hold. */
interface OfNode {
  readonly watchers: number
  readonly names: number
}

const none: OfNode = { watchers: 0, names: 0 }

/** The table. */
export class Watchers {
  readonly metrics: WatchMetrics
  readonly #limits: WatchLimits
  readonly #timers: Timers
  readonly #random: () => number
  /** Each watch is in one of the parts, by chance, so that not all are looked after at once. */
  readonly #parts: readonly Set<Watcher>[] = Array.from({ length: PARTS }, () => new Set<Watcher>())
  readonly #partOf = new Map<Watcher, Set<Watcher>>()
  readonly #byName = new Map<string, Set<Watcher>>()
  readonly #byNode = new Map<string, OfNode>()
  readonly #attended = new Set<Watcher>()
  /** Those whose callers could know none of their names when they began. */
  readonly #strangers = new Set<Watcher>()
  #names = 0
  #namesOfStrangers = 0
  #turn = 0
  #ticking = false
  #stopped = false
  #asking = 0
  readonly #waiting: (() => void)[] = []

  constructor({ limits, timers, random = Math.random, metrics = watchMetrics() }: WatchersParts) {
    this.#limits = limits
    this.#timers = timers
    this.#random = random
    this.metrics = metrics
    metrics.open.follow(() => this.#partOf.size)
    metrics.limit.set(limits.watchers)
  }

  /** Counts a watch in. Throws `overloaded` past a limit, and `shutting_down`. */
  enter(watcher: Watcher): void {
    if (this.#stopped) throw new SottoError('shutting_down', 'The server takes no new watches')
    const names = new Set(watcher.names)
    const weight = weightOf(names)
    const full = this.#fullBy(watcher, weight)
    if (full !== undefined) {
      this.metrics.refused.add()
      throw new SottoError('overloaded', full)
    }
    this.#count(watcher.node, 1, weight)
    if (!watcher.mayKnow) {
      this.#strangers.add(watcher)
      this.#namesOfStrangers += weight
    }
    for (const name of names) {
      const others = this.#byName.get(name)
      if (others) others.add(watcher)
      else this.#byName.set(name, new Set([watcher]))
    }
    const part = this.#parts[Math.floor(this.#random() * PARTS)] as Set<Watcher>
    part.add(watcher)
    this.#partOf.set(watcher, part)
    if (!this.#ticking) this.#tickSoon()
  }

  /** Counts a watch out, if it is in. */
  leave(watcher: Watcher): void {
    const part = this.#partOf.get(watcher)
    if (!part) return
    part.delete(watcher)
    this.#partOf.delete(watcher)
    this.#attended.delete(watcher)
    const names = new Set(watcher.names)
    const weight = weightOf(names)
    this.#count(watcher.node, -1, -weight)
    if (this.#strangers.delete(watcher)) this.#namesOfStrangers -= weight
    for (const name of names) {
      const others = this.#byName.get(name)
      if (others?.delete(watcher) && others.size === 0) this.#byName.delete(name)
    }
  }

  /** Tells those who watch it of a commit. */
  committed(subject: Subject): void {
    if (typeof subject !== 'object') return
    for (const watcher of this.#byName.get(subject.secret) ?? []) watcher.changed(subject.secret)
  }

  /** Doubts the callers that the network says have left. */
  gone(who: Gone): void {
    const nodes = who === 'everybody' ? undefined : new Set(who.nodes)
    for (const watcher of this.#partOf.keys()) {
      if (!nodes || nodes.has(watcher.node)) watcher.doubted()
    }
  }

  /** Calls `tick` of the watch each second, until that says no more. */
  attend(watcher: Watcher): void {
    if (this.#partOf.has(watcher)) this.#attended.add(watcher)
  }

  /** Runs `ask`, which names a caller, when not too many others do. */
  async asking<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#asking >= ASKING) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#asking++
    try {
      return await ask()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#asking--
    }
  }

  /** Ends all, and takes no new ones. */
  stop(): void {
    this.#stopped = true
    this.#walk([...this.#partOf.keys()], (watcher) => watcher.end('stopping'))
  }

  #fullBy({ node, mayKnow }: Watcher, names: number): string | undefined {
    const { watchers, perNode, names: most, namesOfNode } = this.#limits
    const ofNode = this.#byNode.get(node) ?? none
    if (this.#partOf.size >= watchers) return `${watchers} watches are open`
    if (ofNode.watchers >= perNode) return `${perNode} watches of this node are open`
    if (ofNode.names + names > namesOfNode) return `this node watches ${ofNode.names} names`
    if (this.#names + names > most) return `${this.#names} names are watched`
    if (mayKnow) return undefined
    const { size } = this.#strangers
    const isFull =
      size >= Math.max(1, watchers * STRANGERS) || this.#namesOfStrangers + names > most * STRANGERS
    return isFull
      ? `${size} watches are open of callers who may know none of their names`
      : undefined
  }

  #count(node: string, watchers: number, names: number): void {
    const before = this.#byNode.get(node) ?? none
    const ofNode = { watchers: before.watchers + watchers, names: before.names + names }
    if (ofNode.watchers > 0) this.#byNode.set(node, ofNode)
    else this.#byNode.delete(node)
    this.#names += names
  }

  #tickSoon(): void {
    this.#ticking = this.#partOf.size > 0
    if (this.#ticking) this.#timers.after(TICK_MS, () => this.#tick())
  }

  #tick(): void {
    this.#tickSoon()
    for (const watcher of this.#attended) {
      if (!watcher.tick()) this.#attended.delete(watcher)
    }
    const turn = this.#turn++
    const part = this.#parts[turn % PARTS] as Set<Watcher>
    this.#walk([...part], (watcher) => watcher.beat(Math.floor(turn / PARTS)))
  }

  /** Does something with many, a slice in each turn of the event loop. */
  #walk(all: readonly Watcher[], act: (watcher: Watcher) => void, from = 0): void {
    for (const watcher of all.slice(from, from + PER_TURN)) {
      if (this.#partOf.has(watcher)) act(watcher)
    }
    const next = from + PER_TURN
    if (next < all.length) setImmediate(() => this.#walk(all, act, next))
  }
}

/** As how many names some count. */
function weightOf(names: Iterable<string>): number {
  let weight = 0
  for (const name of names) weight += Math.ceil(name.length / NAME_CHARACTERS)
  return weight
}
