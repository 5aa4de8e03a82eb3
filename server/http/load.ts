/**
 * Bounds what the server has in hand at once: connections, requests, and the bytes of bodies and
 * answers. Fair by address: nobody may hold more of anything than is still free, so that however
 * much one address asks for, a part is left for the others.
 */
import { SottoError } from '../../client/api/errors.ts'
import { type LoadMetrics, loadMetrics } from './metrics.ts'
import { openFileLimit } from './open-files.ts'

/** What may be in hand at once, of all addresses together. One alone gets half of it. */
export interface LoadLimits {
  readonly connections: number
  readonly requests: number
  /** Bytes of request bodies and of answers that nobody has taken yet. */
  readonly bytes: number
}

/** Files that the server opens beside connections. */
const OTHER_FILES = 256

/** The limits that a server has unless told otherwise. */
export function loadLimits(openFiles: number = openFileLimit()): LoadLimits {
  return {
    connections: Math.max(1, Math.min(16_384, openFiles - OTHER_FILES)),
    requests: 2048,
    bytes: 128 * 1024 * 1024,
  }
}

/** What one address, or all of them, have in hand. */
interface Held {
  connections: number
  requests: number
  bytes: number
}

/** An address, and what it has in hand. Only `Load` changes it. */
export interface Peer extends Held {
  readonly address: string
  /** Whether nothing is read from it for a while. */
  resting: boolean
}

/** Counts what is in hand. */
export class Load {
  readonly limits: LoadLimits
  readonly metrics: LoadMetrics
  readonly #peers = new Map<string, Peer>()
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

  /** Counts a connection of `address`; undefined, and nothing is counted, when it has too many. */
  connect(address: string): Peer | undefined {
    const known = this.#peers.get(address)
    const peer = known ?? { address, connections: 0, requests: 0, bytes: 0, resting: false }
    if (!this.#take(peer, 'connections', 1)) {
      this.metrics.refused.add()
      return undefined
    }
    if (!known) this.#peers.set(address, peer)
    return peer
  }

  /** Counts one connection less. */
  disconnect(peer: Peer): void {
    this.#give(peer, 'connections', 1)
    this.#forget(peer)
  }

  /** Counts a request, or throws `overloaded` or `shutting_down` and counts nothing. */
  enter(peer: Peer): void {
    if (this.#closing) throw new SottoError('shutting_down', 'The server takes no new requests')
    if (!this.#take(peer, 'requests', 1)) {
      throw new SottoError('overloaded', `The server works on ${this.#total.requests} requests`)
    }
  }

  /** Counts one request less. */
  leave(peer: Peer): void {
    this.#give(peer, 'requests', 1)
    if (peer.connections === 0) this.#forget(peer)
  }

  /** Counts bytes that a request keeps, or throws `overloaded` and counts nothing. */
  hold(peer: Peer, bytes: number): void {
    if (!this.#take(peer, 'bytes', bytes)) {
      throw new SottoError('overloaded', `The server holds ${this.#total.bytes} bytes of requests`)
    }
  }

  /** Counts so many bytes less. */
  release(peer: Peer, bytes: number): void {
    this.#give(peer, 'bytes', bytes)
  }

  /** Has `peer` rest for so many milliseconds. */
  rest(peer: Peer, ms: number): void {
    peer.resting = true
    setTimeout(() => {
      peer.resting = false
      this.#forget(peer)
    }, ms).unref()
  }

  /** Lets no request in any more. */
  close(): void {
    this.#closing = true
  }

  /** Whether no request is let in any more. */
  get closing(): boolean {
    return this.#closing
  }

  #take(peer: Held, what: keyof Held, amount: number): boolean {
    if (peer[what] + amount > this.limits[what] - this.#total[what]) return false
    peer[what] += amount
    this.#total[what] += amount
    return true
  }

  #give(peer: Held, what: keyof Held, amount: number): void {
    peer[what] -= amount
    this.#total[what] -= amount
  }

  /** A request can outlive its connection, and then still counts for the address. */
  #forget(peer: Peer): void {
    if (peer.connections === 0 && peer.requests === 0 && !peer.resting)
      this.#peers.delete(peer.address)
  }
}
