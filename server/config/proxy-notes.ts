/** What is said of proxies at the start: that calls leave by way of another machine should surprise nobody. */
import { quote } from '../../client/api/errors.ts'
import { type Proxies, proxyFor, shownProxy } from '../platform/proxies.ts'
import type { ServerConfig } from './config.ts'

interface Called {
  readonly name: string
  readonly url: string
  readonly proxies: Proxies | undefined
}

/** A line for each proxy that is used, with what is called through it. */
export function proxyNotes(config: ServerConfig): string[] {
  const used = called(config).flatMap(({ name, url, proxies }) => {
    const proxy = proxyFor(new URL(url), proxies)
    return proxy === undefined ? [] : [{ name, proxy }]
  })
  return [...Map.groupBy(used, ({ proxy }) => proxy)].map(([proxy, calls]) => {
    const names = [...new Set(calls.map(({ name }) => name))].join(', ')
    return `called through the proxy ${quote(shownProxy(proxy))}: ${names}`
  })
}

/** The services that may be outside, and where each of them is as far as that is known. */
function called(config: ServerConfig): Called[] {
  const { awsKms, transit, backups, backendOrigins = [], backendProxies } = config
  const bucket = backups?.place.kind === 's3' ? backups.place : undefined
  const openBaos = [
    ...(transit ? [{ url: transit.url, proxies: transit.proxies }] : []),
    ...backendOrigins.map((url) => ({ url, proxies: backendProxies })),
  ]
  return [
    ...(awsKms ? [ofAws('KMS', awsKms)] : []),
    ...(bucket ? [ofAws('S3', bucket)] : []),
    ...openBaos.map((each) => ({
      name: `OpenBao at ${quote(new URL(each.url).origin)}`,
      ...each,
    })),
  ]
}

function ofAws(
  name: string,
  {
    endpoint,
    region,
    proxies,
  }: { readonly endpoint?: string; readonly region?: string; readonly proxies?: Proxies },
): Called {
  const host = [name.toLowerCase(), region, 'amazonaws.com'].filter(Boolean).join('.')
  return { name, url: endpoint ?? `https://${host}`, proxies }
}
