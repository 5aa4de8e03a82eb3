/**
 * The queue before the writer. What waits while a batch is being committed makes up the next one,
 * so that changes share a sync however many come at once. Every wait has a bound.
 */
import type { Worker } from 'node:worker_threads'
import { SottoError } from '../../../client/api/errors.ts'
import type { StoreMetrics } from '../metrics.ts'
import { attempted, type FromWriter, type Op, type OpValue } from './messages.ts'
import { fromPlain } from '../../platform/thread.ts'

/** The bounds of a queue. */
export interface QueueLimits {
  /** How long the caller of an op waits for its answer. */
  readonly waitMs: number
  /** Ops that may wait behind the batch that the writer is doing before a change is refused. */
  readonly maxWaiting: number
}

/** Ops and bytes that a batch may have; one op is taken whatever its size. */
const BATCH_OPS = 256
const BATCH_BYTES = 8 * 1024 * 1024

interface Waiting {
  readonly op: Op
  readonly bytes: number
  readonly resolve: (value: OpValue) => void
  readonly reject: (error: SottoError) => void
  readonly timer: NodeJS.Timeout
}

/** Hands ops to the writer of the store at `path` and its answers to their callers. */
export class WriteQueue {
  readonly #worker: Worker
  readonly #path: string
  readonly #limits: QueueLimits
  readonly #metrics: Pick<StoreMetrics, 'commits' | 'commitSeconds' | 'waiting'>
  readonly #exited: Promise<void>
  /** Called once no op waits; there only while draining. */
  #drained: (() => void) | undefined
  #waiting: Waiting[] = []
  #doing: readonly Waiting[] | undefined
  /** When the writer was given what it is doing, by `performance.now()`. */
  #doingSince = 0
  #planned = false
  #closing = false
  #failure: SottoError | undefined

  constructor(
    worker: Worker,
    path: string,
    limits: QueueLimits,
    metrics: Pick<StoreMetrics, 'commits' | 'commitSeconds' | 'waiting'>,
  ) {
    this.#worker = worker
    this.#path = path
    this.#limits = limits
    this.#metrics = metrics
    metrics.waiting.follow(() => this.#waiting.length + (this.#doing?.length ?? 0))
    worker.on('message', (message: FromWriter) => {
      if ('results' in message) this.#answer(message.results)
      else this.#fail(fromPlain(message.refused))
    })
    worker.on('error', (error) => this.#fail(this.#stopped(String(error))))
    worker.on('messageerror', (error) => this.#fail(this.#stopped(String(error))))
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        this.#fail(this.#stopped(`it ended with code ${code}`))
        resolve()
      })
    })
  }

  /** Throws `store_unavailable` with the reason once the writer has failed or the store is closed. */
  demandUsable(): void {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw closed(this.#path)
  }

  /**
   * Resolves with the answer to `op`. Rejects with what the writer says; with `store_unavailable`
   * when it does not answer within `waitMs`, though it may still do the op; and with `overloaded`.
   */
  submit(op: Op, waitMs: number = this.#limits.waitMs): Promise<OpValue> {
    this.demandUsable()
    if (op.kind === 'change' && this.#waiting.length >= this.#limits.maxWaiting) {
      const message = `Cannot ${attempted(op)}: ${this.#waiting.length} changes wait already`
      throw new SottoError('overloaded', message)
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(waiting, waitMs), waitMs)
      const waiting: Waiting = { op, bytes: sizeOf(op), resolve, reject, timer }
      this.#waiting.push(waiting)
      this.#plan()
    })
  }

  /** Takes nothing new. Resolves when the writer has all that was accepted, or was given up. */
  async drain(): Promise<void> {
    this.#closing = true
    if (this.#waiting.length === 0) return
    await new Promise<void>((resolve) => {
      this.#drained = resolve
    })
  }

  /** Ends the writer after what it was given. Resolves in any case, after `waitMs` at the latest. */
  async close(): Promise<void> {
    await this.drain()
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    this.#worker.postMessage('close')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#limits.waitMs)
    })
    await Promise.race([this.#exited, late])
    clearTimeout(timer)
    void this.#worker.terminate()
  }

  /** Sends the next batch once what is running has had its say, so that its changes are in it. */
  #plan(): void {
    if (this.#planned || this.#doing) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      this.#send()
    })
  }

  #send(): void {
    if (this.#doing || this.#waiting.length === 0 || this.#failure) return
    let bytes = 0
    let count = 0
    for (const { bytes: more } of this.#waiting.slice(0, BATCH_OPS)) {
      bytes += more
      if (count > 0 && bytes > BATCH_BYTES) break
      count++
    }
    this.#doing = this.#waiting.splice(0, count)
    this.#doingSince = performance.now()
    const ops = this.#doing.map(({ op }) => op)
    this.#worker.postMessage({ ops }, ops.flatMap(buffersOf))
    if (this.#waiting.length === 0) this.#drained?.()
  }

  #answer(results: Extract<FromWriter, { results: unknown }>['results']): void {
    const doing = this.#doing ?? []
    this.#doing = undefined
    const isDone = ({ op }: Waiting, at: number): boolean =>
      op.kind !== 'ping' && 'value' in (results[at] ?? {})
    if (doing.some(isDone)) {
      this.#metrics.commits.add()
      this.#metrics.commitSeconds.observe((performance.now() - this.#doingSince) / 1000)
    }
    for (const [index, { resolve, reject, timer }] of doing.entries()) {
      clearTimeout(timer)
      const result = results[index]
      if (result && 'value' in result) resolve(result.value)
      else if (result) reject(fromPlain(result.error))
    }
    if (this.#waiting.length > 0) this.#plan()
  }

  /** The writer may be doing the op; where it is not yet, it never will. */
  #giveUp(waiting: Waiting, waitMs: number): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting)
    const about = `Cannot ${attempted(waiting.op)}: the store "${this.#path}"`
    waiting.reject(
      new SottoError('store_unavailable', `${about} did not answer within ${waitMs} ms`, {
        hint: 'Look at the disk of the store, and at what else has the file open.',
      }),
    )
    if (this.#waiting.length === 0) this.#drained?.()
  }

  #stopped(reason: string): SottoError {
    const message = `Cannot use the store "${this.#path}": its writer stopped: ${reason}`
    return new SottoError('store_unavailable', message, { hint: 'Restart the server.' })
  }

  #fail(error: SottoError): void {
    this.#failure ??= this.#closing ? closed(this.#path) : error
    for (const { timer, reject } of [...(this.#doing ?? []), ...this.#waiting]) {
      clearTimeout(timer)
      reject(this.#failure)
    }
    this.#doing = undefined
    this.#waiting = []
    this.#drained?.()
  }
}

function closed(path: string): SottoError {
  return new SottoError('store_unavailable', `Cannot use the store "${path}": it is closed`)
}

function sizeOf(op: Op): number {
  return buffersOf(op).reduce((bytes, buffer) => bytes + buffer.byteLength, 0)
}

/** The memory of `op` that moves to the writer; each buffer is the op's own. */
function buffersOf(op: Op): ArrayBuffer[] {
  if (op.kind === 'wrap' && op.added) return [op.added.wrapped.buffer as ArrayBuffer]
  if (op.kind !== 'change') return []
  const { expected, mac, added } = op
  return [expected, mac, added?.wrappedKey, added?.sealed]
    .filter((bytes) => bytes !== null && bytes !== undefined)
    .map((bytes) => bytes.buffer as ArrayBuffer)
}
