/**
 * Who holds which version of a secret: what get, get-many and watch tell is kept in memory, and behind that in a
 * file. Nothing here throws to those who tell, makes them wait, or fails them.
 */
import type { Timers } from '../../client/platform/timers.ts'
import { reasonOf } from '../../client/platform/system-error.ts'
import type { Call, Releases } from '../gate/gate.ts'
import type { Logger } from '../platform/logger.ts'
import { turns } from '../platform/turns.ts'
import { type Held, type HoldingLimits, Holdings } from './holdings.ts'
import { type HolderState, TICKS } from './judge.ts'
import { Keeper, type KeeperParts } from './keeper.ts'
import { type ConsumerMetrics, consumerMetrics } from './metrics.ts'
import type { Holder } from './parties.ts'

/** What holdings are made of. */
export interface ConsumersParts extends Omit<KeeperParts, 'timers' | 'logger'> {
  readonly timers: Timers
  readonly clock: () => Date
  readonly logger: Logger
  readonly metrics?: ConsumerMetrics
  readonly limits?: Partial<HoldingLimits>
}

/** How the holders of a secret are, by what is known now. */
export interface Rollout {
  readonly counts: Readonly<Record<HolderState, number>>
  /** In words, why more is unknown than holders that are. */
  readonly doubts: readonly string[]
  readonly holders: readonly (Held & { readonly silentMs: number | undefined })[]
}

/** A stream by which a program is told of changes. */
export interface Watch {
  /** Notes its end; `byClient`: the client ended it, and not the server, the network or a bound. Once. */
  ended(byClient: boolean): void
}

/** Words that wait while it is being read what was known before: of more, those about values that left are in the audit log. */
const MAX_WAITING = 50_000
/** Programs that left are forgotten after so many ticks more. */
const FORGET_AFTER = 3600 * TICKS

/** What the programs of a server hold. */
export class Consumers implements Releases {
  /** Since when it is told what is held; for people. */
  readonly since: Date
  readonly #parts: ConsumersParts
  readonly #limits: Partial<HoldingLimits>
  readonly #start: number
  #holdings: Holdings
  readonly #keeper: Keeper
  /** What was said since it is read what was known before; undefined: that is done. */
  #waiting: (() => void)[] | undefined = []
  #overflowed = false
  #reading: Promise<void> | undefined
  #failed = false

  constructor(parts: ConsumersParts) {
    this.#parts = parts
    this.#limits = parts.limits ?? {}
    this.since = parts.clock()
    this.#start = parts.timers.now()
    this.#holdings = this.#empty()
    this.#keeper = new Keeper(parts)
    const { holders, rows, dropped } = parts.metrics ?? consumerMetrics()
    holders.follow(() => this.#holdings.parties.count)
    rows.follow(() => this.#holdings.table.size)
    dropped.follow(() => this.#holdings.dropped)
  }

  /** Reads what was known before, and then begins to keep what is. Resolves when it has read; never rejects. Once. */
  begin(): Promise<void> {
    this.#reading = this.#read()
    return this.#reading
  }

  /** Keeps what is known, and ends. */
  async close(): Promise<void> {
    await this.#keeper.close()
    await this.#reading
  }

  async #read(): Promise<void> {
    const read = await this.#keeper.read(
      () => this.#empty(),
      () => {
        const missed = this.#overflowed
        if (missed) this.#waiting = []
        this.#overflowed = false
        return missed
      },
    )
    if (read === undefined) return
    this.#holdings = read
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const word of waiting) this.#safely(word)
    this.#keeper.keep(async () => {
      await turns.finish(this.#holdings.sweep(FORGET_AFTER))
      return this.#holdings
    })
  }

  given(call: Call, name: string, version: number, held: number): number {
    if (this.#waiting === undefined && !this.#failed) {
      try {
        this.#keeper.changed = true
        return this.#holdings.given(call, name, version, held)
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#say(() => this.#holdings.given(call, name, version, held))
    return -1
  }

  withdrawn(call: Call, name: string, version: number, before: number): void {
    this.#safely(() => this.#holdings.withdrawn(call, name, version, before))
  }

  /** Notes that the caller says it holds `version` of a secret: in a conditional get, or in a blocking query. */
  claimed(call: Call, name: string, version: number): void {
    if (this.#waiting !== undefined || this.#failed) {
      return this.#say(() => this.#holdings.claimed(call, name, version))
    }
    try {
      this.#keeper.changed = true
      this.#holdings.claimed(call, name, version)
      if (this.#holdings.hasNews) this.#hurry()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Notes that the caller is told of changes from now on, and what it says it holds; version 0 is nothing. Only names that it may get. */
  opened(call: Call, held: readonly { readonly Name: string; readonly Version: number }[]): Watch {
    let holder: Holder | undefined
    let isOver = false
    this.#say(() => {
      for (const { Name, Version } of held) this.#holdings.claimed(call, Name, Version)
      if (!isOver) holder = this.#holdings.opened(call)
      if (this.#holdings.hasNews) this.#hurry()
    })
    return {
      ended: (byClient) => {
        isOver = true
        if (holder) this.#safely(() => holder && this.#holdings.ended(holder, byClient))
        holder = undefined
      },
    }
  }

  /** Who holds the secret `name`, whose version `active` is. Others have their turn meanwhile. */
  async rollout(name: string, active: number): Promise<Rollout> {
    const { timers } = this.#parts
    const holdings = this.#holdings
    const doubts: string[] = []
    if (this.#failed) doubts.push('what programs hold could not be noted')
    if (this.#waiting !== undefined) doubts.push('it is still being read what programs hold')
    const listens = this.#keeper.listens(name)
    if (listens > 0) doubts.push(listening(listens))
    if (holdings.isLost(name)) doubts.push('there were more holders than are kept')
    const held = await turns.collect(holdings.rowsOf(name), (row) =>
      holdings.held(row, name, active),
    )
    const counts = { current: 0, behind: 0, unknown: 0, left: 0 }
    for (const { state } of held) counts[state]++
    const ticks = this.#ticks(timers)
    const holders = held.map((each) => ({
      ...each,
      silentMs: each.heard === 0 ? undefined : ((ticks - each.heard) * 1000) / TICKS,
    }))
    return { counts, doubts, holders }
  }

  #empty(): Holdings {
    return new Holdings(() => this.#ticks(this.#parts.timers), this.#limits)
  }

  #ticks(timers: Timers): number {
    return Math.floor(((timers.now() - this.#start) * TICKS) / 1000) + 1
  }

  #say(word: () => void): void {
    if (this.#waiting === undefined) this.#safely(word)
    else if (this.#overflowed || this.#waiting.length >= MAX_WAITING) this.#overflowed = true
    else this.#waiting.push(word)
  }

  #safely(act: () => void): void {
    if (this.#failed) return
    try {
      this.#keeper.changed = true
      act()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** What no record tells is kept soon. */
  #hurry(): void {
    this.#holdings.hasNews = false
    this.#keeper.hurry()
  }

  /** What is known may be wrong from now on: nothing is converged, and the next start makes it again. */
  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#keeper.giveUp()
    this.#parts.logger.error(`what programs hold is not noted any more: ${reasonOf(error)}`, {
      hint: 'A restart of the server makes it again from the audit log.',
    })
  }
}

function listening(ms: number): string {
  const minutes = Math.ceil(ms / 60_000)
  const time = minutes < 120 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`
  return `what was held before is known from the audit log alone: it is to be listened for ${time} more`
}
