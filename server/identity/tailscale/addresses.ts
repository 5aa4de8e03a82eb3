/** Which addresses are a tailnet's. */
import { BlockList, isIP, SocketAddress } from 'node:net'
import { tailnetRange } from '../../platform/tailnet-range.ts'

/** Inside the range, but used by ChromeOS for containers of its own. */
const notTailnet = new BlockList()
notTailnet.addSubnet('100.115.92.0', 23, 'ipv4')

const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/

/**
 * The one spelling of `address`: IPv4 where it is IPv4 in IPv6's clothes, as a `::` listener reports
 * it, and otherwise as the kernel writes it. Undefined for what is not an address; with a zone it is not one.
 */
export function canonicalAddress(address: string): string | undefined {
  const family = isIP(address)
  if (family === 4) return address
  if (family !== 6 || address.includes('%')) return undefined
  const six = SocketAddress.parse(`[${address}]:0`)?.address
  return (six && mapped.exec(six)?.[1]) ?? six
}

/** Whether a canonical `address` can be a node's: nothing else is worth a question to tailscaled. */
export function isTailnetAddress(address: string): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  return tailnetRange.check(address, family) && !notTailnet.check(address, family)
}
