/** Keeps the listener on the addresses that the node has on its tailnet, as these change. */
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { addressText } from './bind.ts'
import type { Certificates } from './certificates/certificates.ts'
import type { Logger } from '../platform/logger.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { Listener } from './listener.ts'

/** What is kept open, and with what. */
export interface ListenersParts {
  readonly listener: Listener
  /** The addresses to listen on, as they are now; none while the network does not say. */
  readonly addresses: () => readonly string[]
  /** 0 lets the system choose one, for all addresses. */
  readonly port: number
  /** Undefined for plain HTTP. */
  readonly certificates: Certificates | undefined
  readonly schedule: Timers['after']
  readonly logger: Logger
}

/** How soon an address that cannot be listened on is tried again, in milliseconds. */
const RETRY_MS = 5000

/** Listens on all addresses of the node. */
export class Listeners {
  readonly #parts: ListenersParts
  readonly #open = new Set<string>()
  readonly #failed = new Set<string>()
  #port: number
  #settling: Promise<void> = Promise.resolve()
  #cancel = (): void => {}
  #closed = false

  constructor(parts: ListenersParts) {
    this.#parts = parts
    this.#port = parts.port
  }

  /**
   * Listens on every address, and resolves with the port. Rejects with `local` when it can listen on
   * none; those that it cannot have yet, it tries again.
   */
  async open(): Promise<number> {
    const problem = await this.#settle()
    if (this.#open.size > 0) return this.#port
    throw problem ?? new SottoError('local', 'There is no tailnet address to listen on')
  }

  /** Listens on addresses that are new, and no more on those that are gone. Never rejects. */
  follow(): void {
    // One after another: an address must not be taken twice.
    const before = this.#settling
    const next = async (): Promise<void> => {
      await before
      if (!this.#closed) await this.#settle()
    }
    this.#settling = next()
  }

  /** Follows no more. What is open is the listener's to close. */
  close(): void {
    this.#closed = true
    this.#cancel()
  }

  /** Resolves with the last problem, if there was one. */
  async #settle(): Promise<SottoError | undefined> {
    const { listener, addresses, certificates, schedule, logger } = this.#parts
    const wanted = addresses()
    // While the network does not answer the listeners stay as they are: unknown callers are refused anyway.
    if (wanted.length === 0) return undefined
    for (const host of [...this.#open].filter((each) => !wanted.includes(each))) {
      listener.unlisten({ host, port: this.#port })
      this.#open.delete(host)
      logger.info(`no longer serving on ${addressText({ host, port: this.#port })}`)
    }
    let problem: SottoError | undefined
    for (const host of wanted.filter((each) => !this.#open.has(each))) {
      try {
        this.#port = await listener.listen({ host, port: this.#port }, certificates)
        this.#open.add(host)
        this.#failed.delete(host)
        logger.info(`serving on ${addressText({ host, port: this.#port })}`)
      } catch (error) {
        problem = asSottoError(error)
        const { code, message, hint } = problem
        if (!this.#failed.has(host)) logger.warn(`${message}; it is tried again`, { code, hint })
        this.#failed.add(host)
      }
    }
    this.#cancel()
    if (problem) this.#cancel = schedule(RETRY_MS, () => this.follow())
    return problem
  }
}
