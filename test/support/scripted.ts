/** An HTTP server that answers what a test says, and records what it is asked. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { makePair } from './certificates.ts'

/** A call that came in. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** An answer. */
export interface Scripted {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A server that is up. */
export interface ScriptedServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly seen: Seen[]
  /** PEM of its certificate, which is its own authority. Empty without TLS. */
  readonly certificate: string
  answer: (seen: Seen) => Scripted
}

/** Starts a server on loopback that answers with `answer`: by TLS, with a certificate for `names`, where any are given. */
export async function startScripted(
  answer: (seen: Seen) => Scripted = () => ({}),
  names: readonly string[] = [],
): Promise<ScriptedServer> {
  const pair = names.length === 0 ? undefined : makePair(names)
  const listener: RequestListener = (incoming, outgoing) => {
    void (async () => {
      const { method = '', url = '', headers } = incoming
      const seen = { method, url, headers, body: (await buffer(incoming)).toString() }
      scripted.seen.push(seen)
      const { status = 200, headers: given = {}, body = '' } = scripted.answer(seen)
      outgoing.writeHead(status, given).end(body)
    })().catch(() => incoming.socket.destroy())
  }
  const server = pair
    ? createSecureServer({ cert: pair.certificate, key: pair.key }, listener)
    : createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const scripted: ScriptedServer = {
    url: `${pair ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    seen: [],
    certificate: pair?.certificate ?? '',
    answer,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return scripted
}
