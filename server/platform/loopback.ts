/** What stays on this machine. Guards against sending secrets in the clear all ask here. */

/** Whether `address`, an IP address in its usual form, is of this machine's loopback. */
export function isLoopback(address: string): boolean {
  return /^127(?:\.\d{1,3}){3}$/.test(address) || address === '::1'
}

/** Whether requests to `host`, a name or an address as a URL has it, stay on this machine. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host.replace(/^\[(.*)\]$/, '$1'))
}
