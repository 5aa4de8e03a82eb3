/** The proxies that the environment names, as other programs read it. */
import { SottoError } from '../../client/api/errors.ts'
import type { Proxies } from '../platform/proxies.ts'
import type { SettingValues } from './settings/setting.ts'

/** In small letters first, as curl has it. */
const variables = {
  https: ['https_proxy', 'HTTPS_PROXY'],
  http: ['http_proxy', 'HTTP_PROXY'],
} as const
const exceptions = ['no_proxy', 'NO_PROXY'] as const

/** Reads them, for services that may be outside of the tailnet; empty where there are none. Throws `usage`. */
export function proxiesOf(given: SettingValues): { readonly proxies?: Proxies } {
  const https = proxyIn(given, variables.https)
  const http = proxyIn(given, variables.http)
  if (https === undefined && http === undefined) return {}
  const except = given.variable(exceptions)?.value
  return {
    proxies: {
      ...(https !== undefined && { https }),
      ...(http !== undefined && { http }),
      ...(except !== undefined && { except }),
    },
  }
}

function proxyIn(given: SettingValues, names: readonly string[]): string | undefined {
  const found = given.variable(names)
  if (found === undefined) return undefined
  const { name, value } = found
  const url = URL.parse(value.includes('://') ? value : `http://${value}`)
  if (url && /^https?:$/.test(url.protocol) && url.hostname !== '' && isDecodable(url)) {
    return url.href
  }
  // Never the value: it may have a password.
  throw new SottoError('usage', `Cannot use $${name}: it is not the address of an HTTP proxy`, {
    hint: 'It looks like http://proxy.example.com:3128, with USER:PASSWORD@ before the name where the proxy asks for them. Other signs in these are spelled with %.',
  })
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}
