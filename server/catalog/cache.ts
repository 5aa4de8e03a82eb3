/**
 * Secrets as they are stored, kept in memory: sealed bytes and unwrapped data keys, never values.
 * Everything in it was authenticated when it was read.
 */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { DataKey, Keyring } from '../crypto/keyring.ts'
import type { ReadResult, SealedVersion, SecretRow, Store } from '../store/contract.ts'
import { demandHome } from './home.ts'
import { type CacheMetrics, cacheMetrics } from './metrics.ts'

/** A version that is ready to be opened. */
export interface OpenableVersion {
  readonly version: number
  /** The id of the backend that keeps the value: `sealed` is a reference then. Absent: the store keeps it. */
  readonly backend?: number
  readonly sealed: Uint8Array
  readonly dataKey: DataKey
}

/** A secret with those of its versions that were asked for. */
export interface CachedSecret {
  readonly row: SecretRow
  readonly versions: Map<number, OpenableVersion>
}

/** About what an entry costs in addition to its sealed bytes: names, numbers, key objects. */
const OVERHEAD_BYTES = 1024

/** A bounded cache in front of the store. Least recently used secrets leave first. */
export class SecretCache {
  readonly #store: Store
  readonly #keyring: Keyring
  readonly #limit: number
  readonly #metrics: CacheMetrics
  readonly #entries = new Map<string, CachedSecret>()
  /** How many changes of each may still be committed. */
  readonly #uncertain = new Map<string, number>()
  #bytes = 0
  /** Reads under way, counted by name. `drop` removes them, so that what they find is not kept. */
  readonly #reads = new Map<string, { count: number }>()

  /** `limit` is in bytes. */
  constructor(
    store: Store,
    keyring: Keyring,
    limit: number,
    metrics: CacheMetrics = cacheMetrics(),
  ) {
    this.#store = store
    this.#keyring = keyring
    this.#limit = limit
    this.#metrics = metrics
    metrics.bytes.follow(() => this.#bytes)
    metrics.secrets.follow(() => this.#entries.size)
  }

  /**
   * The secret `name` with `version` (0: the active one) among its versions, if that has a value.
   * Undefined where the name was never used. Rejects with `store_damaged` for bytes that fail their
   * authentication.
   */
  async read(name: string, version: number): Promise<CachedSecret | undefined> {
    const entry = this.#entries.get(name)
    if (entry) {
      const wanted = version || entry.row.active
      if (entry.versions.has(wanted) || !entry.row.versions.includes(wanted)) {
        this.#entries.delete(name)
        this.#entries.set(name, entry)
        this.#metrics.hits.add()
        return entry
      }
    }
    this.#metrics.misses.add()
    const reads = this.#reads.get(name) ?? { count: 0 }
    this.#reads.set(name, reads)
    reads.count++
    try {
      const loaded = await this.#load(name, version)
      const current = this.#reads.get(name) === reads && !this.#uncertain.has(name)
      if (loaded && current) this.#keep(name, loaded)
      return loaded
    } finally {
      reads.count--
      if (reads.count === 0 && this.#reads.get(name) === reads) this.#reads.delete(name)
    }
  }

  /**
   * The record of `name` without its values, which need not open. Undefined where the name was never
   * used. Rejects with `store_damaged` for a record that fails its authentication.
   */
  async row(name: string): Promise<SecretRow | undefined> {
    const entry = this.#entries.get(name)
    if (entry) return entry.row
    const row = await this.#store.find(name)
    if (row) this.#keyring.verify(row, row.mac)
    return row
  }

  /** Removes `name`. Called before a change of it is acknowledged. */
  drop(name: string): void {
    this.#reads.delete(name)
    const entry = this.#entries.get(name)
    if (!entry) return
    this.#entries.delete(name)
    this.#bytes -= sizeOf(entry)
  }

  /** Reads `name` from the store each time until `settle`: a change of it may still be committed. */
  doubt(name: string): void {
    this.#uncertain.set(name, (this.#uncertain.get(name) ?? 0) + 1)
    this.drop(name)
  }

  /** Whether a change of `name` may still be committed, so that what is stored of it may become another. */
  isUncertain(name: string): boolean {
    return this.#uncertain.has(name)
  }

  /** Ends one doubt about `name`. */
  settle(name: string): void {
    const left = (this.#uncertain.get(name) ?? 0) - 1
    if (left > 0) this.#uncertain.set(name, left)
    else this.#uncertain.delete(name)
    this.drop(name)
  }

  async #load(name: string, version: number): Promise<CachedSecret | undefined> {
    const found = await this.#read(name, version)
    if (!found) return undefined
    this.#keyring.verify(found.secret, found.secret.mac)
    const loaded: CachedSecret = { row: found.secret, versions: new Map() }
    const wanted = version || found.secret.active
    // The MAC covers which versions there are: bytes without a record, or a record without bytes, were tampered with.
    if (found.secret.versions.includes(wanted) !== (found.version !== undefined)) {
      const why = 'its ciphertext does not match its record'
      const message = `Cannot read version ${wanted} of ${quote(name)}: ${why}`
      throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
    }
    if (found.version) {
      demandHome(found.secret, found.version)
      loaded.versions.set(wanted, this.#unwrap(found.secret, found.version))
    }
    return loaded
  }

  /** A keyring entry may be erased while the store answers: what it wrapped has moved, so it is read again. */
  async #read(name: string, version: number): Promise<ReadResult | undefined> {
    const found = await this.#store.read(name, version)
    if (!found?.version || this.#keyring.has(found.version.keyId)) return found
    return this.#store.read(name, version)
  }

  #keep(name: string, loaded: CachedSecret): void {
    const before = this.#entries.get(name)
    if (before) {
      this.#entries.delete(name)
      this.#bytes -= sizeOf(before)
      // The state is the same, since a change would have dropped the entry: its versions still count.
      for (const [number, version] of before.versions) {
        if (!loaded.versions.has(number)) loaded.versions.set(number, version)
      }
    }
    const bytes = sizeOf(loaded)
    if (bytes > this.#limit) return
    this.#entries.set(name, loaded)
    this.#bytes += bytes
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#limit) break
      this.#entries.delete(oldest)
      this.#bytes -= sizeOf(entry)
    }
  }

  #unwrap(row: SecretRow, stored: SealedVersion): OpenableVersion {
    const place = { name: row.name, incarnation: row.incarnation, version: stored.version }
    const dataKey = this.#keyring.unwrap(place, stored)
    const { version, sealed, backend } = stored
    return { version, sealed, dataKey, ...(backend !== undefined && { backend }) }
  }
}

function sizeOf(entry: CachedSecret): number {
  let bytes = OVERHEAD_BYTES + 8 * (entry.row.versions.length + entry.row.removed.length)
  for (const version of entry.versions.values()) bytes += version.sealed.length + OVERHEAD_BYTES
  return bytes
}
