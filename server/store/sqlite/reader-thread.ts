/**
 * The thread that reads a store, so that a disk which does not answer holds up only those who read. Look-ups are done in the order in which they come, slices of walks between them.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { asStoreError } from './faults.ts'
import { type Asked, attemptedRead, isWalk, type LookUp, type Walk } from './lookups.ts'
import type { ReadAnswer, ReadOp, ToReader, WriterData } from './messages.ts'
import { toPlain } from '../../platform/thread.ts'
import { Reader } from './reader.ts'

/** What the reader is started with. */
export type ReaderData = Pick<WriterData, 'path'>

class Reading {
  readonly #path: string
  readonly #send: (answers: readonly ReadAnswer[]) => void
  /** Opened by the first read, when the writer has looked at the file. */
  #reader: Reader | undefined
  /** The last of the walks, which run one after another. */
  #walking: Promise<void> = Promise.resolve()
  /** The walks that somebody waits for. */
  readonly #wanted = new Set<number>()
  /** Called when the latest slice was taken. */
  #taken = (): void => {}

  constructor(path: string, send: (answers: readonly ReadAnswer[]) => void) {
    this.#path = path
    this.#send = send
  }

  /** Answers look-ups together, and walks one after another. */
  run(ops: readonly ReadOp[]): void {
    const answers = ops.flatMap((op) => {
      if (!isWalk(op.verb)) return [this.#lookUp(op)]
      this.#wanted.add(op.id)
      this.#walking = this.#walking.then(() => this.#walk(op))
      return []
    })
    if (answers.length > 0) this.#send(answers)
  }

  /** Sends the next slice: they would all be taken at once otherwise, which delays everybody else there. */
  more(): void {
    this.#taken()
  }

  /** Nobody waits for the walk `id` any more. */
  forget(id: number): void {
    this.#wanted.delete(id)
  }

  async close(): Promise<void> {
    await this.#walking
    this.#reader?.close()
  }

  #lookUp(op: ReadOp): ReadAnswer {
    try {
      const { id, verb, args } = op
      return { id, value: this.#open().look(verb as LookUp, ...(args as Asked<LookUp>)) }
    } catch (error) {
      return this.#failed(op, error)
    }
  }

  async #walk(op: ReadOp): Promise<void> {
    const { id, verb, args } = op
    if (!this.#wanted.has(id)) return
    try {
      using slices = this.#open().walk(verb as Walk, ...(args as Asked<Walk>))
      for (let step = slices.next(); !step.done && this.#wanted.has(id); ) {
        const slice = step.value
        step = slices.next()
        const taken = new Promise<void>((resolve) => (this.#taken = resolve))
        this.#send([{ id, slice, last: step.done === true }])
        await (step.done ? nextTurn() : taken)
      }
    } catch (error) {
      this.#send([this.#failed(op, error)])
    } finally {
      this.#wanted.delete(id)
    }
  }

  #open(): Reader {
    return (this.#reader ??= new Reader(this.#path))
  }

  #failed({ id, verb, args }: ReadOp, error: unknown): ReadAnswer {
    return { id, error: toPlain(asStoreError(error, attemptedRead(verb, args), this.#path)) }
  }
}

function start(): void {
  if (!parentPort) throw new Error('The reader runs as a worker thread')
  const port = parentPort
  const { path } = workerData as ReaderData
  const reading = new Reading(path, (answers) => port.postMessage(answers))
  port.on('message', (message: ToReader) => {
    if (message === 'more') reading.more()
    else if (message === 'close') void reading.close().finally(() => port.close())
    else if ('over' in message) reading.forget(message.over)
    else reading.run(message)
  })
}

start()
