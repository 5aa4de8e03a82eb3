/**
 * A stand-in for tailscaled: its LocalAPI on a unix socket, with answers that a test sets, refusing
 * what tailscaled refuses. Answers begin as a released tailscaled gave them.
 */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What to answer: text, a status with text, or a function that answers by itself. */
export type Answer =
  | string
  | { readonly status: number; readonly text: string; readonly headers?: Record<string, string> }
  | ((incoming: IncomingMessage, outgoing: ServerResponse) => void)

/** The body of what tailscaled answered, by its name in test/identity/fixtures/tailscale. */
export function recorded(name: string): string {
  const file = new URL(`../identity/fixtures/tailscale/${name}.http`, import.meta.url)
  const text = readFileSync(file, 'utf8')
  return text.slice(text.indexOf('\n\n') + 2)
}

/** The addresses of the node in a recorded answer to whois: IPv4, IPv6. */
export function addressesIn(name: string): [string, string] {
  const { Node } = JSON.parse(recorded(name)) as { Node: { Addresses: string[] } }
  const [four = '', six = ''] = Node.Addresses.map((prefix) => prefix.split('/')[0] ?? '')
  return [four, six]
}

/** An answer to whois with some fields of its node changed. */
export function withNode(name: string, fields: object): string {
  const whois = JSON.parse(recorded(name)) as { Node: object }
  return JSON.stringify({ ...whois, Node: { ...whois.Node, ...fields } })
}

/** An answer with some fields changed. */
export function withFields(name: string, fields: object): string {
  return JSON.stringify({ ...(JSON.parse(recorded(name)) as object), ...fields })
}

/** A tailscaled whose answers a test sets. */
export class StubLocalApi implements AsyncDisposable {
  readonly path: string
  /** Answers to whois by what `addr` says; 404 for any other. */
  readonly whois = new Map<string, Answer>()
  status: Answer = recorded('status')
  certificate: Answer = { status: 500, text: 'no certificate domains\n' }
  /** Answers in place of the bus; undefined for the bus. */
  bus: Answer | undefined
  /** What it says of its version in every answer; undefined for nothing. */
  capability: string | undefined = '142'
  /** Every request so far, as method and URL. */
  readonly asked: string[] = []
  readonly #directory = mkdtempSync(join(tmpdir(), 'sotto-localapi-'))
  readonly #buses = new Set<ServerResponse>()
  #server: Server | undefined

  constructor() {
    this.path = join(this.#directory, 'tailscaled.sock')
  }

  /** A stub that listens. */
  static async start(): Promise<StubLocalApi> {
    const stub = new StubLocalApi()
    await stub.start()
    return stub
  }

  /** Listens, again after a stop. */
  async start(): Promise<void> {
    const server = createServer((incoming, outgoing) => this.#serve(incoming, outgoing))
    server.listen(this.path)
    await once(server, 'listening')
    this.#server = server
  }

  /** Ends all connections and listens no more, as a daemon that stops. */
  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  /** How many watch the bus. */
  get watchers(): number {
    return this.#buses.size
  }

  /** Sends a line on the bus. */
  notify(line: object | string): void {
    const text = typeof line === 'string' ? line : `${JSON.stringify(line)}\n`
    for (const bus of this.#buses) bus.write(text)
  }

  /** Ends the streams of the bus. */
  endBus(): void {
    for (const bus of this.#buses) bus.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = '', url = '', headers } = incoming
    this.asked.push(`${method} ${url}`)
    if (this.capability !== undefined) outgoing.setHeader('Tailscale-Cap', this.capability)
    // What tailscaled checks of every request.
    if (headers.host !== 'local-tailscaled.sock' || headers.origin || headers.referer) {
      return reply({ status: 403, text: 'invalid localapi request\n' }, incoming, outgoing)
    }
    const { pathname, searchParams } = new URL(url, 'http://local-tailscaled.sock')
    if (pathname === '/localapi/v0/watch-ipn-bus' && !this.bus) return this.#watch(outgoing)
    reply(this.#answerTo(pathname, searchParams), incoming, outgoing)
  }

  #answerTo(pathname: string, query: URLSearchParams): Answer {
    if (pathname === '/localapi/v0/status') return this.status
    if (pathname === '/localapi/v0/watch-ipn-bus' && this.bus) return this.bus
    if (pathname.startsWith('/localapi/v0/cert/')) return this.certificate
    if (pathname === '/localapi/v0/whois') {
      const nobody = { status: 404, text: 'no match for IP:port\n' }
      return this.whois.get(query.get('addr') ?? '') ?? nobody
    }
    return { status: 404, text: '404 page not found\n' }
  }

  #watch(outgoing: ServerResponse): void {
    this.#buses.add(outgoing)
    outgoing.once('close', () => this.#buses.delete(outgoing))
    outgoing.writeHead(200, { 'Content-Type': 'application/json' })
    outgoing.flushHeaders()
    outgoing.write(`${recorded('bus-peer-removed').split('\n')[0]}\n`)
  }
}

function reply(what: Answer, incoming: IncomingMessage, outgoing: ServerResponse): void {
  if (typeof what === 'function') return what(incoming, outgoing)
  if (typeof what === 'string') return void outgoing.end(what)
  outgoing.writeHead(what.status, what.headers).end(what.text)
}
