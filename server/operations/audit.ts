/**
 * What operators ask a server about its audit log. A page is looked for in a thread of its own, which reads
 * the files as any program could, so that no question delays a caller of a secret.
 */
import { Worker } from 'node:worker_threads'
import { orLate, processTimers } from '../../client/platform/timers.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { TakenBackIn } from '../../audit/outcomes.ts'
import { auditWords } from '../../audit/vocabulary.ts'
import type { Asked, Found } from './audit-thread.ts'
import { type ThreadAnswer, threadScript } from '../platform/thread.ts'

/**
 * How long a page may take, the start of the thread included, and how long it waits for its turn, in
 * milliseconds.
 */
const WAIT_MS = 10_000
/** How long a stop waits for a thread to end, in milliseconds. */
const END_MS = 1000
/** How many questions may wait for the one that is being answered. */
const MAX_WAITING = 16

/** Node strips types from sources, but the compiled package has no sources. */
const script = threadScript('server/operations/audit-thread')

type AuditPage = OperationResponse<'audit-query'>

/** What questions are answered with. */
export interface AuditQueriesParts {
  /** The folder of the audit log. */
  readonly directory: string
  readonly gate: Gate
  /** How long a page may take, in milliseconds. Default: 10,000. */
  readonly waitMs?: number
}

/** AuditQueries to the audit log of one server, answered one after another. */
export class AuditQueries {
  readonly #parts: Required<AuditQueriesParts>
  /** Resolves when the thread of the last question is gone. */
  #last: Promise<void> = Promise.resolve()
  #waiting = 0
  #takenBack: TakenBackIn = new Map()
  #thread: Worker | undefined
  #closed = false

  constructor(parts: AuditQueriesParts) {
    this.#parts = { waitMs: WAIT_MS, ...parts }
  }

  /**
   * A page of the log, after a record that it was asked for is durable. Needs `audit` on the empty
   * name. Rejects with `audit_unavailable`, with `overloaded` when too many ask, with `shutting_down`,
   * and with `internal` when the files cannot be read in time.
   */
  async ask(call: Call, request: OperationRequest<'audit-query'>): Promise<AuditPage> {
    const pass = await this.#parts.gate.operate(call, 'audit', 'audit-query', request)
    const { Action } = request
    if (Action !== undefined && !auditWords.includes(Action)) {
      throw new SottoError('bad_request', `No audit record is about ${quote(Action)}`)
    }
    if (this.#waiting >= MAX_WAITING) {
      throw new SottoError('overloaded', `${MAX_WAITING} questions wait for the audit log already`)
    }
    this.#waiting++
    try {
      await pass.announce()
      return await this.#inTurn(request)
    } finally {
      this.#waiting--
    }
  }

  /** Ends the thread of the question that is being answered. */
  async close(): Promise<void> {
    this.#closed = true
    await orLate(Promise.resolve(this.#thread?.terminate()), { timers: processTimers, ms: END_MS })
  }

  /** One thread at a time: a slow disk must not make one of them into many. */
  async #inTurn(request: OperationRequest<'audit-query'>): Promise<AuditPage> {
    const before = this.#last
    const gone = Promise.withResolvers<void>()
    this.#last = gone.promise
    try {
      const bound = { timers: processTimers, ms: this.#parts.waitMs }
      if ((await orLate(before, bound)) === 'late') throw this.#late()
      const { directory } = this.#parts
      const found = await this.#answer({ directory, request, takenBack: this.#takenBack })
      this.#takenBack = found.takenBack
      return found.page
    } finally {
      const thread = this.#thread
      void before.then(() => thread?.terminate()).then(() => gone.resolve())
    }
  }

  async #answer(asked: Asked): Promise<Found> {
    if (this.#closed) throw new SottoError('shutting_down', 'The server answers no more questions')
    const thread = new Worker(script, { workerData: asked, env: {}, name: 'audit-question' })
    this.#thread = thread
    const answered = new Promise<ThreadAnswer<Found>>((resolve, reject) => {
      thread.once('message', resolve)
      thread.once('error', reject)
      thread.once('exit', () => reject(new Error('The thread ended without an answer')))
    })
    const answer = await orLate(answered, { timers: processTimers, ms: this.#parts.waitMs })
    if (answer === 'late') throw this.#late()
    if ('value' in answer) return answer.value
    const { message, hint } = answer.error
    throw new SottoError('internal', message, { hint })
  }

  #late(): SottoError {
    const about = `Cannot read the audit log in ${quote(this.#parts.directory)}`
    return new SottoError(
      'internal',
      `${about}: the disk did not answer within ${this.#parts.waitMs} ms`,
    )
  }
}
