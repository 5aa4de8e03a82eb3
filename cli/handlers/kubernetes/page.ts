/** A listener for the kubelet and for Prometheus. It tells nothing of a secret. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemError } from '../../../client/platform/system-error.ts'
import type { Registry } from '../../../server/metrics/registry.ts'

/** A listener that was opened. */
export interface Page extends AsyncDisposable {
  readonly port: number
}

/** Where to listen, and what to say. */
export interface PageParts {
  readonly host: string | undefined
  readonly port: number
  readonly registry: Registry
  readonly isReady: () => boolean
}

/** Listens: `/healthz`, `/readyz` and `/metrics`. Throws `local` where it cannot. */
export async function openPage({ host, port, registry, isReady }: PageParts): Promise<Page> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' })
      response.end(text)
    }
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET') answer(405, 'only GET\n')
    else if (path === '/healthz') answer(200, 'ok\n')
    else if (path === '/readyz') answer(isReady() ? 200 : 503, isReady() ? 'ok\n' : 'not yet\n')
    else if (path === '/metrics') {
      void registry.page().then((text) => answer(200, text, 'text/plain; version=0.0.4'))
    } else answer(404, 'not found\n')
  })
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    throw systemError(error, 'listen on', `${host ?? ''}:${port}`)
  }
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
