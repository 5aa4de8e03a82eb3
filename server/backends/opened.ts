/**
 * The backends that are in use, each opened once. One that does not answer delays only the calls that need
 * it, for a bounded time and in a bounded number.
 */
import { isDeepStrictEqual } from 'node:util'
import type { OpenBaoConfig, SecretRef } from '../../client/api/backends.ts'
import { asSottoError, onlyFor, quote, SottoError } from '../../client/api/errors.ts'
import type { Adoption } from '../store/adoption.ts'
import type { Backend, BackendReader, BackendReport, BackendStatus, Owner } from './contract.ts'
import type { BackendMetrics, CallResult } from './metrics.ts'
import { demandOwnIdentity, type OwnIdentity } from './own-identity.ts'
import { shared } from '../platform/turns.ts'
import { type Placed, Places } from './places.ts'
import type { BackendRecord, BackendRegistry, BackendSettings } from './registry.ts'

/** What a backend is opened with, in addition to its settings. */
export interface BackendWorld {
  /** Whose values it keeps. */
  readonly owner: Owner
  /** Reads what the server logs in with. */
  readonly credential: (ref: SecretRef) => Promise<string>
}

/** Opens a backend; makes no connection before it is used. Throws `usage` or `unsafe` for an address. */
export type OpenBackend = (config: OpenBaoConfig, world: BackendWorld) => Backend

/** What is needed to open backends. */
export interface OpenBackendsParts extends Pick<BackendWorld, 'credential'> {
  readonly registry: BackendRegistry
  /** The store, and which branch it is. */
  readonly owner: Omit<Owner, 'backend'>
  readonly adoption: Adoption
  /** Whether the start with that record is one of this store's own. */
  readonly knows: (record: string) => Promise<boolean>
  /** Where backends may be: scheme, host and port of each. */
  readonly origins: readonly string[]
  /** What the server's own identity may be used with. Absent: nothing. */
  readonly own?: OwnIdentity
  readonly open: OpenBackend
  /** Milliseconds that only go up. */
  readonly now?: () => number
  readonly metrics: BackendMetrics
}

/** Calls to one backend that may be under way at once. */
const MAX_CALLS = 64
/** How long a place that was this server's is taken to be so, in milliseconds. */
const CLAIM_MS = 5000

/** The backends of a running server. */
export class OpenBackends {
  readonly #parts: OpenBackendsParts
  readonly #now: () => number
  readonly #opened = new Map<number, Opened>()
  /** Where they are. */
  readonly places: Places

  constructor(parts: OpenBackendsParts) {
    this.#parts = parts
    this.#now = parts.now ?? (() => performance.now())
    this.places = new Places({
      ...parts,
      all: () => parts.registry.all(),
      identity: (placed) => this.#identity(placed),
    })
  }

  /**
   * Throws `backend_not_allowed` unless the server's settings allow backends at that address, and what they
   * use of the server's own identity, and `bad_request` for what is not an address.
   */
  demandAllowed(config: OpenBaoConfig): void {
    const { origins, own = { roles: [] } } = this.#parts
    const { url } = config
    const address = URL.parse(url)
    if (address === null || `${address.origin}/` !== address.href) {
      throw new SottoError('bad_request', `Cannot use ${quote(url)} as the address of a backend`, {
        hint: 'It is https://HOST:PORT, and nothing after that.',
      })
    }
    if (origins.includes(address.origin)) return demandOwnIdentity(config, own)
    throw new SottoError(
      'backend_not_allowed',
      `The settings of the server allow no backend at ${quote(address.origin)}`,
      { hint: `Start the server with --backend-origin ${address.origin}` },
    )
  }

  /**
   * Runs `act`, which only reads, on the backend `id`. Rejects with what `act` rejects with, or why it cannot be
   * used: where the backend is, and what it said, is for callers with `backends:view`.
   */
  async use<T>(id: number, act: (backend: BackendReader) => Promise<T>): Promise<T> {
    try {
      return await this.#openedFor(await this.#parts.registry.find(id)).run(act)
    } catch (error) {
      throw onlyFor('backends:view', error)
    }
  }

