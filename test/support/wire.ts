/** The network between a client and a server on loopback, which can lose every connection without a word. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A network that is up. */
export interface Wire extends AsyncDisposable {
  readonly url: string
  /** From now on nothing passes on the connections that are open, and neither end hears of it. Returns how many these are. */
  lose(): number
}

/** Starts a network to the server at `port`. */
export async function startWire(port: number): Promise<Wire> {
  const open = new Set<Socket>()
  const pairs = new Set<readonly [Socket, Socket]>()
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const pair = [near, far] as const
    pairs.add(pair)
    near.pipe(far).pipe(near)
    for (const end of pair) {
      open.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          open.delete(end)
          if (pairs.delete(pair)) for (const each of pair) each.destroy()
        })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose: () => {
      for (const [near, far] of pairs) {
        near.unpipe(far).pause()
        far.unpipe(near).pause()
      }
      const { size } = pairs
      pairs.clear()
      return size
    },
    async [Symbol.asyncDispose]() {
      for (const each of open) each.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
