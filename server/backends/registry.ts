/** The backends of a store, each authenticated. */
import {
  credentialsOf,
  type OpenBaoConfig,
  openBaoConfig,
  STORE_BACKEND,
} from '../../client/api/backends.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { BackendInUse, Store, StoredBackend } from '../store/contract.ts'

/** A backend of the type `openbao`. */
export interface BackendRecord extends Omit<BackendInUse, 'config' | 'type'> {
  readonly type: 'openbao'
  readonly config: OpenBaoConfig
}

/** What a backend is set up with, without what the store counts. */
export type BackendSettings = Omit<BackendRecord, 'mac' | 'secrets' | 'orphans' | 'copies'>

/** The backends of one store. */
export class BackendRegistry {
  readonly #store: Store
  readonly #keyring: Keyring
  /** Their counts may be old; undefined: to be read again. */
  #known: Promise<readonly BackendRecord[]> | undefined
  /** Whether the outcome of a change is not known, so that nothing that is read now can be kept. */
  #doubtful = false

  constructor(store: Store, keyring: Keyring) {
    this.#store = store
    this.#keyring = keyring
  }

  /**
   * Every backend but the store itself, with current counts, and the id of the next. Rejects with
   * `store_damaged` for one that was altered outside Sotto.
   */
  async read(): Promise<{ backends: BackendRecord[]; nextId: number }> {
    const { backends, nextId } = await this.#store.backends()
    return { backends: backends.map((each) => this.#verified(each)), nextId }
  }

  /** The backend `id`, whose counts may be old. Rejects with `backend_refused` where there is none. */
  async find(id: number): Promise<BackendRecord> {
    const found = (await this.all()).find((each) => each.id === id)
    if (found) return found
    throw new SottoError('backend_refused', `There is no backend ${id} any more`, {
      hint: 'The store is damaged, or older or newer than its backends: restore a backup.',
    })
  }

  /**
   * The backend that keeps a new secret of that name; undefined: the store itself, which also keeps the
   * secrets that backends log in with.
   */
  async homeFor(name: string): Promise<BackendRecord | undefined> {
    const user = await this.userOf(name)
    return user ? undefined : (await this.all()).find(({ isDefault }) => isDefault)
  }

  /** A backend that logs in with the secret `name`. */
  async userOf(name: string): Promise<BackendRecord | undefined> {
    return (await this.users()).get(name)
  }

  /** The backends that log in with secrets, by the name of the secret; the oldest where several use one. */
  async users(): Promise<ReadonlyMap<string, BackendRecord>> {
    const uses = (await this.all()).flatMap((record) =>
      credentialsOf(record.config).map(({ name }) => [name, record] as const),
    )
    return new Map(uses.toReversed())
  }

  /** The backend that is called `name`; null for the store itself. Rejects with `not_found`. */
  async named(name: string): Promise<BackendRecord | null> {
    if (name === STORE_BACKEND) return null
    const found = (await this.all()).find((each) => each.name === name)
    if (found) return found
    throw missingBackend(name)
  }

  /** Runs `change`, which changes backends in the store. After its end they are read again. */
  async changing<T>(change: () => Promise<T>): Promise<T> {
    try {
      const result = await change()
      this.#doubtful = false
      return result
    } catch (error) {
      if (asSottoError(error).code === 'store_unavailable') this.#doubtful = true
      throw error
    } finally {
      this.#known = undefined
    }
  }

  /** The row of the store for `settings`. */
  sealed({ config, ...settings }: BackendSettings): StoredBackend {
    const row = { ...settings, config: JSON.stringify(config) }
    return { ...row, mac: this.#keyring.backendMac(row) }
  }

  /** Every backend but the store itself, whose counts may be old. */
  async all(): Promise<readonly BackendRecord[]> {
    if (this.#doubtful) this.#known = undefined
    const known = (this.#known ??= this.read().then(({ backends }) => backends))
    try {
      return await known
    } catch (error) {
      if (this.#known === known) this.#known = undefined
      throw error
    }
  }

  #verified({ config, type, ...row }: BackendInUse): BackendRecord {
    this.#keyring.verifyBackend({ ...row, type, config }, row.mac)
    // What authenticates was written by a release that knew it.
    if (type !== 'openbao') {
      const found = `Backend ${quote(row.name)} has the type ${quote(type)}`
      throw new SottoError('store_newer', found, {
        hint: 'Upgrade the program to the release that made it, or a later one.',
      })
    }
    return { ...row, type, config: openBaoConfig.parse(JSON.parse(config, readable)) }
  }
}

/** The error for a backend that does not exist. */
export function missingBackend(name: string): SottoError {
  return new SottoError('not_found', `There is no backend ${quote(name)}`, {
    hint: 'See `sotto backend list`.',
  })
}

/**
 * Earlier releases could set a mirror up with a `history`, which says nothing, and with `adopt`, which is for
 * one sync only: it is `overwrite` now.
 */
function readable(field: string, value: unknown): unknown {
  if (field === 'history') return undefined
  return field === 'onDrift' && value === 'adopt' ? 'overwrite' : value
}