  /** Why backends that were set up cannot be used under the settings of this start, a line each. */
  async refused(): Promise<SottoError[]> {
    const refusals: SottoError[] = []
    for (const { name, config } of await this.#parts.registry.all()) {
      try {
        this.#demandStillAllowed(name, config)
      } catch (error) {
        refusals.push(asSottoError(error))
      }
    }
    return refusals
  }

  /**
   * Runs `act`, which may change what is in the backend `id`. Rejects with `not_adopted` where this server may
   * change nothing outside, as `Places.claim` where the place is another's, and as `use`.
   */
  async change<T>(id: number, act: (backend: Backend) => Promise<T>): Promise<T> {
    this.#parts.adoption.demand('write to a backend')
    try {
      const opened = this.#openedFor(await this.#parts.registry.find(id))
      return await opened.run(async (backend) => {
        await opened.claimed()
        return act(backend)
      })
    } catch (error) {
      throw onlyFor('backends:view', error)
    }
  }

  /** The state of the logins of a backend; undefined where it was not used since the start, or since it was set up otherwise. */
  status(record: BackendRecord): BackendStatus | undefined {
    const opened = this.#opened.get(record.id)
    return opened?.isOf(record) === true ? opened.backend.status() : undefined
  }

  /** Takes the place of a backend over, by the word of an operator. Rejects as `Places.takeOver` and `use`. */
  async takeOver(record: BackendRecord): Promise<void> {
    this.#parts.adoption.demand(`take over the place of backend ${quote(record.name)}`)
    await this.#openedFor(record).run((backend) => this.places.takeOver(record, backend))
  }

  /**
   * Proves that a backend can be used. That writes there: rejects with `not_adopted` where this server may not.
   */
  async test(record: BackendRecord): Promise<BackendReport> {
    this.#parts.adoption.demand(`test backend ${quote(record.name)}`)
    return this.#openedFor(record).hold((backend) => backend.test())
  }

  /** Closes all of them. */
  async close(): Promise<void> {
    const opened = [...this.#opened.values()]
    this.#opened.clear()
    await Promise.all(opened.map(({ backend }) => backend.close()))
  }

  #openedFor(record: BackendRecord): Opened {
    const { id, name, config } = record
    const known = this.#opened.get(id)
    if (known?.isOf(record)) return known
    this.#opened.delete(id)
    known?.retire()
    this.#demandStillAllowed(name, config)
    const opened = new Opened({
      backend: this.#open(record),
      record,
      now: this.#now,
      note: (result, ms) => this.#parts.metrics.called(name, result, ms / 1000),
      claim: (backend) => this.places.claim(record, backend),
    })
    this.#opened.set(id, opened)
    this.#parts.metrics.follow(name, () => this.#opened.get(id)?.backend)
    return opened
  }

  #open({ id, config }: Placed): Backend {
    const { open, owner, credential } = this.#parts
    return open(config, { owner: { ...owner, backend: id }, credential })
  }

  /** What the place says of itself. One that is not set up, or set up otherwise, is opened for that alone. */
  async #identity(placed: Placed): Promise<string> {
    const { registry } = this.#parts
    const record = (await registry.all()).find(({ id }) => id === placed.id)
    if (record?.config === placed.config) {
      return this.#openedFor(record).run((backend) => backend.identity())
    }
    const backend = this.#open(placed)
    try {
      return await backend.identity()
    } finally {
      await backend.close()
    }
  }

  /** The settings of the server may have changed since the backend was set up. */
  #demandStillAllowed(name: string, config: OpenBaoConfig): void {
    try {
      this.demandAllowed(config)
    } catch (error) {
      const { message, hint } = asSottoError(error)
      const found = `Cannot use backend ${quote(name)}: ${message}`
      throw new SottoError('backend_refused', found, { hint })
    }
  }
}

