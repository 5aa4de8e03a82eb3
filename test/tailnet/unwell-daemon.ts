/** A tailscaled that is not well: a proxy before its LocalAPI, which fails as it is told. */
import { once } from 'node:events'
import { createServer, request, type Server, type ServerResponse } from 'node:http'

/** What the proxy does with whatever it is asked. */
export type Ailment =
  /** Nothing: everything goes through. */
  | 'none'
  /** Answers what no JSON is. */
  | 'garbage'
  /** Answers JSON of another shape. */
  | 'other-shape'
  /** Answers with status 500. */
  | 'error'
  /** Answers without end. */
  | 'endless'
  /** Closes the connection without an answer. */
  | 'hang-up'
  /** Never answers. */
  | 'silence'
  /** Asks the daemon after a while. */
  | 'slowness'
  /** Asks the daemon at once, and keeps the answer for a while. */
  | 'lateness'

/** How long a slow one takes, in milliseconds. */
const SLOW_MS = 800

/** The proxy. */
export class UnwellDaemon {
  ailment: Ailment = 'none'
  /** Answers to whois that the daemon gave, whether or not they were passed on. */
  answered = 0
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** Listens on the unix socket `path` for the daemon at `socket`. */
  static async start(path: string, socket: string): Promise<UnwellDaemon> {
    const server = createServer()
    const proxy = new UnwellDaemon(server)
    server.on('request', (asked, answer) => {
      if (proxy.ailment === 'slowness') setTimeout(pass, SLOW_MS, 0)
      else if (proxy.ailment === 'none') pass(0)
      else if (proxy.ailment === 'lateness') pass(SLOW_MS)
      else fail(proxy.ailment, answer)

      function pass(laterMs: number): void {
        const { method, url, headers } = asked
        const passed = request({ socketPath: socket, method, path: url, headers }, (real) => {
          real.on('error', () => answer.destroy())
          setTimeout(() => {
            answer.writeHead(real.statusCode ?? 500, real.headers)
            real.pipe(answer)
          }, laterMs)
        })
        passed.on('error', () => answer.destroy())
        passed.on('response', () => {
          if (url?.includes('/whois')) proxy.answered++
        })
        answer.on('close', () => passed.destroy())
        asked.pipe(passed)
      }
    })
    await once(server.listen(path), 'listening')
    return proxy
  }

  /** Begins to ail, on the connections that are open too: what they wait for never comes. */
  fallIll(ailment: Ailment): void {
    this.ailment = ailment
    if (ailment === 'hang-up') this.#server.closeAllConnections()
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}

function fail(
  ailment: Exclude<Ailment, 'none' | 'slowness' | 'lateness'>,
  answer: ServerResponse,
): void {
  switch (ailment) {
    case 'garbage':
      answer.end('\u0000\u0001 not JSON at all')
      return
    case 'other-shape':
      answer.end(JSON.stringify({ Node: 7, CapMap: 'all', BackendState: [] }))
      return
    case 'error':
      answer.writeHead(500).end('out of order')
      return
    case 'endless':
      sendForEver(answer)
      return
    case 'hang-up':
      answer.destroy()
      return
    case 'silence':
      return
  }
}

function sendForEver(answer: ServerResponse): void {
  const more = () => {
    while (!answer.destroyed && answer.write('x'.repeat(65_536)));
  }
  answer.on('drain', more)
  more()
}
