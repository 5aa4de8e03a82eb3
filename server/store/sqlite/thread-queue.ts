/** What the queues before the threads of a store share: how a thread fails, is late, and ends. */
import type { Worker } from 'node:worker_threads'
import { SottoError } from '../../../client/api/errors.ts'
import { orLate, processTimers } from '../../../client/platform/timers.ts'

/** The queue before the thread `worker`, which works for the store at `path`. */
export abstract class ThreadQueue<Answer> {
  readonly #worker: Worker
  readonly #path: string
  readonly #waitMs: number
  readonly #exited: Promise<void>
  #closing = false
  #failure: SottoError | undefined

  /** `role` names the thread in messages. Nothing is waited for longer than `waitMs`, unless it says so. */
  constructor(worker: Worker, role: string, path: string, waitMs: number) {
    this.#worker = worker
    this.#path = path
    this.#waitMs = waitMs
    const stopped = (reason: unknown): void =>
      this.fail(this.#unusable(`its ${role} stopped: ${String(reason)}`, 'Restart the server.'))
    worker.on('message', (message: Answer) => this.answer(message))
    worker.on('error', stopped)
    worker.on('messageerror', stopped)
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        stopped(`it ended with code ${code}`)
        resolve()
      })
    })
  }

  /** Takes what the thread says. */
  protected abstract answer(message: Answer): void

  /** Rejects everything that waits, since no answer will come. */
  protected abstract rejectAll(error: SottoError): void

  /** Throws `store_unavailable` with the reason once the thread has failed or the queue is closed. */
  demandUsable(): void {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw this.#unusable('it is closed')
  }

  protected get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Takes nothing new. */
  protected refuseMore(): void {
    this.#closing = true
  }

  protected post(message: unknown, moved: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, moved)
  }

  /** The thread does nothing any more: `error` says why. */
  protected fail(error: SottoError): void {
    this.#failure ??= this.#closing ? this.#unusable('it is closed') : error
    this.rejectAll(this.#failure)
  }

  /** Calls `give` with an error when `attempted` was not answered within `waitMs`. */
  protected alarm(
    attempted: () => string,
    give: (late: SottoError) => void,
    waitMs: number = this.#waitMs,
  ): NodeJS.Timeout {
    return setTimeout(() => {
      const message = `Cannot ${attempted()}: the store "${this.#path}" did not answer within ${waitMs} ms`
      const hint = 'Look at the disk of the store, and at what else has the file open.'
      give(new SottoError('store_unavailable', message, { hint }))
    }, waitMs)
  }

  /** Ends the thread after what it was given. Resolves in any case, after the bound at the latest. */
  protected async end(): Promise<void> {
    this.refuseMore()
    this.post('close')
    await orLate(this.#exited, { timers: processTimers, ms: this.#waitMs })
    void this.#worker.terminate()
  }

  #unusable(reason: string, hint?: string): SottoError {
    const message = `Cannot use the store "${this.#path}": ${reason}`
    return new SottoError('store_unavailable', message, hint === undefined ? {} : { hint })
  }
}
