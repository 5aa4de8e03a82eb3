/** The entries that wait for the disk, each for a bounded time. */
import type { Entry, Receipt } from './record.ts'
import type { Timers } from '../client/platform/timers.ts'

/** An entry, and who waits for it. */
export interface Waiting {
  readonly entry: Entry
  /** The middle of its line. */
  readonly middle: string
  /** When it began to wait, by the clock of the timers. */
  readonly since: number
  /** Set once its line is built. */
  receipt?: Receipt
  /** Whether it has waited too long, and was refused. */
  expired: boolean
  readonly resolve: (receipt: Receipt) => void
  readonly reject: (error: Error) => void
}

/** Lines that are written at once. */
export interface Batch {
  readonly items: readonly Waiting[]
  readonly bytes: Uint8Array
  /** The last of them. */
  readonly last: Receipt
}

/** How long entries wait, and what they are refused with after that. */
interface QueueOptions {
  readonly waitMs: number
  readonly timers: Timers
  readonly late: () => Error
}

/** Entries in the order in which they came: those being written, then those that are not yet. */
export class Queue {
  readonly #options: QueueOptions
  readonly #pending: Waiting[] = []
  #inFlight: readonly Waiting[] = []
  #stopWatch: (() => void) | undefined

  constructor(options: QueueOptions) {
    this.#options = options
  }

  /** Entries that are not being written yet. */
  get length(): number {
    return this.#pending.length
  }

  /** Adds an entry with the middle of its line, and what is called with its outcome. */
  push(item: Pick<Waiting, 'entry' | 'middle' | 'resolve' | 'reject'>): void {
    this.#pending.push({ ...item, since: this.#options.timers.now(), expired: false })
    if (this.#stopWatch === undefined) this.#watch(this.#options.waitMs)
  }

  /** Lets `build` take entries off the front; they count as being written from then on. */
  take(build: (pending: Waiting[]) => Batch): Batch {
    const batch = build(this.#pending)
    this.#inFlight = batch.items
    return batch
  }

  /** Resolves the entries of what was being written, which is durable. */
  finish({ items }: Batch): void {
    this.#inFlight = []
    for (const { receipt, expired, resolve } of items) {
      if (receipt && !expired) resolve(receipt)
    }
  }

  /** Refuses every entry. */
  refuse(error: Error): void {
    const items = [...this.#inFlight, ...this.#pending.splice(0)]
    this.#inFlight = []
    for (const item of items) refuse(item, error)
  }

  /** Refuses every entry, and ends the bounds. */
  close(error: Error): void {
    this.#stopWatch?.()
    this.refuse(error)
  }

  #watch(ms: number): void {
    this.#stopWatch = this.#options.timers.after(ms, () => {
      this.#stopWatch = undefined
      this.#expire()
    })
  }

  /** Refuses what has waited too long. What is not being written yet then never will be. */
  #expire(): void {
    const { timers, waitMs, late } = this.#options
    const now = timers.now()
    const isInTime = ({ since }: Waiting) => now - since < waitMs
    const error = late()
    for (const item of this.#inFlight) if (!isInTime(item)) refuse(item, error)
    const kept = this.#pending.findIndex(isInTime)
    const dropped = this.#pending.splice(0, kept < 0 ? this.#pending.length : kept)
    for (const item of dropped) refuse(item, error)
    const oldest = this.#inFlight.find(({ expired }) => !expired) ?? this.#pending[0]
    if (oldest !== undefined) this.#watch(oldest.since + waitMs - now)
  }
}

function refuse(item: Waiting, error: Error): void {
  if (item.expired) return
  item.expired = true
  item.reject(error)
}
