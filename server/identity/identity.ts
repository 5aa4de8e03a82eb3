/** Who is calling: the one interface between the network and the gate. */
import type { Caller } from '../access.ts'

/** The two ends of a TCP connection, as the kernel reports them: nothing that the peer can choose freely. */
export interface TcpPeer {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
}

/**
 * A request that came through a unix socket in a directory that only root and we can enter: the
 * proxy of `tailscale serve` on this host is on its other end, and says whom it speaks for.
 */
export interface ServedPeer {
  readonly unix: true
  /** The one `X-Forwarded-For` of the request; undefined when it had none or several. */
  readonly forwardedFor: string | undefined
}

/** A connection through the operators' socket, whose other end has proved to be a process of that user. */
export interface OperatorPeer {
  readonly uid: number
  /** Whom it says to act for; nobody has looked whether that is so. */
  readonly claimed: string | undefined
}

/** Where a request from the network came from. */
export type Peer = TcpPeer | ServedPeer

/** Where a request came from. */
export type AnyPeer = Peer | OperatorPeer

/** Whose connections are to be closed: nodes by their StableID, or everybody's. */
export type Gone = { readonly nodes: readonly string[] } | 'everybody'

/** A source of identity. Asked again for every request; an answer is never kept. */
export interface Identity<P = Peer> {
  /**
   * Names `peer`. Rejects with `unidentified` when it cannot, whatever the
   * reason: an error on the way to an identity is a refusal. Rejects with `overloaded` when too many
   * are being named.
   */
  identify(peer: P): Promise<Caller>

  /** Resolves when callers can be named; rejects with what is in the way. */
  check(): Promise<void>

  /**
   * Calls `gone` when callers have left, so that their connections can be closed early. For that
   * alone: rights are what `identify` says, whether or not `gone` was called.
   */
  watch?(gone: (who: Gone) => void): void
}
