/**
 * The queue before the writer. What waits while a batch is being committed makes up the next one,
 * so that changes share a sync however many come at once. Every wait has a bound.
 */
import type { Worker } from 'node:worker_threads'
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import { fromPlain } from '../../platform/thread.ts'
import type { Change, Sign, Store } from '../contract.ts'
import type { StoreMetrics } from '../metrics.ts'
import { attempted, changesSecret, type Given, type Outcome, type Verb, verbs } from './changes.ts'
import type { FromWriter, Op, OpResult } from './messages.ts'
import { ThreadQueue } from './thread-queue.ts'

/** The bounds of a queue. */
export interface QueueLimits {
  /** How long the caller of an op waits for its answer. */
  readonly waitMs: number
  /** Ops that may wait for the batch that the writer is doing before a change is refused. */
  readonly maxWaiting: number
}

/** Ops and bytes that a batch may have; one op is taken whatever its size. */
const BATCH_OPS = 256
const BATCH_BYTES = 8 * 1024 * 1024

interface Waiting {
  readonly op: Op
  /** Its memory, which moves to the writer. */
  readonly buffers: readonly ArrayBuffer[]
  readonly resolve: (value: unknown) => void
  readonly reject: (error: SottoError) => void
  readonly alarm: NodeJS.Timeout
}

/** The verbs, as the contract has them. */
export type Writes = { [V in Verb]: (...args: Given<V>) => Promise<Outcome<V>> }

/** The verbs, which `queue` has the writer do. Changes that an intent announced are counted. */
export function writesOf(
  queue: WriteQueue,
  { changes }: Pick<StoreMetrics, 'changes'>,
): Writes & Pick<Store, 'authenticate'> {
  let sign: Sign | undefined
  const write = (verb: Verb) => {
    return async (...args: unknown[]): Promise<unknown> => {
      if (changesSecret(verb)) demandWellFormed(args[0] as Change)
      if (!isAnnounced(args)) return queue.submit(verb, args)
      try {
        const [change, ...rest] = args
        const found = sign?.(verb, args)
        // What is signed at once keeps its place among changes.
        const given = found instanceof Promise ? await found : found
        const signed = { ...(change as object), ...given }
        const value = await queue.submit(verb, [signed, ...rest])
        changes.with({ result: 'done' }).add()
        return value
      } catch (error) {
        const unknown = asSottoError(error).code === 'store_unavailable'
        changes.with({ result: unknown ? 'unknown' : 'refused' }).add()
        throw error
      }
    }
  }
  const authenticate = (by: Sign): void => void (sign = by)
  const writes = Object.fromEntries(verbs.map((verb) => [verb, write(verb)])) as unknown as Writes
  return { ...writes, authenticate }
}

/** Hands ops to the writer of the store at `path` and its answers to their callers. */
export class WriteQueue extends ThreadQueue<FromWriter> {
  readonly #maxWaiting: number
  readonly #metrics: Pick<StoreMetrics, 'commits' | 'commitSeconds' | 'waiting'>
  /** Called once no op waits; there only while draining. */
  #drained: (() => void) | undefined
  #waiting: Waiting[] = []
  #doing: readonly Waiting[] | undefined
  /** When the writer was given what it is doing, by `performance.now()`. */
  #doingSince = 0
  #planned = false

