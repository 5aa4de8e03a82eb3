/** Proxies on the way to services that are outside of the tailnet, and what is called without one. */
import { BlockList, isIP } from 'node:net'
import { quote } from '../../client/api/errors.ts'
import { isLoopbackHost } from './loopback.ts'
import { tailnetRange } from './tailnet-range.ts'

/** Proxies that are known. Plain data, which other threads are given. */
export interface Proxies {
  /** For `https://` and for `http://`: a URL, which may have a user and a password. Absent: none. */
  readonly https?: string
  readonly http?: string
  /** What is called without one, as `NO_PROXY` says it. Absent: nothing. */
  readonly except?: string
}

/** What is called, as a URL has it. */
export interface Destination {
  /** `https:` or `http:`. */
  readonly protocol?: string | undefined
  readonly hostname?: string | undefined
  readonly port?: string | number | null | undefined
}

/**
 * The proxy that calls to `destination` go through; undefined for none. This machine and tailnets are never called
 * through one: nothing else can reach the first, and proxies are not part of the second.
 */
export function proxyFor(
  { protocol, hostname = '', port }: Destination,
  { https, http, except = '' }: Proxies = {},
): string | undefined {
  const proxy = protocol === 'https:' ? https : http
  if (proxy === undefined) return undefined
  const host = bare(hostname)
  if (isLoopbackHost(host) || isOnTailnet(host)) return undefined
  const at = Number(port) || (protocol === 'https:' ? 443 : 80)
  const rules = except.split(/[\s,]+/).filter((rule) => rule !== '')
  return rules.some((rule) => isExcepted(rule, host, at)) ? undefined : proxy
}

/** A proxy as it is shown: never with its credentials. */
export function shownProxy(proxy: string): string {
  return new URL(proxy).origin
}

/** What it says that a proxy answered for itself, with `status` or not at all, and what to do. */
export function refusedByProxy(
  proxy: string,
  status: number | undefined,
): { readonly found: string; readonly hint: string } {
  const name = `the proxy ${quote(shownProxy(proxy))}`
  if (status === 407) {
    return {
      found: `${name} wants a user and a password, or others than it was given`,
      hint: 'Give them in the variable of the proxy: http://USER:PASSWORD@HOST:PORT.',
    }
  }
  return {
    found: `${name} does not let it through (${status === undefined ? 'no answer' : `status ${status}`})`,
    hint: 'Have the proxy allow it, or name what is called in $NO_PROXY if it is reached without.',
  }
}

/** The end of what was found, where a call went through `proxy`. */
export function through(proxy: string | undefined): string {
  return proxy === undefined ? '' : ` through the proxy ${quote(shownProxy(proxy))}`
}

function isOnTailnet(host: string): boolean {
  const family = isIP(host)
  return family === 0 ? host.endsWith('.ts.net') : tailnetRange.check(host, familyOf(host))
}

/** Whether `rule` is for `host`: a name with all that is below it, an address, a range of them, or `*`; each may have a port. */
function isExcepted(rule: string, host: string, port: number): boolean {
  const [, inBrackets, plain, own] =
    /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(rule) ?? ([rule, undefined, rule] as const)
  if (own !== undefined && Number(own) !== port) return false
  const name = bare(inBrackets ?? plain ?? '')
  if (name === '*') return true
  if (isIP(host) !== 0) return isInRange(name, host)
  if (name.startsWith('*.')) return host.endsWith(name.slice(1))
  const domain = name.replace(/^\./, '')
  return host === domain || host.endsWith(`.${domain}`)
}

/** Whether `range`, an address or one with the length of a prefix, has `host`. What is neither has nothing. */
function isInRange(range: string, host: string): boolean {
  const [address = '', length] = range.split('/')
  const whole = isIP(address) === 6 ? 128 : 32
  const prefix = length === undefined ? whole : Number(/^\d+$/.exec(length)?.[0] ?? Number.NaN)
  if (isIP(address) === 0 || !(prefix <= whole)) return false
  const list = new BlockList()
  list.addSubnet(address, prefix, familyOf(address))
  return list.check(host, familyOf(host))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

/** A host in small letters, without brackets and without the dot that ends a full name. */
function bare(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/(?<=.)\.$/, '')
}
