/** The server's own node, as tailscaled's status reports it. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import { canonicalAddress } from './addresses.ts'
import type { StatusAnswer } from './answers.ts'

/** The node that callers call. */
export interface OwnNode {
  /** Its StableID. */
  readonly id: string
  /** Its full name, without the dot at the end. */
  readonly name: string
  /** Its addresses on the tailnet, in their canonical spelling. */
  readonly addresses: readonly string[]
  /** Names that it can have certificates for. */
  readonly domains: readonly string[]
  /** Whether tailscaled has no network device, and hands its peers over as 127.0.0.1. */
  readonly userspace: boolean
}

/** What to do about each state of tailscaled in which no caller can be named. */
const hints: Readonly<Record<string, string>> = {
  NeedsLogin: 'Join the tailnet with `tailscale up`.',
  NeedsMachineAuth: 'Approve the machine in the admin console of the tailnet.',
  Stopped: 'Connect it with `tailscale up`.',
  Starting: 'It is connecting: wait, and check it with `tailscale status`.',
  NoState: 'It is starting: wait, and check it with `tailscale status`.',
}

/** Why userspace mode is refused, and what to do instead. */
export const userspaceDanger = {
  problem:
    'tailscaled is in userspace mode, in which a program on this host could pose as any node',
  hint: 'Run tailscaled with a network device, or serve behind `tailscale serve` on a socket.',
} as const

/** The node that `status` reports. Throws `tailscaled_unavailable` when it is not up. */
export function ownNode({ BackendState, Self, CertDomains, TUN }: StatusAnswer): OwnNode {
  if (BackendState !== 'Running') {
    throw new SottoError(
      'tailscaled_unavailable',
      `tailscaled is in state ${quote(BackendState)}`,
      { hint: hints[BackendState] ?? 'Check it with `tailscale status`.' },
    )
  }
  const addresses = (Self?.TailscaleIPs ?? []).flatMap((each) => canonicalAddress(each) ?? [])
  if (!Self || Self.ID === '' || addresses.length === 0) {
    throw new SottoError('tailscaled_unavailable', 'tailscaled has no address on a tailnet', {
      hint: 'Check it with `tailscale ip`.',
    })
  }
  const name = Self.DNSName.endsWith('.') ? Self.DNSName.slice(0, -1) : Self.DNSName
  return { id: Self.ID, name, addresses, domains: CertDomains, userspace: !TUN }
}
