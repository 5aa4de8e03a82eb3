/** Something between a backend and its OpenBao that loses, keeps and makes up answers. */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer, text } from 'node:stream/consumers'

/** A request on its way. */
export interface Passing {
  readonly method: string
  /** With its query, from `/v1/` on. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

/** An answer. */
export interface Answered {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body: string
}

/** What becomes of a request: `pass` it on, `lose` its answer, let it `hang` unanswered, or answer for OpenBao. */
type Fate = 'pass' | 'lose' | 'hang' | Answered

/** What stands between. */
export interface Between extends AsyncDisposable {
  readonly url: string
  readonly seen: Passing[]
  /** Decides on each request. */
  fate: (request: Passing) => Fate
  /** Is told each answer that passed. */
  answered: (request: Passing, answer: Answered) => void
}

/** Stands between whoever calls and the OpenBao at `target`. */
export async function between(target: string): Promise<Between> {
  const server = createServer((incoming, outgoing) => {
    incoming.on('error', () => outgoing.destroy())
    void carry(incoming, outgoing)
  })

  async function carry(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = incoming
    const body = await buffer(incoming)
    const passing = { method, path, headers }
    self.seen.push(passing)
    const fate = self.fate(passing)
    if (fate === 'hang') return
    if (typeof fate === 'object') {
      outgoing.writeHead(fate.status, { 'content-type': 'application/json', ...fate.headers })
      outgoing.end(fate.body)
      return
    }
    const onward = request(`${target}${path}`, { method, headers })
    onward.end(body)
    try {
      const [answer] = (await once(onward, 'response')) as [IncomingMessage]
      const status = answer.statusCode ?? 0
      const answered = { status, body: await text(answer) }
      self.answered(passing, answered)
      if (fate === 'lose') outgoing.destroy()
      else outgoing.writeHead(status, answer.headers).end(answered.body)
    } catch {
      outgoing.destroy()
    }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const self: Between = {
    url: `http://127.0.0.1:${port}`,
    seen: [],
    fate: () => 'pass',
    answered: () => {},
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return self
}
