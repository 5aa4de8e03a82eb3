/** The queue before the reader: reads that come together travel together, and every wait has a bound. */
import type { Worker } from 'node:worker_threads'
import { SottoError } from '../../../client/api/errors.ts'
import type { StoreIdentity } from '../contract.ts'
import { attemptedRead, type LookUp, type ReadAnswer, type ReadOp, type Walk } from './messages.ts'
import { fromPlain } from '../../platform/thread.ts'
import type { Reader } from './reader.ts'

/** What a walk is of. */
type Row<V extends Walk> = ReturnType<Reader[V]> extends IterableIterator<(infer T)[]> ? T : never

interface Waiting {
  readonly op: ReadOp
  /** The rows of a walk so far. */
  readonly rows: unknown[]
  readonly resolve: (value: unknown) => void
  readonly reject: (error: SottoError) => void
  /** Goes off when nothing came for too long. */
  readonly timer: NodeJS.Timeout
}

/** Hands reads to the reader of the store at `path` and its answers to their callers. */
export class ReadQueue {
  readonly #worker: Worker
  readonly #path: string
  readonly #waitMs: number
  readonly #exited: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #planned: ReadOp[] = []
  #lastId = 0
  #closing = false
  #failure: SottoError | undefined

  /** No look-up, and no slice of a walk, is waited for longer than `waitMs`. */
  constructor(worker: Worker, path: string, waitMs: number) {
    this.#worker = worker
    this.#path = path
    this.#waitMs = waitMs
    worker.on('message', (answers: readonly ReadAnswer[]) => {
      for (const answer of answers) this.#answer(answer)
    })
    worker.on('error', (error) => this.#fail(String(error)))
    worker.on('messageerror', (error) => this.#fail(String(error)))
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        this.#fail(`it ended with code ${code}`)
        resolve()
      })
    })
  }

  /** Lets the reader open the file within `openMs`, and resolves with which store it is. */
  open(openMs: number): Promise<StoreIdentity> {
    return this.#submit('identity', [], openMs) as Promise<StoreIdentity>
  }

  /**
   * Resolves with what the reader's method finds. Rejects with what it throws, as a SottoError, and
   * with `store_unavailable` when it does not answer in time.
   */
  look<V extends LookUp>(verb: V, ...args: Parameters<Reader[V]>): Promise<ReturnType<Reader[V]>> {
    return this.#submit(verb, args) as Promise<ReturnType<Reader[V]>>
  }

  /** The same for a method that gives slices: resolves with all rows. */
  walk<V extends Walk>(verb: V, ...args: Parameters<Reader[V]>): Promise<Row<V>[]> {
    return this.#submit(verb, args) as Promise<Row<V>[]>
  }

  /** Ends the reader after what it was given. Resolves in any case, after `waitMs` at the latest. */
  async close(): Promise<void> {
    this.#send()
    this.#closing = true
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    this.#worker.postMessage('close')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#waitMs)
    })
    await Promise.race([this.#exited, late])
    clearTimeout(timer)
    void this.#worker.terminate()
  }

  #submit(
    verb: LookUp | Walk,
    args: ReadOp['args'],
    waitMs: number = this.#waitMs,
  ): Promise<unknown> {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw this.#unavailable('it is closed')
    const op: ReadOp = { id: ++this.#lastId, verb, args }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(op, waitMs), waitMs)
      this.#waiting.set(op.id, { op, rows: [], resolve, reject, timer })
      // What asks in the same turn travels together.
      if (this.#planned.push(op) === 1) setImmediate(() => this.#send())
    })
  }

  #send(): void {
    if (this.#planned.length === 0) return
    const ops = this.#planned
    this.#planned = []
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    this.#worker.postMessage(ops)
  }

  #answer(answer: ReadAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    if (!waiting) return
    const { rows, resolve, reject, timer } = waiting
    if ('slice' in answer) {
      rows.push(...answer.slice)
      if (!answer.last) {
        timer.refresh()
        return
      }
    }
    this.#waiting.delete(answer.id)
    clearTimeout(timer)
    if ('error' in answer) reject(fromPlain(answer.error))
    else resolve('slice' in answer ? rows : answer.value)
  }

  #giveUp(op: ReadOp, waitMs: number): void {
    const waiting = this.#waiting.get(op.id)
    this.#waiting.delete(op.id)
    const about = `Cannot ${attemptedRead(op)}: the store "${this.#path}"`
    waiting?.reject(
      new SottoError('store_unavailable', `${about} did not answer within ${waitMs} ms`, {
        hint: 'Look at the disk of the store, and at what else has the file open.',
      }),
    )
  }

  #fail(reason: string): void {
    this.#failure ??= this.#closing
      ? this.#unavailable('it is closed')
      : this.#unavailable(`its reader stopped: ${reason}`, 'Restart the server.')
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(this.#failure)
    }
    this.#waiting.clear()
  }

  #unavailable(reason: string, hint?: string): SottoError {
    const message = `Cannot use the store "${this.#path}": ${reason}`
    return new SottoError('store_unavailable', message, hint === undefined ? {} : { hint })
  }
}
