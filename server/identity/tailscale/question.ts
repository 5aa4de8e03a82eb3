/**
 * What to ask tailscaled about a connection, or why not to ask. An address that can be no node's is
 * refused here: tailscaled would look for it for 180 ms, and keep everybody else waiting.
 */
import type { Peer, ServedPeer, TcpPeer } from '../identity.ts'
import { isLoopback } from '../../platform/loopback.ts'
import { canonicalAddress, isTailnetAddress } from './addresses.ts'
import { type OwnNode, userspaceDanger } from './own-node.ts'

/** A question to whois. */
export interface Question {
  /** Requests with the same key ask the same. */
  readonly key: string
  /** What is asked about: a bare address, or in userspace mode one with a port. */
  readonly addr: string
  /** An address of a Service, where the caller called that. */
  readonly destination?: string
  /** In userspace mode: the ports of the connection, whose other end must be tailscaled's. */
  readonly loopback?: { readonly remotePort: number; readonly localPort: number }
}

/** What decides about questions. */
export interface QuestionTerms {
  readonly own: OwnNode
  /** Canonical addresses of Tailscale Services that this server answers for. */
  readonly services: readonly string[]
  /** Whether callers may come from loopback when tailscaled is in userspace mode. */
  readonly userspace: boolean
}

/** The question about `peer`. Throws a plain Error whose message is the reason for none. */
export function questionOf(peer: Peer, terms: QuestionTerms): Question {
  return 'unix' in peer ? aboutServed(peer, terms) : aboutTcp(peer, terms)
}

/** Behind `tailscale serve`, whose proxy replaces what the caller says of itself. */
function aboutServed({ forwardedFor }: ServedPeer, terms: QuestionTerms): Question {
  if (forwardedFor === undefined) {
    throw new Error('the request has not exactly one X-Forwarded-For, as `tailscale serve` sets it')
  }
  const address = canonicalAddress(forwardedFor)
  if (address === undefined) throw new Error('X-Forwarded-For is not an address')
  refuseStranger(address, terms.own)
  return { key: address, addr: address }
}

function aboutTcp(peer: TcpPeer, terms: QuestionTerms): Question {
  const remote = canonicalAddress(peer.remoteAddress)
  const local = canonicalAddress(peer.localAddress)
  if (remote === undefined || local === undefined) throw new Error('the connection is gone')
  if (isLoopback(remote)) return aboutLoopback(peer, remote, local, terms)
  // Also while our own addresses are changing: no other node can call from the address called.
  if (remote === local) throw new Error(ownReason(remote))
  refuseStranger(remote, terms.own)
  if (terms.own.addresses.includes(local)) return { key: remote, addr: remote }
  if (terms.services.includes(local)) {
    return { key: `${remote} to ${local}`, addr: remote, destination: local }
  }
  throw new Error(`it called ${local}, which is not an address of this node on the tailnet`)
}

function aboutLoopback(
  { remotePort, localPort }: TcpPeer,
  remote: string,
  local: string,
  { own, userspace }: QuestionTerms,
): Question {
  if (!own.userspace) throw new Error('it is a program on this host, and no caller on the tailnet')
  if (!userspace) throw new Error(userspaceDanger.problem)
  // tailscaled calls from 127.0.0.1 to 127.0.0.1 and nothing else.
  if (remote !== '127.0.0.1' || local !== '127.0.0.1' || remotePort === 0) {
    throw new Error('it is a program on this host, and not tailscaled')
  }
  const addr = `${remote}:${remotePort}`
  return { key: `${addr} to ${localPort}`, addr, loopback: { remotePort, localPort } }
}

function refuseStranger(address: string, own: OwnNode): void {
  if (own.addresses.includes(address)) throw new Error(ownReason(address))
  if (!isTailnetAddress(address)) throw new Error(`${address} is not an address on a tailnet`)
}

function ownReason(address: string): string {
  return `${address} is this node's own: any program on this host could be calling`
}
