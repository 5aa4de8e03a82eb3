/**
 * The thread that owns the writing connection of a store, so that no commit and no sync stalls the
 * event loop of the server. All ops of a batch share one transaction and one sync; an op that is
 * refused undoes itself alone.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Database } from 'better-sqlite3'
import { attempted, changesOf, type Verb } from './changes.ts'
import { asStoreError, isFull } from './faults.ts'
import type { FromWriter, Op, OpResult, ToWriter, WriterData } from './messages.ts'
import { type PlainError, toPlain } from '../../platform/thread.ts'
import { emptyLog, openWriter } from './open.ts'

/** Erased bytes leave the log at the latest this long after the commit, unless a reader needs it. */
const ERASE_AFTER_MS = 1000

/** The longest wait between attempts while a reader is in the way: each attempt holds up changes. */
const ERASE_AT_MOST_MS = 10_000

/** What frees bytes that must go: values, wraps, and entries of the keyring with all they wrapped. */
const erasing: ReadonlySet<Verb> = new Set<Verb>([
  'removeVersion',
  'remove',
  'rehome',
  'removeWrap',
  'replaceWrap',
  'eraseKey',
  'rotateRoot',
  'settleRoot',
])

class Writer {
  readonly #db: Database
  readonly #apply
  readonly #sql
  #erasing: NodeJS.Timeout | undefined
  #eraseWait = ERASE_AFTER_MS

  constructor(db: Database) {
    this.#db = db
    this.#apply = changesOf(db)
    this.#sql = {
      begin: db.prepare('BEGIN IMMEDIATE'),
      commit: db.prepare('COMMIT'),
      rollback: db.prepare('ROLLBACK'),
      save: db.prepare('SAVEPOINT op'),
      release: db.prepare('RELEASE op'),
      undo: db.prepare('ROLLBACK TO op'),
    }
  }

  /** Does `ops` and commits; what was not committed is answered with an error. */
  run(ops: readonly Op[]): OpResult[] {
    try {
      this.#sql.begin.run()
      const results = ops.map((op) => this.#attempt(op))
      this.#sql.commit.run()
      return results
    } catch (error) {
      if (this.#db.inTransaction) this.#sql.rollback.run()
      // What is too much for the room that is left need not keep smaller changes from being done.
      if (isFull(error) && ops.length > 1) return ops.flatMap((op) => this.run([op]))
      return ops.map((op) => this.#failed(op, error))
    }
  }

  /** Lets bytes that `ops` erased, or may have, leave the log soon. Call it after `run`. */
  forget(ops: readonly Op[]): void {
    if (ops.some(({ verb }) => erasing.has(verb))) this.#eraseSoon()
  }

  close(): void {
    clearTimeout(this.#erasing)
    this.#db.close()
  }

  #attempt(op: Op): OpResult {
    this.#sql.save.run()
    try {
      const value = this.#apply(op.verb, op.args)
      this.#sql.release.run()
      return { value }
    } catch (error) {
      const fault = this.#failed(op, error)
      // SQLite ends the transaction by itself in some failures; none but refusals concern one op.
      if (fault.error.code !== 'conflict' && fault.error.code !== 'internal') throw error
      this.#sql.undo.run()
      this.#sql.release.run()
      return fault
    }
  }

  #failed({ verb, args }: Op, error: unknown): { error: PlainError } {
    return { error: toPlain(asStoreError(error, attempted(verb, args), this.#db.name)) }
  }

  #eraseSoon(): void {
    this.#erasing ??= setTimeout(() => {
      this.#erasing = undefined
      const erased = this.#emptyLog()
      this.#eraseWait = erased ? ERASE_AFTER_MS : Math.min(this.#eraseWait * 2, ERASE_AT_MOST_MS)
      if (!erased) this.#eraseSoon()
    }, this.#eraseWait)
  }

  #emptyLog(): boolean {
    try {
      return emptyLog(this.#db)
    } catch {
      return false
    }
  }
}

function start(): void {
  if (!parentPort) throw new Error('The writer runs as a worker thread')
  const port = parentPort
  const answer = (message: FromWriter): void => port.postMessage(message)
  const { path, maxBytes } = workerData as WriterData
  let writer: Writer
  try {
    writer = new Writer(openWriter(path, maxBytes))
  } catch (error) {
    return answer({ refused: toPlain(asStoreError(error, 'open it', path)) })
  }
  port.on('message', (message: ToWriter) => {
    if (message === 'close') {
      writer.close()
      port.close()
      return
    }
    answer({ results: writer.run(message.ops) })
    writer.forget(message.ops)
  })
}

start()
