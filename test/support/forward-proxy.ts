/**
 * A proxy as companies have them: it tunnels by CONNECT, and forwards what is in the clear. Every name that it is asked for
 * it finds on this machine.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { promisify } from 'node:util'

/** What the proxy was asked for. */
export interface Asked {
  /** `CONNECT`, or the method of a call that was to be forwarded. */
  readonly method: string
  /** `HOST:PORT`, or a whole URL. */
  readonly target: string
  /** User and password, as `USER:PASSWORD`. */
  readonly credentials: string | undefined
}

/** A proxy that is up. */
export interface ForwardProxy extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly asked: Asked[]
  /** Has it answer everything with `status` from now on. */
  refuse(status: number): void
  /** Whether it answers nothing that asks for a tunnel from now on. */
  hang(hangs: boolean): void
  /** How many connections it has at present. */
  connections(): Promise<number>
}

/** Starts a proxy on loopback. `ports` are those where tunnels and what is forwarded end. */
export async function startForwardProxy(ports: {
  readonly tunnels?: number
  readonly forwards?: number
}): Promise<ForwardProxy> {
  const asked: Asked[] = []
  const open = new Set<Socket>()
  let refused: number | undefined
  let hung = false
  const note = ({ method = '', url = '', headers }: IncomingMessage): void => {
    const [, encoded] = /^Basic (.*)$/.exec(headers['proxy-authorization'] ?? '') ?? []
    const credentials = encoded && Buffer.from(encoded, 'base64').toString()
    asked.push({ method, target: url, credentials })
  }
  const server = createServer((incoming, answer) => {
    note(incoming)
    if (refused !== undefined) {
      answer.writeHead(refused, { 'content-type': 'text/html' }).end('<html>No.</html>')
      return
    }
    const { method, headers } = incoming
    const { pathname, search } = new URL(incoming.url ?? '')
    const path = pathname + search
    const to = { host: '127.0.0.1', port: ports.forwards, method, path, headers, agent: false }
    const outgoing = request(to, (passed) => {
      answer.writeHead(passed.statusCode ?? 0, passed.headers)
      passed.pipe(answer)
    })
    outgoing.on('error', () => answer.destroy())
    incoming.pipe(outgoing)
  })
  server.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    note(incoming)
    if (hung) {
      socket.on('end', () => socket.end()).resume()
      return
    }
    if (refused !== undefined) {
      socket.end(`HTTP/1.1 ${refused} Refused\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const inner = connect({ host: '127.0.0.1', port: ports.tunnels ?? 0 }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      inner.pipe(socket).pipe(inner)
    })
    for (const end of [inner, socket]) {
      open.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          inner.destroy()
          socket.destroy()
        })
    }
  })
  server.on('connection', (socket) => void open.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    asked,
    refuse: (status) => {
      refused = status
    },
    hang: (hangs) => {
      hung = hangs
    },
    connections: () => promisify(server.getConnections.bind(server))(),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
