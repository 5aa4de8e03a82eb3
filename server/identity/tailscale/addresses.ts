/** Which addresses are a tailnet's. */
import { BlockList, isIP, SocketAddress } from 'node:net'

const tailnet = new BlockList()
tailnet.addSubnet('100.64.0.0', 10, 'ipv4')
tailnet.addSubnet('fd7a:115c:a1e0::', 48, 'ipv6')

/** Inside the range, but used by ChromeOS for containers of its own. */
const notTailnet = new BlockList()
notTailnet.addSubnet('100.115.92.0', 23, 'ipv4')

const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

/**
 * The one spelling of `address`: IPv4 where it is IPv4 in IPv6's clothes, as a `::` listener reports
 * it, and otherwise as the kernel writes it. Undefined for what is not an address; with a zone it is not one.
 */
export function canonicalAddress(address: string): string | undefined {
  const plain = mapped.exec(address)?.[1] ?? address
  const family = isIP(plain)
  if (family === 4) return plain
  if (family !== 6 || plain.includes('%')) return undefined
  return SocketAddress.parse(`[${plain}]:0`)?.address
}

/** Whether a canonical `address` can be a node's: nothing else is worth a question to tailscaled. */
export function isTailnetAddress(address: string): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  return tailnet.check(address, family) && !notTailnet.check(address, family)
}
