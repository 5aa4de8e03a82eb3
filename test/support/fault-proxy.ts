/** A proxy before an HTTP service that does to calls what a network or an unwell service does, and records them. */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** What is done to a call in place of passing it on, or (from `delay` on) with its answer. */
export type Fault =
  /** The service refuses it, in the words of its protocol. */
  | {
      readonly kind: 'error'
      readonly type: string
      readonly message?: string
      readonly status?: number
    }
  /** Something that is not the service answers 200. */
  | { readonly kind: 'body'; readonly text: string }
  /** `reset` comes when half of the call's body has arrived. */
  | { readonly kind: 'reset' | 'hang' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** The service did it, and its answer never arrives: not at all, half of its body, or half and then silence. */
  | { readonly kind: 'lost' | 'cut' | 'stall' }

/** The head of a call to the service. */
export interface Head {
  readonly method: string
  /** The path with its query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** How a service is spoken to. */
export interface Protocol<Call> {
  readonly operationOf: (head: Head) => string
  /** What is recorded of a call; of one that is reset half-way with half of its body. */
  readonly read: (operation: string, head: Head, body: Buffer) => Call
  /** A refusal of the service. */
  readonly refuse: (fault: Extract<Fault, { kind: 'error' }>) => {
    readonly status: number
    readonly type: string
    readonly body: string
  }
}

/** A proxy that is up. */
export interface FaultProxy<Call> extends AsyncDisposable {
  readonly url: string
  /** Every call since the start, those that were failed too. */
  readonly calls: Call[]
  /** Does `fault` to the next `times` calls of `operation`, or of any, after letting `skip` of them pass. */
  fail(fault: Fault, times?: number, operation?: string, skip?: number): void
}

/** Starts a proxy on loopback before the service at `upstream`. */
export async function startFaultProxy<Call>(
  upstream: string,
  { operationOf, read, refuse }: Protocol<Call>,
): Promise<FaultProxy<Call>> {
  const calls: Call[] = []
  const rules: { fault: Fault; left: number; operation: string | undefined; skip: number }[] = []
  const open = new Set<Socket>()

  const server = createServer((incoming, answer) => {
    void handle(incoming, answer).catch(() => incoming.socket.destroy())
  })
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
  })

  function faultFor(operation: string): Fault | undefined {
    const rule = rules.find(
      (each) => each.left > 0 && (each.operation === undefined || each.operation === operation),
    )
    if (!rule) return undefined
    if (rule.skip > 0) {
      rule.skip -= 1
      return undefined
    }
    rule.left -= 1
    return rule.fault
  }

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming
    const operation = operationOf({ method, url, headers })
    const fault = faultFor(operation)
    const body = await (fault?.kind === 'reset' ? half(incoming) : buffer(incoming))
    calls.push(read(operation, { method, url, headers }, body))
    if (fault?.kind === 'hang') return
    if (fault?.kind === 'reset') {
      incoming.socket.resetAndDestroy()
    } else if (fault?.kind === 'body') {
      answer.writeHead(200, { 'content-type': 'text/html' }).end(fault.text)
    } else if (fault?.kind === 'error') {
      const refusal = refuse(fault)
      answer.writeHead(refusal.status, { 'content-type': refusal.type }).end(refusal.body)
    } else {
      const passed = await passOn(upstream, incoming, body)
      const begin = passed.body.subarray(0, passed.body.length / 2)
      if (fault?.kind === 'lost') {
        incoming.socket.destroy()
      } else if (fault?.kind === 'delay') {
        setTimeout(() => reply(answer, passed), fault.ms)
      } else if (fault?.kind === 'cut') {
        answer.writeHead(passed.status, passed.headers)
        answer.write(begin, () => incoming.socket.destroy())
      } else if (fault?.kind === 'stall') {
        answer.writeHead(passed.status, passed.headers).write(begin)
      } else {
        reply(answer, passed)
      }
    }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    fail: (fault, times = 1, operation, skip = 0) =>
      void rules.push({ fault, left: times, operation, skip }),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The first half of a body, or all of it where the call does not tell its length. */
async function half(incoming: IncomingMessage): Promise<Buffer> {
  const wanted = Number(incoming.headers['content-length'] ?? Infinity) / 2
  const chunks: Buffer[] = []
  let arrived = 0
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer)
    arrived += (chunk as Buffer).length
    if (arrived >= wanted) break
  }
  return Buffer.concat(chunks)
}

interface Passed {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

async function passOn(upstream: string, incoming: IncomingMessage, body: Buffer): Promise<Passed> {
  const { method = 'POST', url = '/' } = incoming
  // The proxy has the body already.
  const { expect: _, ...headers } = incoming.headers
  const outgoing = request(new URL(url, upstream), { method, headers, agent: false })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  const { connection: _c, 'transfer-encoding': _t, ...rest } = answer.headers
  return { status: answer.statusCode ?? 0, headers: rest, body: await buffer(answer) }
}

function reply(answer: ServerResponse, { status, headers, body }: Passed): void {
  answer.writeHead(status, headers).end(body)
}
