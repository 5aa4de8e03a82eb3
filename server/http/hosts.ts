/**
 * By which names we answer. A page of another site can have its own name lead to our address, and then
 * counts as ours to a browser: its requests have that name as their host.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { quote, SottoError } from '../../client/api/errors.ts'

/** Whether `name`, in small letters and without a dot at its end, is one of ours. */
export type IsOwnName = (name: string) => boolean

const host = /^(?:\[([\da-f:.]+)\]|([^\s:[\]]+?)\.?)(?::\d{1,5})?$/i

const isHost = /^host$/i
/** A request target with a host of its own, which goes before the header. */
const absolute = /^https?:\/\/([^/?#[]+|\[[^\]/?#]*\][^/?#]*)/i

/**
 * Throws `wrong_host` unless the request is for an address, for `localhost` or for a name of ours, in its header
 * and in its target, and `bad_request` where it names two hosts. No name of somebody else's stands in an address.
 * Only HTTP/1.0, which no browser speaks, may leave the host out.
 */
export function checkHost(incoming: IncomingMessage, isOwnName: IsOwnName): void {
  const { url = '', headers, rawHeaders } = incoming
  // Of several Node tells the first, and another reader might go by the last.
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 4 && isHost.test(name)) hosts++
  }
  if (hosts > 1) throw new SottoError('bad_request', 'The Host header is there twice')
  if (headers.host !== undefined) demandOwn(headers.host, isOwnName)
  const named = url.startsWith('/') ? undefined : absolute.exec(url)?.[1]
  if (named !== undefined) demandOwn(named, isOwnName)
}

/** Some hosts that are always ours: callers name few, each time again. */
const always = new Set<string>()
const MAX_ALWAYS = 100

function demandOwn(given: string, isOwnName: IsOwnName): void {
  if (always.has(given)) return
  const [, six, name = ''] = host.exec(given) ?? []
  const spelled = name.toLowerCase()
  if ((six === undefined ? isIP(name) === 4 : isIP(six) === 6) || spelled === 'localhost') {
    if (always.size < MAX_ALWAYS) always.add(given)
    return
  }
  if (spelled !== '' && isOwnName(spelled)) return
  const reason = `Cannot answer as ${quote(given.slice(0, 300))}: this server does not have that name`
  throw new SottoError('wrong_host', `${reason}; its operator can add names with --host-name`)
}
