/** The queue before the reader: reads that come together travel together, and every wait has a bound. */
import type { Worker } from 'node:worker_threads'
import type { SottoError } from '../../../client/api/errors.ts'
import { fromPlain } from '../../platform/thread.ts'
import type { StoreIdentity } from '../contract.ts'
import {
  type Asked,
  attemptedRead,
  type Found,
  type LookUp,
  lookUps,
  type Row,
  type Walk,
  walks,
} from './lookups.ts'
import type { ReadAnswer, ReadOp } from './messages.ts'
import { ThreadQueue } from './thread-queue.ts'

interface Waiting {
  /** The rows of a walk so far. */
  readonly rows: unknown[]
  readonly resolve: (value: unknown) => void
  readonly reject: (error: SottoError) => void
  /** Goes off when nothing came for too long. */
  readonly alarm: NodeJS.Timeout
}

/** The verbs of a store that read it. */
export type Reads = {
  [V in LookUp]: (...args: Asked<V>) => Promise<Found<V>>
} & { [V in Walk]: (...args: Asked<V>) => Promise<Row<V>[]> }

/** The verbs, each of which asks `queue` unless `demandUsable` throws. */
export function readsOf(queue: ReadQueue, demandUsable: () => void): Reads {
  const ask = (verb: LookUp | Walk) => {
    return async (...args: unknown[]): Promise<unknown> => {
      demandUsable()
      return queue.ask(verb, args)
    }
  }
  const verbs = [...Object.keys(lookUps), ...Object.keys(walks)] as (LookUp | Walk)[]
  return Object.fromEntries(verbs.map((verb) => [verb, ask(verb)])) as unknown as Reads
}

/** Hands reads to the reader of the store at `path` and its answers to their callers. */
export class ReadQueue extends ThreadQueue<readonly ReadAnswer[]> {
  readonly #waiting = new Map<number, Waiting>()
  #planned: ReadOp[] = []
  #lastId = 0

  /** No look-up, and no slice of a walk, is waited for longer than `waitMs`. */
  constructor(worker: Worker, path: string, waitMs: number) {
    super(worker, 'reader', path, waitMs)
  }

  /** Lets the reader open the file within `openMs`, and resolves with which store it is. */
  open(openMs: number): Promise<StoreIdentity> {
    return this.ask('identify', [], openMs) as Promise<StoreIdentity>
  }

  /** Ends the reader after what it was given. Resolves in any case, after `waitMs` at the latest. */
  close(): Promise<void> {
    this.#send()
    return this.end()
  }

  /**
   * Resolves with what the verb finds, all rows where it is a walk. Rejects with what it throws, as a
   * SottoError, and with `store_unavailable` when nothing comes for `waitMs`.
   */
  async ask(verb: LookUp | Walk, args: readonly unknown[], waitMs?: number): Promise<unknown> {
    this.demandUsable()
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const late = (error: SottoError): void => {
        this.#waiting.delete(id)
        // Others wait for their walks after it.
        this.post({ over: id })
        reject(error)
      }
      const alarm = this.alarm(() => attemptedRead(verb, args), late, waitMs)
      this.#waiting.set(id, { rows: [], resolve, reject, alarm })
      // What asks in the same turn travels together.
      if (this.#planned.push({ id, verb, args }) === 1) setImmediate(() => this.#send())
    })
  }

  #send(): void {
    if (this.#planned.length === 0) return
    this.post(this.#planned)
    this.#planned = []
  }

  protected override answer(answers: readonly ReadAnswer[]): void {
    for (const answer of answers) this.#take(answer)
  }

  #take(answer: ReadAnswer): void {
    const hasMore = 'slice' in answer && !answer.last
    // Also where it is not waited for any more: other walks are.
    if (hasMore) setImmediate(() => this.post('more'))
    const waiting = this.#waiting.get(answer.id)
    if (!waiting) return
    const { rows, resolve, reject, alarm } = waiting
    if ('slice' in answer) {
      rows.push(...answer.slice)
      if (hasMore) {
        alarm.refresh()
        return
      }
    }
    this.#waiting.delete(answer.id)
    clearTimeout(alarm)
    if ('error' in answer) reject(fromPlain(answer.error))
    else resolve('slice' in answer ? rows : answer.value)
  }

  protected override rejectAll(error: SottoError): void {
    for (const { alarm, reject } of this.#waiting.values()) {
      clearTimeout(alarm)
      reject(error)
    }
    this.#waiting.clear()
  }
}
