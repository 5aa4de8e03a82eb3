/** HTTP over a bare socket, written and read byte by byte, on a connection that stays. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'

/** An answer as it came. */
export interface RawAnswer {
  readonly status: number
  /** By lower-case name, in the order in which they came. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** How a request differs from a good one. */
export interface RequestParts {
  readonly method?: string
  readonly target?: string
  readonly protocol?: string
  /** Header lines in place of those of a good request, without the body's length. */
  readonly head?: readonly string[]
  /** Header lines beside them. */
  readonly more?: readonly string[]
  /** Absent: no body and no length. */
  readonly body?: string | undefined
}

/** Header lines that the API asks for. */
export const goodHead: readonly string[] = [
  'Host: localhost',
  'Content-Type: application/json',
  'Sec-X-Tailscale-No-Browsers: setec',
]

/** A request as text: by default a `get` of `prod/a`. */
export function requestText(parts: RequestParts = {}): string {
  const {
    method = 'POST',
    target = '/api/get',
    protocol = 'HTTP/1.1',
    head = goodHead,
    more = [],
  } = parts
  const body = 'body' in parts ? parts.body : '{"Name":"prod/a"}'
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const lines = [`${method} ${target} ${protocol}`, ...head, ...more, ...length]
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`
}

/** One connection to a server on 127.0.0.1. */
export class RawConnection {
  readonly socket: Socket
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>
  #bytes: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake?.()
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true
        this.#wake?.()
        resolve()
      })
    })
  }

  /** Connects from the loopback address `from`. */
  static async open(url: string, from = '127.0.0.1'): Promise<RawConnection> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), localAddress: from })
    const connection = new RawConnection(socket)
    await once(socket, 'connect')
    return connection
  }

  /** Connects by TLS, believing the authority `ca` and no other. Rejects when the handshake fails. */
  static async openTls(url: string, ca: string, servername: string): Promise<RawConnection> {
    const socket = connectTls({
      host: '127.0.0.1',
      port: Number(new URL(url).port),
      ca,
      servername,
    })
    const connection = new RawConnection(socket)
    await once(socket, 'secureConnect')
    return connection
  }

  /** The certificate that the server showed, as PEM. */
  get certificate(): string {
    return (this.socket as TLSSocket).getPeerX509Certificate()?.toString() ?? ''
  }

  /** Writes `text` and nothing else. */
  send(text: string | Uint8Array): void {
    this.socket.write(text)
  }

  /**
   * The next answer, interim ones included; undefined when the connection closed without one.
   * `bodiless` for the answer to HEAD. Rejects for what is no answer.
   */
  async answer(bodiless = false): Promise<RawAnswer | undefined> {
    for (;;) {
      const found = this.#parse(bodiless)
      if (found) return found
      if (this.#ended) {
        if (this.#bytes.length === 0) return undefined
        throw new Error(`cut short: ${this.#bytes.subarray(0, 200).toString('latin1')}`)
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Every answer until the server closes the connection. */
  async answers(): Promise<RawAnswer[]> {
    const all: RawAnswer[] = []
    for (let next = await this.answer(); next; next = await this.answer()) all.push(next)
    return all
  }

  /** Sends a whole request and resolves with its answer. */
  async ask(parts: RequestParts = {}): Promise<RawAnswer> {
    this.send(requestText(parts))
    const answer = await this.answer(parts.method === 'HEAD')
    if (!answer) throw new Error('closed without an answer')
    return answer
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #parse(bodiless: boolean): RawAnswer | undefined {
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const [first = '', ...lines] = this.#bytes.subarray(0, end).toString('latin1').split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1])
    if (!status) throw new Error(`not an answer: ${JSON.stringify(first)}`)
    const headers = new Map(lines.map(splitHeader))
    if (headers.size !== lines.length) throw new Error(`a header came twice: ${lines.join('; ')}`)
    const empty = bodiless || status < 200 || status === 204 || status === 304
    const length = empty ? 0 : Number(headers.get('content-length'))
    if (Number.isNaN(length)) throw new Error(`no length: ${lines.join('; ')}`)
    if (this.#bytes.length < end + 4 + length) return undefined
    const body = this.#bytes.subarray(end + 4, end + 4 + length).toString('utf8')
    this.#bytes = this.#bytes.subarray(end + 4 + length)
    return { status, headers, body }
  }
}

/** Asks once on a connection of its own. */
export async function askOnce(
  url: string,
  parts: RequestParts = {},
  from?: string,
): Promise<RawAnswer> {
  using connection = await RawConnection.open(url, from)
  return await connection.ask(parts)
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
}
