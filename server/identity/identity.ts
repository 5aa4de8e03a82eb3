/** Who is calling: the one interface between the network and the gate. */
import type { Caller } from '../access.ts'

/** The two ends of a socket, as the kernel tells them. Nothing that the peer could choose freely. */
export interface Connection {
  readonly remoteAddress: string
  readonly localPort: number
}

/** A source of identity. Asked anew for every request; an answer is never kept. */
export interface Identity {
  /**
   * Names the peer of `connection`. Rejects with `unidentified` when it cannot, whatever the
   * reason: an error on the way to an identity is a refusal.
   */
  identify(connection: Connection): Promise<Caller>

  /** Resolves when callers can be named; rejects with what is in the way. */
  check(): Promise<void>
}
