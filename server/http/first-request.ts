/**
 * A request whose method Node's parser does not know, from the bytes that it refused. They are read once and never
 * handed on: whatever is not exactly one request without a body is none.
 */
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

const token = String.raw`[\w!#$%&'*+.^\x60|~-]+`
const headerLine = new RegExp(
  String.raw`(${token}):[ \t]*((?:[\x21-\x7e][\t\x20-\x7e]*)?)\r\n`,
  'y',
)

/** Headers that announce a body, or that the peer waits for something. */
const ofMore = new Set(['transfer-encoding', 'trailer', 'te', 'expect', 'upgrade'])

/**
 * The request that `packet`, all that came on the connection, is with `method`, and what answers it; after that the
 * connection ends. Undefined where it is anything else.
 */
export function firstRequest(
  socket: Socket,
  packet: Buffer,
  method: string,
): [IncomingMessage, ServerResponse] | undefined {
  const text = packet.toString('latin1')
  const first = new RegExp(`^${method} (/[\\x21-\\x7e]*) HTTP/1\\.1\r\n`).exec(text)
  const headers = first && headersOf(text, first[0].length)
  if (!headers) return undefined
  const incoming = new IncomingMessage(socket)
  incoming.httpVersionMajor = 1
  incoming.httpVersionMinor = 1
  incoming.method = method
  incoming.url = first[1] ?? ''
  incoming.rawHeaders = headers.flat()
  incoming.headers = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]))
  incoming.complete = true
  incoming.push(null)
  const outgoing = new ServerResponse(incoming)
  outgoing.shouldKeepAlive = false
  outgoing.assignSocket(socket)
  outgoing.once('finish', () => socket.destroySoon())
  return [incoming, outgoing]
}

/** The headers from `start` on, where nothing follows them, no name comes twice, and none says that a body does. */
function headersOf(text: string, start: number): [string, string][] | undefined {
  const found: [string, string][] = []
  const names = new Set<string>()
  headerLine.lastIndex = start
  let end = start
  for (let line = headerLine.exec(text); line; line = headerLine.exec(text)) {
    const [, name = '', value = ''] = line
    const lower = name.toLowerCase()
    const isOfBody = ofMore.has(lower) || (lower === 'content-length' && value !== '0')
    if (isOfBody || names.has(lower)) return undefined
    names.add(lower)
    found.push([name, value.trimEnd()])
    end = headerLine.lastIndex
  }
  return text.slice(end) === '\r\n' ? found : undefined
}
