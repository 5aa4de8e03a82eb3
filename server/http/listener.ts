/** The HTTP server on Node: limits of time and size, the front door, and an end that finishes work. */
import { once } from 'node:events'
import { createServer, type Server, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { SottoError } from '../../client/api/errors.ts'
import { type AppParts, apiHandlers, makeApp } from './app.ts'

/** Limits of the listener. Times are in milliseconds. */
export interface ListenerLimits {
  readonly headersTimeout: number
  readonly requestTimeout: number
  readonly keepAliveTimeout: number
  readonly maxHeaderSize: number
  readonly maxConnections: number
  /** How long a stop waits for requests that were accepted. */
  readonly stopTimeout: number
}

/** The limits that a server has unless told otherwise. */
export const listenerLimits: ListenerLimits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16_384,
  maxConnections: 16_384,
  stopTimeout: 10_000,
}

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** Serves HTTP on one or more addresses. */
export class Listener {
  readonly #parts: AppParts
  readonly #limits: ListenerLimits
  readonly #servers: Server[] = []
  readonly #listener: Parameters<typeof createServer>[1]

  constructor(parts: AppParts, limits: ListenerLimits = listenerLimits) {
    this.#parts = parts
    this.#limits = limits
    const api = apiHandlers(parts)
    const app = getRequestListener(makeApp(parts, api).fetch)
    this.#listener = (incoming, outgoing) => {
      // The front door: exact paths of the API skip the app, which would serve them the same way.
      const handler = api.get(incoming.url ?? '')
      void (handler ?? app)(incoming, outgoing)
    }
  }

  /** Listens on `address` too, and resolves with the port. Rejects with `local` when it cannot. */
  async listen({ host, port }: Address): Promise<number> {
    const { headersTimeout, requestTimeout, keepAliveTimeout, maxHeaderSize } = this.#limits
    const server = createServer(
      {
        headersTimeout,
        requestTimeout,
        keepAliveTimeout,
        maxHeaderSize,
        connectionsCheckingInterval: Math.min(1000, headersTimeout),
        noDelay: true,
      },
      this.#listener,
    )
    server.maxConnections = this.#limits.maxConnections
    server.on('clientError', refuseRaw)
    server.listen({ host, port })
    try {
      await once(server, 'listening')
    } catch (cause) {
      throw new SottoError('local', `Cannot listen on ${host}:${port}`, {
        cause,
        hint: 'Another program may use the port: give another one, or 0 for any, with --listen.',
      })
    }
    this.#servers.push(server)
    return (server.address() as AddressInfo).port
  }

  /** Takes nothing new, finishes what was accepted, and ends within the limit. */
  async close(): Promise<void> {
    this.#parts.load.close()
    await Promise.all(this.#servers.map((server) => this.#closeServer(server)))
  }

  async #closeServer(server: Server): Promise<void> {
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    const late = setTimeout(() => server.closeAllConnections(), this.#limits.stopTimeout)
    await closed
    clearTimeout(late)
  }
}

const rawStatuses: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

/** Answers what is not HTTP, or is too slow or too large to become a request. */
function refuseRaw(
  error: NodeJS.ErrnoException,
  socket: Socket | { end(text: string): void },
): void {
  if (!('writable' in socket) || !socket.writable || socket.bytesWritten > 0) {
    if ('destroy' in socket) socket.destroy()
    return
  }
  const status = rawStatuses[error.code ?? ''] ?? 400
  const body = `${STATUS_CODES[status]?.toLowerCase()}\n`
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
}