/** What an opened backend works with. */
interface OpenedParts {
  readonly backend: Backend
  /** The row that it was opened from. */
  readonly record: BackendRecord
  readonly now: () => number
  /** Called with how each call ended, and how many milliseconds it took. */
  readonly note: (result: CallResult, ms: number) => void
  /** Makes sure that this server may write there. */
  readonly claim: (backend: Backend) => Promise<void>
}

/** A backend with its calls under way. */
class Opened {
  readonly backend: Backend
  #mac: Uint8Array
  readonly #settings: BackendSettings
  readonly #now: () => number
  readonly #note: OpenedParts['note']
  readonly #claim: () => Promise<void>
  readonly #look: () => Promise<void>
  #calls = 0
  #claimEnds = Number.NEGATIVE_INFINITY
  /** Whether the last call that ended found it unable to answer. */
  #isDown = false
  #retired = false

  constructor({ backend, record, now, note, claim }: OpenedParts) {
    this.backend = backend
    this.#mac = record.mac
    this.#settings = settingsOf(record)
    this.#now = now
    this.#note = note
    this.#claim = shared(async () => {
      const end = now() + CLAIM_MS
      await claim(backend)
      this.#claimEnds = end
    })
    this.#look = shared(async () => {
      await backend.identity()
      this.#isDown = false
    })
  }

  /** Whether it was opened from what `record` says: where the root key is replaced, nothing but its MAC is another. */
  isOf(record: BackendRecord): boolean {
    if (Buffer.compare(this.#mac, record.mac) === 0) return true
    if (!isDeepStrictEqual(this.#settings, settingsOf(record))) return false
    this.#mac = record.mac
    return true
  }

  /** Closes the backend after the calls under way: its token goes with it. */
  retire(): void {
    this.#retired = true
    if (this.#calls === 0) void this.backend.close()
  }

  /** Runs `act`, and keeps the backend open meanwhile. */
  async hold<T>(act: (backend: Backend) => Promise<T>): Promise<T> {
    this.#calls++
    try {
      return await act(this.backend)
    } finally {
      if (--this.#calls === 0 && this.#retired) void this.backend.close()
    }
  }

  /** Resolves where this server may write there, by what was found a moment ago or is found now. */
  async claimed(): Promise<void> {
    if (this.#now() >= this.#claimEnds) await this.#claim()
  }

  /**
   * Runs `act`. While the backend is down there is one look at a time whether it is back, in place of the calls of
   * all who come; each is answered by a look that began after it came.
   */
  async run<T>(act: (backend: Backend) => Promise<T>): Promise<T> {
    if (this.#calls >= MAX_CALLS) {
      const found = `Cannot use ${this.backend.place}: ${this.#calls} calls wait for it already`
      const hint = 'Look whether it is overloaded.'
      throw new SottoError('backend_unavailable', found, { hint })
    }
    const began = this.#now()
    try {
      const result = await this.hold(async (backend) => {
        if (this.#isDown) await this.#look()
        return act(backend)
      })
      this.#isDown = false
      this.#note('ok', this.#now() - began)
      return result
    } catch (error) {
      const known = asSottoError(error)
      if (known.code === 'backend_unavailable') this.#isDown = true
      this.#note(resultOf(known), this.#now() - began)
      throw error
    }
  }
}

/** What an operator set up, without what the store counts. */
function settingsOf(record: BackendRecord): BackendSettings {
  const { id, name, type, description, isDefault, config, createdAt } = record
  return { id, name, type, description, isDefault, config, createdAt }
}

function resultOf({ code }: SottoError): CallResult {
  if (code === 'backend_unavailable') return 'unavailable'
  return code === 'backend_refused' ? 'refused' : 'failed'
}
