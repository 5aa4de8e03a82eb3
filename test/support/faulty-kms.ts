/** A proxy before a KMS that answers as KMS does when it is unwell, and records what it is asked. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** What is done to a call in place of passing it on, or (`delay`, `lost`) with its answer. */
export type KmsFault =
  | {
      readonly kind: 'error'
      readonly type: string
      readonly message?: string
      readonly status?: number
    }
  | { readonly kind: 'body'; readonly text: string }
  | { readonly kind: 'reset' | 'hang' | 'lost' }
  | { readonly kind: 'delay'; readonly ms: number }

/** One call that came in. */
export interface KmsCall {
  /** `Encrypt`, `Decrypt`, `DescribeKey`. */
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
}

/** A proxy that is up. */
export interface FaultyKms extends AsyncDisposable {
  readonly url: string
  /** Every call since the start, those that were failed too. */
  readonly calls: KmsCall[]
  /** Does `fault` to the next `times` calls of `operation`, or of any. */
  fail(fault: KmsFault, times?: number, operation?: string): void
}

/** Starts a proxy on loopback before the KMS at `upstream`. */
export async function startFaultyKms(upstream: string): Promise<FaultyKms> {
  const calls: KmsCall[] = []
  const rules: { fault: KmsFault; left: number; operation: string | undefined }[] = []
  const open = new Set<Socket>()

  const server = createServer((incoming, answer) => {
    void handle(incoming, answer).catch(() => incoming.socket.destroy())
  })
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
  })

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await buffer(incoming)
    const operation = String(incoming.headers['x-amz-target']).replace('TrentService.', '')
    calls.push({ operation, input: JSON.parse(body.toString()) as KmsCall['input'] })
    const rule = rules.find(
      (each) => each.left > 0 && (each.operation === undefined || each.operation === operation),
    )
    if (rule) rule.left -= 1
    const fault = rule?.fault
    if (fault?.kind === 'hang') return
    if (fault?.kind === 'reset') {
      incoming.socket.resetAndDestroy()
    } else if (fault?.kind === 'body') {
      answer.writeHead(200, { 'content-type': 'text/html' }).end(fault.text)
    } else if (fault?.kind === 'error') {
      const { type, message = type, status = 400 } = fault
      answer.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
      answer.end(JSON.stringify({ __type: type, message }))
    } else {
      const passed = await passOn(upstream, incoming, body)
      if (fault?.kind === 'lost') incoming.socket.destroy()
      else if (fault?.kind === 'delay') setTimeout(() => reply(answer, passed), fault.ms)
      else reply(answer, passed)
    }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    fail: (fault, times = 1, operation) => void rules.push({ fault, left: times, operation }),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Passed {
  readonly status: number
  readonly type: string
  readonly body: Buffer
}

async function passOn(upstream: string, incoming: IncomingMessage, body: Buffer): Promise<Passed> {
  const { method = 'POST', url = '/', headers } = incoming
  const outgoing = request(new URL(url, upstream), { method, headers, agent: false })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return {
    status: answer.statusCode ?? 0,
    type: answer.headers['content-type'] ?? '',
    body: await buffer(answer),
  }
}

function reply(answer: ServerResponse, { status, type, body }: Passed): void {
  answer.writeHead(status, { 'content-type': type }).end(body)
}
