/**
 * Bounds what the server holds at once: connections, requests, and the bytes of bodies and answers. Fair
 * by address: none may hold more of anything than is still free, so that a part is left for the others
 * however much one asks for.
 */
import { readFileSync } from 'node:fs'
import { SottoError } from '../../client/api/errors.ts'
import { type LoadMetrics, loadMetrics } from './metrics.ts'

/** What may be held at once, by all addresses together. One alone gets half of it. */
export interface LoadLimits {
  readonly connections: number
  readonly requests: number
  /** Bytes of request bodies and of answers that were not taken yet. */
  readonly bytes: number
}

/** Files that the server opens in addition to connections. */
const OTHER_FILES = 256

/** The limits of a server that is given no others. */
export function loadLimits(openFiles: number = openFileLimit()): LoadLimits {
  return {
    connections: Math.max(1, Math.min(16_384, openFiles - OTHER_FILES)),
    requests: 2048,
    bytes: 128 * 1024 * 1024,
  }
}

/** How many files, sockets included, this process may have open; Infinity where the system does not say. */
export function openFileLimit(path = '/proc/self/limits'): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1]
    return Number(limit ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** What one address, or all of them together, hold. */
interface Held {
  connections: number
  requests: number
  bytes: number
}

/** An address, and what it holds. Only `Load` changes it. */
export interface AddressUsage extends Held {
  readonly address: string
  /** Whether nothing is read from it for a while. */
  resting: boolean
}

/** Counts what is held. */
export class Load {
  readonly limits: LoadLimits
  readonly metrics: LoadMetrics
  readonly #addresses = new Map<string, AddressUsage>()
  readonly #total: Held = { connections: 0, requests: 0, bytes: 0 }
  #closing = false

  constructor(limits: LoadLimits = loadLimits(), metrics: LoadMetrics = loadMetrics()) {
    this.limits = limits
    this.metrics = metrics
    metrics.connections.follow(() => this.#total.connections)
    metrics.connectionsLimit.set(limits.connections)
    metrics.requests.follow(() => this.#total.requests)
    metrics.requestsLimit.set(limits.requests)
    metrics.bytes.follow(() => this.#total.bytes)
    metrics.bytesLimit.set(limits.bytes)
  }

  /** What `address` has in use, which may have no connection of its own: it comes through a proxy. */
  of(address: string): AddressUsage {
    const unused = { address, connections: 0, requests: 0, bytes: 0, resting: false }
    return this.#addresses.get(address) ?? unused
  }

  /** Counts a connection of `address`; undefined, and nothing is counted, when it has too many. */
  connect(address: string): AddressUsage | undefined {
    const usage = this.of(address)
    if (!this.#take(usage, 'connections', 1)) {
      this.metrics.refused.add()
      return undefined
    }
    this.#addresses.set(address, usage)
    return usage
  }

  /** Counts one connection less. */
  disconnect(usage: AddressUsage): void {
    this.#give(usage, 'connections', 1)
    this.#forget(usage)
  }

  /** Counts a request, or throws `overloaded` or `shutting_down` and counts nothing. */
  enter(usage: AddressUsage): void {
    if (this.#closing) throw new SottoError('shutting_down', 'The server takes no new requests')
    if (!this.#take(usage, 'requests', 1)) {
      throw new SottoError('overloaded', `The server works on ${this.#total.requests} requests`)
    }
    this.#addresses.set(usage.address, usage)
  }

  /** Counts one request less. */
  leave(usage: AddressUsage): void {
    this.#give(usage, 'requests', 1)
    if (usage.connections === 0) this.#forget(usage)
  }

  /** Counts bytes that a request keeps, or throws `overloaded` and counts nothing. */
  hold(usage: AddressUsage, bytes: number): void {
    if (!this.#take(usage, 'bytes', bytes)) {
      throw new SottoError('overloaded', `The server holds ${this.#total.bytes} bytes of requests`)
    }
  }

  /** Counts so many bytes less. */
  release(usage: AddressUsage, bytes: number): void {
    this.#give(usage, 'bytes', bytes)
  }

  /** Has `usage` rest for so many milliseconds. */
  rest(usage: AddressUsage, ms: number): void {
    usage.resting = true
    setTimeout(() => {
      usage.resting = false
      this.#forget(usage)
    }, ms).unref()
  }

  /** Refuses every further request. */
  close(): void {
    this.#closing = true
  }

  /** Whether every further request is refused. */
  get closing(): boolean {
    return this.#closing
  }

  #take(usage: Held, what: keyof Held, amount: number): boolean {
    if (usage[what] + amount > this.limits[what] - this.#total[what]) return false
    usage[what] += amount
    this.#total[what] += amount
    return true
  }

  #give(usage: Held, what: keyof Held, amount: number): void {
    usage[what] -= amount
    this.#total[what] -= amount
  }

  /** A request can outlive its connection, and then still counts for the address. */
  #forget(usage: AddressUsage): void {
    if (usage.connections === 0 && usage.requests === 0 && !usage.resting)
      this.#addresses.delete(usage.address)
  }
}
