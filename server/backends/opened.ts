/**
 * The backends that are in use, each opened once. One that does not answer delays only the calls that need
 * it, for a bounded time and in a bounded number.
 */
import type { OpenBaoConfig, SecretRef } from '../../client/api/backends.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Backend, BackendReport } from './contract.ts'
import type { BackendMetrics, CallResult } from './metrics.ts'
import type { BackendRecord, BackendRegistry } from './registry.ts'

/** What a backend is opened with, in addition to its settings. */
export interface BackendWorld {
  /** The id of the store whose values it keeps. */
  readonly storeId: string
  /** Reads what the server logs in with. */
  readonly credential: (ref: SecretRef) => Promise<string>
}

/** Opens a backend; makes no connection before it is used. Throws `usage` or `unsafe` for an address. */
export type OpenBackend = (config: OpenBaoConfig, world: BackendWorld) => Backend

/** What is needed to open backends. */
export interface OpenBackendsParts extends BackendWorld {
  readonly registry: BackendRegistry
  /** Where backends may be: scheme, host and port of each. */
  readonly origins: readonly string[]
  readonly open: OpenBackend
  /** Milliseconds that only go up. */
  readonly now?: () => number
  readonly metrics: BackendMetrics
}

/** Calls to one backend that may be under way at once. */
const MAX_CALLS = 64
/** How long a backend that was not able to answer is left alone, in milliseconds. */
const REST_MS = 1000

/** The backends of a running server. */
export class OpenBackends {
  readonly #parts: OpenBackendsParts
  readonly #now: () => number
  readonly #opened = new Map<number, Opened>()

  constructor(parts: OpenBackendsParts) {
    this.#parts = parts
    this.#now = parts.now ?? (() => performance.now())
  }

  /**
   * Throws `backend_not_allowed` unless the server's settings allow backends at `url`, and `bad_request`
   * for what is not an address.
   */
  demandAllowed(url: string): void {
    const { origins } = this.#parts
    const address = URL.parse(url)
    if (address === null || `${address.origin}/` !== address.href) {
      throw new SottoError('bad_request', `Cannot use ${quote(url)} as the address of a backend`, {
        hint: 'It is https://HOST:PORT, and nothing after that.',
      })
    }
    if (origins.includes(address.origin)) return
    throw new SottoError(
      'backend_not_allowed',
      `The settings of the server allow no backend at ${quote(address.origin)}`,
      { hint: `Start the server with --backend-origin ${address.origin}` },
    )
  }

  /** Runs `act` on the backend `id`. Rejects with what `act` rejects with, or why it cannot be used. */
  async use<T>(id: number, act: (backend: Backend) => Promise<T>): Promise<T> {
    return this.#openedFor(await this.#parts.registry.find(id)).run(act)
  }

  /** Proves that a backend can be used, whether it rests or not. */
  async test(record: BackendRecord): Promise<BackendReport> {
    return this.#openedFor(record).backend.test()
  }

  /** Closes all of them. */
  async close(): Promise<void> {
    const opened = [...this.#opened.values()]
    this.#opened.clear()
    await Promise.all(opened.map(({ backend }) => backend.close()))
  }

  #openedFor(record: BackendRecord): Opened {
    const { id, name, config, mac } = record
    const { open, storeId, credential } = this.#parts
    const known = this.#opened.get(id)
    if (known && Buffer.compare(known.mac, mac) === 0) return known
    this.#opened.delete(id)
    void known?.backend.close()
    this.#demandStillAllowed(name, config.url)
    const note: Note = (result, ms) => this.#parts.metrics.called(name, result, ms / 1000)
    const opened = new Opened(open(config, { storeId, credential }), mac, this.#now, note)
    this.#opened.set(id, opened)
    this.#parts.metrics.follow(name, () => this.#opened.get(id)?.backend)
    return opened
  }

  /** The settings of the server may have changed since the backend was set up. */
  #demandStillAllowed(name: string, url: string): void {
    try {
      this.demandAllowed(url)
    } catch (error) {
      const { message, hint } = asSottoError(error)
      const found = `Cannot use backend ${quote(name)}: ${message}`
      throw new SottoError('backend_refused', found, { hint })
    }
  }
}

/** Called with how each call ended, and how many milliseconds it took. */
type Note = (result: CallResult, ms: number) => void

/** A backend with its calls under way. */
class Opened {
  readonly backend: Backend
  /** Of the row that it was opened from. */
  readonly mac: Uint8Array
  readonly #now: () => number
  readonly #note: Note
  #calls = 0
  #restUntil = Number.NEGATIVE_INFINITY
  #failure: SottoError | undefined

  constructor(backend: Backend, mac: Uint8Array, now: () => number, note: Note) {
    this.backend = backend
    this.mac = mac
    this.#now = now
    this.#note = note
  }

  async run<T>(act: (backend: Backend) => Promise<T>): Promise<T> {
    if (this.#failure && this.#now() < this.#restUntil) throw this.#failure
    if (this.#calls >= MAX_CALLS) {
      const found = `Cannot use ${this.backend.place}: ${this.#calls} calls wait for it already`
      const hint = 'Look whether it is overloaded.'
      throw new SottoError('backend_unavailable', found, { hint })
    }
    this.#calls++
    const began = this.#now()
    try {
      const result = await act(this.backend)
      this.#failure = undefined
      this.#note('ok', this.#now() - began)
      return result
    } catch (error) {
      const known = asSottoError(error)
      if (known.code === 'backend_unavailable') {
        this.#failure = known
        this.#restUntil = this.#now() + REST_MS
      }
      this.#note(resultOf(known), this.#now() - began)
      throw error
    } finally {
      this.#calls--
    }
  }
}

function resultOf({ code }: SottoError): CallResult {
  if (code === 'backend_unavailable') return 'unavailable'
  return code === 'backend_refused' ? 'refused' : 'failed'
}
