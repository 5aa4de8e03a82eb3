/** Calls the API of a server from a host of the underlay, over one connection that is kept open. */
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { connect as startTls, type TLSSocket } from 'node:tls'
import { readFileSync } from 'node:fs'
import type { ConnectOptions, Underlay } from './underlay.ts'

/** Whom to call, and how. */
export interface CallOptions extends ConnectOptions {
  /** Headers beside those that every client sends. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Where a server is reached. */
export interface Target {
  /** The name in its certificate. */
  readonly name: string
  readonly port: number
  /** The file of the issuer's certificate; undefined for plain HTTP. */
  readonly ca: string | undefined
  /** Where to connect when that is not what the name says. */
  readonly address?: string
}

/** What a call came to. */
export interface Called {
  readonly status: number
  readonly body: string
}

const clientHeaders = { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' }

/** One connection. */
export class Caller {
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #agent: Agent
  readonly #headers: Readonly<Record<string, string>>

  private constructor(socket: Socket, headers: Readonly<Record<string, string>>) {
    this.#socket = socket
    this.#headers = headers
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {})
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1 })
    this.#agent.createConnection = () => socket
  }

  /** Connects `host` to `target`. Rejects when there is no connection or no trust. */
  static async open(
    underlay: Underlay,
    host: string,
    target: Target,
    options: CallOptions = {},
  ): Promise<Caller> {
    const { name, port, ca, address = name } = target
    const to = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
    const plain = await underlay.connect(host, to, options)
    const socket = ca === undefined ? plain : await encrypted(plain, name, ca)
    return new Caller(socket, { Host: `${name}:${port}`, ...options.headers })
  }

  /** Whether the connection is open still. */
  get open(): boolean {
    return !this.#socket.destroyed && !this.#socket.readableEnded
  }

  /** When the certificate that the server showed on this connection ends. */
  get certificateEnds(): Date {
    return new Date((this.#socket as TLSSocket).getPeerCertificate().valid_to)
  }

  /** Calls a method of the API. Rejects when the connection ends before there is an answer. */
  call(method: string, body: unknown = {}): Promise<Called> {
    return this.send('POST', `/api/${method}`, JSON.stringify(body))
  }

  /** Sends any request. */
  send(method: string, path: string, body = ''): Promise<Called> {
    if (!this.open) return Promise.reject(new Error('The connection is closed'))
    return new Promise((resolve, reject) => {
      const headers = { ...clientHeaders, ...this.#headers }
      const asked = request({ agent: this.#agent, method, path, headers }, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: text }))
      })
      asked.on('error', reject)
      asked.end(body)
    })
  }

  /** Calls a method whose answer is a stream of events, and resolves with that once it begins. */
  stream(method: string, body: unknown): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { ...clientHeaders, Accept: 'text/event-stream', ...this.#headers }
      const options = { agent: this.#agent, method: 'POST', path: `/api/${method}`, headers }
      const asked = request(options, resolve)
      asked.on('error', reject)
      asked.end(JSON.stringify(body))
    })
  }

  close(): void {
    this.#agent.destroy()
    this.#socket.destroy()
  }
}

function encrypted(socket: Socket, servername: string, ca: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = startTls({ socket, servername, ca: readFileSync(ca) })
    secured.once('secureConnect', () => resolve(secured))
    secured.once('error', reject)
    secured.once('close', () => reject(new Error('The connection was closed during the handshake')))
  })
}
