/** HTTP over a bare socket, so that a test can send what no HTTP client would. */
import { connect } from 'node:net'

/** A request, byte for byte in its head and body. */
export interface RawRequest {
  /** The loopback address that it is sent from; absent for 127.0.0.1. */
  readonly from?: string
  /** Absent for POST. */
  readonly method?: string
  readonly path: string
  /** Absent for HTTP/1.1. */
  readonly protocol?: string
  /** Header lines as they are sent. `Connection: close` and the body's length are added to them. */
  readonly headers: readonly string[]
  /** Leaves `Connection: close` out and hangs up by itself when the answer is complete. */
  readonly keepOpen?: true
  readonly body: Uint8Array
  /** How the body is told: by its length when absent, else in chunks, or not at all. */
  readonly framing?: 'chunked' | 'none'
}

/** What came back. */
export interface RawAnswer {
  readonly status: number
  /** By lower-case name; the last one counts. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Milliseconds that a server may take to answer and to close the connection. */
const PATIENCE_MS = 20_000

/** Sends `request` to a server on 127.0.0.1 and resolves with its answer; rejects when there is none. */
export function exchange(port: number, request: RawRequest): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
  const socket = connect({ port, host: '127.0.0.1', localAddress: request.from ?? '127.0.0.1' })
  const chunks: Buffer[] = []
  const settle = (failure?: Error) => {
    try {
      resolve(parseAnswer(Buffer.concat(chunks), request))
    } catch (error) {
      reject(new Error(`${request.path}: ${failure?.message ?? (error as Error).message}`))
    }
  }
  socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer in time')))
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    if (request.keepOpen && isComplete(Buffer.concat(chunks))) socket.destroy()
  })
  // A server that does not read the whole body may reset the connection behind its answer.
  socket.on('error', settle)
  socket.on('close', () => settle())
  socket.write(encode(request))
  return promise
}

function encode(request: RawRequest): Buffer {
  const { method = 'POST', path, protocol = 'HTTP/1.1', headers, body, framing } = request
  const lines = [`${method} ${path} ${protocol}`, 'Host: localhost', ...headers]
  if (!request.keepOpen) lines.push('Connection: close')
  if (framing === 'chunked') lines.push('Transfer-Encoding: chunked')
  else if (framing === undefined) lines.push(`Content-Length: ${body.length}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  return Buffer.concat([head, framing === 'chunked' ? chunked(body) : body])
}

/** The body in chunks of three bytes, so that nothing in it stands in one piece. */
function chunked(body: Uint8Array): Buffer {
  const parts: Uint8Array[] = []
  for (let at = 0; at < body.length; at += 3) {
    const part = body.subarray(at, at + 3)
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

function parseAnswer(bytes: Buffer, { method, framing }: RawRequest): RawAnswer {
  let rest = bytes
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error('the connection was closed without an answer')
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n')
    const status = Number(/^HTTP\/1\.[01] (\d{3})\b/.exec(first)?.[1])
    if (!status) throw new Error(`not an answer: ${JSON.stringify(first)}`)
    rest = rest.subarray(end + 4)
    // An interim answer, such as the one to Expect, comes before the real one.
    if (status < 200) continue
    const headers = new Map(lines.map(splitHeader))
    const isChunked = headers.get('transfer-encoding') === 'chunked'
    const length = Number(headers.get('content-length') ?? Number.NaN)
    // Behind a request of no told length, its body is the next request, and may be answered too.
    const body = isChunked ? unchunk(rest) : framing === 'none' ? rest.subarray(0, length) : rest
    if (method !== 'HEAD' && !Number.isNaN(length) && length !== body.length) {
      throw new Error(`the body has ${body.length} bytes, and the head says ${length}`)
    }
    return { status, headers, body: body.toString('utf8') }
  }
}

/** Whether an answer that tells its length is there whole. */
function isComplete(bytes: Buffer): boolean {
  const end = bytes.indexOf('\r\n\r\n')
  const length = /^content-length: *(\d+)\r?$/im.exec(
    bytes.subarray(0, end).toString('latin1'),
  )?.[1]
  return end >= 0 && bytes.length >= end + 4 + Number(length)
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
}

function unchunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  let rest = bytes
  for (;;) {
    const end = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.subarray(0, end).toString('latin1'), 16)
    if (end < 0 || Number.isNaN(size)) throw new Error('a chunk is malformed')
    if (size === 0) return Buffer.concat(parts)
    parts.push(rest.subarray(end + 2, end + 2 + size))
    rest = rest.subarray(end + 4 + size)
  }
}
