/** Entries that wait for the disk, and the lines that they become when it is their turn. */
import { encodeLine, hashLine, MAX_WRITE_BYTES } from './line.ts'
import type { Entry, Receipt } from './record.ts'

/** An entry, and who waits for it. */
export interface Waiting {
  readonly entry: Entry
  /** The middle of its line. */
  readonly middle: string
  /** When it began to wait, by the clock of the timers. */
  readonly since: number
  /** Set once its line is built. */
  receipt: Receipt | undefined
  /** Whether it has waited too long, and was refused. */
  expired: boolean
  readonly resolve: (receipt: Receipt) => void
  readonly reject: (error: Error) => void
}

/** What every line of a batch is stamped with. */
export interface BatchStamp {
  /** The id of the first. */
  readonly id: number
  readonly time: string
  readonly revision: number
  /** The hash of the line before the first. */
  readonly prev: string
}

/** Lines that are written at once. */
export interface Batch {
  readonly items: readonly Waiting[]
  readonly bytes: Uint8Array
  /** The last of them. */
  readonly last: Receipt
}

/** Characters that the middle of a line may have, so that a write holds at least one line. */
export const MAX_MIDDLE_LENGTH: number = Math.floor(MAX_WRITE_BYTES / 4)

/** Turns entries into lines, in the same memory each time: only one batch is written at once. */
export class BatchBuilder {
  readonly #memory = Buffer.allocUnsafeSlow(MAX_WRITE_BYTES)

  /**
   * Takes as many entries off the front of `queue` as fit into one write. The bytes are good until
   * the next call.
   */
  build(queue: Waiting[], stamp: BatchStamp): Batch {
    const next = { ...stamp }
    let used = 0
    let count = 0
    for (const item of queue) {
      const line = encodeLine(item.middle, next)
      // No character takes more than three bytes of UTF-8.
      if (used + line.length * 3 + 1 > MAX_WRITE_BYTES) break
      const end = used + this.#memory.write(line, used)
      next.prev = hashLine(this.#memory.subarray(used, end))
      this.#memory[end] = 0x0a
      used = end + 1
      item.receipt = { id: next.id, hash: next.prev }
      next.id++
      count++
    }
    const items = queue.splice(0, count)
    const last = { id: next.id - 1, hash: next.prev }
    return { items, bytes: this.#memory.subarray(0, used), last }
  }
}
