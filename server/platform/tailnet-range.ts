/** The addresses that tailnets have. */
import { BlockList } from 'node:net'

/** Those of every tailnet; others use some of them, too. */
export const tailnetRange = new BlockList()
tailnetRange.addSubnet('100.64.0.0', 10, 'ipv4')
tailnetRange.addSubnet('fd7a:115c:a1e0::', 48, 'ipv6')
