/** A server that answers what a test wants: the edge that no real server of ours would show. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'

/** A listening server that goes away with its scope (`await using`). */
export interface Scripted {
  readonly url: string
  [Symbol.asyncDispose](): Promise<void>
}

/** What came in with a call. */
export interface Received {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** Counts connections: calls with the same number came on the same one. */
  readonly connection: number
}

/** Serves HTTP: `answer` gets each call once its body is there. */
export async function scripted(
  answer: (received: Received, response: ServerResponse) => void,
): Promise<Scripted> {
  const sockets: Socket[] = []
  const server = createServer((request, response) => {
    const { url: path = '', headers } = request
    const connection = sockets.indexOf(request.socket)
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => answer({ path, headers, body, connection }, response))
  })
  server.on('connection', (socket) => sockets.push(socket))
  return listening(server, sockets)
}

/** Serves bytes: what `answer` gives is sent as soon as something came in. */
export async function scriptedBytes(answer: () => Uint8Array): Promise<Scripted> {
  const sockets: Socket[] = []
  const server = net.createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer()))
  })
  return listening(server, sockets)
}

/** Lets `server` listen on loopback; `sockets` are cut when it goes away. */
export async function listening(
  server: net.Server,
  sockets: readonly Socket[] = [],
): Promise<Scripted> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
