/** One of the two servers of an import, asked with patience. */
import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, SottoError } from '../../../client/api/errors.ts'
import { type CallOptions, type Client, ServerError } from '../../../client/client.ts'

/** Milliseconds before each further attempt. */
const WAITS_MS = [200, 1000, 3000]

const down: readonly ErrorCode[] = ['unreachable', 'overloaded', 'shutting_down']
const passing: ReadonlySet<ErrorCode> = new Set([...down, 'conflict'])
const stopping: ReadonlySet<ErrorCode> = new Set([...down, 'unidentified'])

/** Whether the next call to that server would fail in the same way, whatever it is about. */
export function isDown(error: unknown): boolean {
  return error instanceof SottoError && stopping.has(error.code)
}

/** How calls are repeated. */
export interface Pace {
  /** Gives up every call. */
  readonly signal: AbortSignal
  /** Resolves after so many milliseconds; rejects when `signal` is aborted. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** The source or the destination. */
export class Side {
  readonly role: 'source' | 'destination'
  readonly client: Client
  readonly #pace: Required<Pace>
  /** Whether it ever gave an answer: a URL that is wrong does not get better. */
  #answered = false

  constructor(role: Side['role'], client: Client, { signal, wait = pause }: Pace) {
    this.role = role
    this.client = client
    this.#pace = { signal, wait }
  }

  /**
   * Calls, up to four times where the failure may pass and the server has answered before. A change
   * may have been made though its answer was lost, so the caller must be able to make it twice.
   * Throws SottoError with the code of the last failure and a message that begins with the role;
   * and the signal's reason.
   */
  async ask<T>(call: (client: Client, options: CallOptions) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await call(this.client, { signal: this.#pace.signal })
        this.#answered = true
        return answer
      } catch (error) {
        if (!(error instanceof SottoError)) throw error
        if (error instanceof ServerError) this.#answered = true
        const wait = this.#answered ? WAITS_MS[attempt] : undefined
        if (wait === undefined || !passing.has(error.code)) throw this.#atRole(error)
        await this.#pace.wait(wait, this.#pace.signal)
      }
    }
  }

  /** The digest of a value under `key`. The value is zeroed. Throws as `ask` does. */
  async digest(name: string, version: number, key: Uint8Array): Promise<Buffer> {
    const { Value } = await this.ask((client, options) => client.getVersion(name, version, options))
    try {
      return digestOf(Value, key)
    } finally {
      Value.fill(0)
    }
  }

  #atRole({ code, message, hint }: SottoError): SottoError {
    const extra = hint === undefined ? {} : { hint }
    return new SottoError(code, `At the ${this.role}: ${message}`, extra)
  }
}

/** A keyed digest of a value: of no use without the key. */
export function digestOf(value: Uint8Array, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(value).digest()
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal })
}