  constructor(
    worker: Worker,
    path: string,
    { waitMs, maxWaiting }: QueueLimits,
    metrics: Pick<StoreMetrics, 'commits' | 'commitSeconds' | 'waiting'>,
  ) {
    super(worker, 'writer', path, waitMs)
    this.#maxWaiting = maxWaiting
    this.#metrics = metrics
    metrics.waiting.follow(() => this.#waiting.length + (this.#doing?.length ?? 0))
  }

  /**
   * Resolves with what the verb returns. Rejects with what the writer says; with `store_unavailable`
   * when it does not answer within `waitMs`, though it may still do the op; and with `overloaded`.
   */
  async submit(verb: Verb, given: readonly unknown[], waitMs?: number): Promise<unknown> {
    this.demandUsable()
    const attempt = (): string => attempted(verb, given)
    if (changesSecret(verb) && this.#waiting.length >= this.#maxWaiting) {
      const message = `Cannot ${attempt()}: ${this.#waiting.length} changes wait already`
      throw new SottoError('overloaded', message)
    }
    const buffers: ArrayBuffer[] = []
    const args = copyOf(given, buffers)
    return new Promise((resolve, reject) => {
      const late = (error: SottoError): void => this.#giveUp(waiting, error)
      const alarm = this.alarm(attempt, late, waitMs)
      const waiting: Waiting = { op: { verb, args }, buffers, resolve, reject, alarm }
      this.#waiting.push(waiting)
      this.#plan()
    })
  }

  /** Takes nothing new. Resolves when the writer has all that was accepted, or was given up. */
  async drain(): Promise<void> {
    this.refuseMore()
    if (this.#waiting.length === 0) return
    const drained = Promise.withResolvers<void>()
    this.#drained = drained.resolve
    await drained.promise
  }

  /** Ends the writer after what it was given. Resolves in any case, after `waitMs` at the latest. */
  async close(): Promise<void> {
    await this.drain()
    await this.end()
  }

  /** Sends the next batch after the running code has ended, so that its changes are in it. */
  #plan(): void {
    if (this.#planned || this.#doing) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      this.#send()
    })
  }

  #send(): void {
    if (this.#doing || this.#waiting.length === 0 || this.failed) return
    let bytes = 0
    let count = 0
    for (const { buffers } of this.#waiting.slice(0, BATCH_OPS)) {
      for (const { byteLength } of buffers) bytes += byteLength
      if (count > 0 && bytes > BATCH_BYTES) break
      count++
    }
    this.#doing = this.#waiting.splice(0, count)
    this.#doingSince = performance.now()
    const moved = this.#doing.flatMap(({ buffers }) => buffers)
    this.post({ ops: this.#doing.map(({ op }) => op) }, moved)
    if (this.#waiting.length === 0) this.#drained?.()
  }

  protected override answer(message: FromWriter): void {
    if ('refused' in message) {
      this.fail(fromPlain(message.refused))
      return
    }
    const doing = this.#doing ?? []
    this.#doing = undefined
    this.#count(doing, message.results)
    for (const [index, { resolve, reject, alarm }] of doing.entries()) {
      clearTimeout(alarm)
      const result = message.results[index]
      if (result && 'value' in result) resolve(result.value)
      else if (result) reject(fromPlain(result.error))
    }
    if (this.#waiting.length > 0) this.#plan()
  }

  #count(doing: readonly Waiting[], results: readonly OpResult[]): void {
    const isDone = ({ op }: Waiting, at: number): boolean =>
      op.verb !== 'ping' && 'value' in (results[at] ?? {})
    if (!doing.some(isDone)) return
    this.#metrics.commits.add()
    this.#metrics.commitSeconds.observe((performance.now() - this.#doingSince) / 1000)
  }

  /** The writer may be doing the op; if it was not sent yet, it never will be. */
  #giveUp(waiting: Waiting, error: SottoError): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting)
    waiting.reject(error)
    if (this.#waiting.length === 0) this.#drained?.()
  }

  protected override rejectAll(error: SottoError): void {
    for (const { alarm, reject } of [...(this.#doing ?? []), ...this.#waiting]) {
      clearTimeout(alarm)
      reject(error)
    }
    this.#doing = undefined
    this.#waiting = []
    this.#drained?.()
  }
}

/**
 * A copy of `value` that shares no memory with it, so that its bytes, which are noted in `buffers`, can move
 * to the writer.
 */
function copyOf<T>(value: T, buffers: ArrayBuffer[]): T {
  if (value instanceof Uint8Array) {
    const copy = new Uint8Array(value)
    buffers.push(copy.buffer)
    return copy as T
  }
  if (Array.isArray(value)) return value.map((each: unknown) => copyOf(each, buffers)) as T
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).map(([key, field]) => [key, copyOf(field, buffers)])
  return Object.fromEntries(fields) as T
}

function isAnnounced([first]: readonly unknown[]): boolean {
  return typeof first === 'object' && first !== null && 'intent' in first
}

function demandWellFormed({ next: { name } }: Change): void {
  if (name.isWellFormed()) return
  throw new SottoError('invalid_name', `Cannot store ${quote(name)}: not well-formed Unicode`)
}
