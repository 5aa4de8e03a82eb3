/** What stays on this machine. Guards against sending secrets in the clear all ask here. */
import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether `address`, an IP address in any spelling, is of this machine's loopback. */
export function isLoopback(address: string): boolean {
  if (isIP(address) === 0 || address.includes('%')) return false
  // An IPv4 address in IPv6's clothes is found by what it is.
  return loopback.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** Whether requests to `host`, a name or an address as a URL has it, stay on this machine. */
export function isLoopbackHost(host: string): boolean {
  return /^localhost\.?$/i.test(host) || isLoopback(host.replace(/^\[(.*)\]$/, '$1'))
}
