/** Watches on a whole server: both forms, rights that go, readers that are slow, and ends. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Client, type Held } from '../../../client/client.ts'
import type { WatchEvent } from '../../../client/watch.ts'
import type { TailnetFile } from '../../../server/identity/development.ts'
import { ManualTimers } from '../../audit/fixtures.ts'
import { faultyFiles } from '../../support/faulty-files.ts'
import { withNode } from '../../support/local-api.ts'
import { scrape } from '../../support/scrape.ts'
import {
  bytes,
  everything,
  fourCallers,
  type Service,
  startService,
} from '../../support/service.ts'
import { loopbackDoor, startOnTailnet, userspaceTailscaled } from '../../support/tailnet-service.ts'
import { goodHead, requestText } from '../raw.ts'

/** A watch, event by event; it ends with the test. */
function watch(client: Client, held: Record<string, number>) {
  const giveUp = new AbortController()
  onTestFinished(() => giveUp.abort())
  const events = client.watch(new Map(Object.entries(held)), { signal: giveUp.signal })
  return {
    /** The next event; undefined at the end. */
    next: async (): Promise<WatchEvent | undefined> => (await events.next()).value ?? undefined,
    /** What is told before the next `synced`: versions by name, and `denied`. */
    told: async (): Promise<Record<string, number | 'denied'>> => {
      const told: Record<string, number | 'denied'> = {}
      for (;;) {
        const { value } = await events.next()
        if (value?.event === 'synced') return told
        if (value?.event !== 'change') throw new Error(`the watch ended: ${JSON.stringify(value)}`)
        told[value.change.Name] = value.change.Version ?? 'denied'
      }
    },
    giveUp: () => giveUp.abort(),
  }
}

async function started(...options: Parameters<typeof startService>): Promise<Service> {
  const service = await startService(...options)
  onTestFinished(() => service[Symbol.asyncDispose]())
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  await client.put('prod/a', bytes('two'))
  await client.put('prod/b', bytes('one'))
  await client.put('other/c', bytes('one'))
  return service
}

/** The bytes of a stream as they come, by a socket of its own. */
async function rawWatch(service: Service, secrets: object[], more: string[] = []) {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.write(
    requestText({
      target: '/api/watch',
      head: [...goodHead, 'Accept: text/event-stream', ...more],
      body: JSON.stringify({ Secrets: secrets }),
    }),
  )
  return socket
}

describe('a watch', () => {
  test('tells what differs from what is held, and then each change of what is active', async () => {
    const service = await started()
    const client = service.client()
    const { told } = watch(client, { 'prod/a': 1, 'prod/b': 7, 'prod/none': 3, 'prod/new': 0 })
    expect(await told()).toEqual({ 'prod/b': 1, 'prod/none': 0 })
    await client.activate('prod/a', 2)
    expect(await told()).toEqual({ 'prod/a': 2 })
    await client.put('prod/new', bytes('x'))
    expect(await told()).toEqual({ 'prod/new': 1 })
    // A version that is not active is nothing to tell.
    await client.put('prod/b', bytes('two'))
    await client.put('other/c', bytes('two'))
    await client.delete('prod/b')
    expect(await told()).toEqual({ 'prod/b': 0 })
  })

  test('carries no value, and no name that was not asked for', async () => {
    const service = await started()
    const client = service.client()
    const socket = await rawWatch(service, [{ Name: 'prod/a' }])
    let text = ''
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    await expect.poll(() => text).toContain('event: synced')
    await client.put('prod/b', bytes('S3cr3t'))
    await client.createVersion('prod/a', 9, bytes('S3cr3t'))
    await expect.poll(() => text).toContain('"Version":9')
    expect(text).not.toMatch(/prod\/b|other|S3cr3t|UzNjcjN0/)
    expect(text).toMatch(/^Sotto-Revision: [0-9a-f]{16}\.\d+\r$/m)
  })

  test('and a blocking query tell the same', async () => {
    const service = await started()
    const client = service.client('127.0.0.2')
    const held = { 'prod/a': 0, 'prod/b': 1, 'prod/none': 2, 'other/c': 1, 'other/none': 0 }
    const streamed = await watch(client, held).told()
    const at: string[] = []
    const asked = await client.watchOnce(new Map(Object.entries(held)), {
      revision: (text) => at.push(text),
    })
    expect(Object.fromEntries(asked.map((each) => [each.Name, each.Version ?? 'denied']))).toEqual(
      streamed,
    )
    expect(streamed).toEqual({
      'prod/a': 1,
      'prod/none': 0,
      'other/c': 'denied',
      'other/none': 'denied',
    })
    expect(at).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.\d+$/)])
  })

  test('without any right tells the same of what exists and what does not, and no revision', async () => {
    const service = await started()
    const nobody = service.client('127.0.0.4')
    const texts = []
    for (const names of [
      ['prod/a', 'prod/b'],
      ['prod/x', 'prod/y'],
    ]) {
      const events: WatchEvent[] = []
      const at: string[] = []
      const held: Held = new Map(names.map((name) => [name, 1]))
      const { next } = watch(nobody, Object.fromEntries(held))
      for (let count = 0; count < 3; count++) events.push((await next()) as WatchEvent)
      const asked = await nobody.watchOnce(held, { revision: (text) => at.push(text) })
      expect(at).toEqual([])
      texts.push(JSON.stringify([events, asked]).replaceAll(/prod\/./g, '-'))
    }
    expect(texts[0]).toBe(texts[1])
    expect(texts[0]).toContain('"Revision":0')
    expect(texts[0]).not.toMatch(/"at"|"Revision":[1-9]/)
  })

  test('leaves one record, and a query one an hour for the same names', async () => {
    const timers = new ManualTimers()
    const service = await started({ timers })
    const app = service.client('127.0.0.2')
    await watch(app, { 'prod/a': 0, 'other/c': 0 }).told()
    const held = new Map([['prod/b', 0]])
    for (let count = 0; count < 3; count++) await app.watchOnce(held)
    const records = () =>
      service
        .records()
        .filter(({ operation }) => operation === 'watch')
        .map((each) => [each['asked'], each['secret'], each['result']])
    const stream = [
      ['{"Secrets":2}', undefined, 'ok'],
      [undefined, 'other/c', 'denied'],
    ]
    const query = ['{"Secrets":1}', undefined, 'ok']
    expect(new Set(records())).toEqual(new Set([...stream, query]))
    timers.advance(3_600_000)
    await app.watchOnce(held)
    expect(records()).toHaveLength(4)
  })

  test.each([
    ['no name', { Secrets: [] }],
    ['a name twice', { Secrets: [{ Name: 'a' }, { Name: 'a', Version: 1 }] }],
    ['too many', { Secrets: Array.from({ length: 1001 }, (_, at) => ({ Name: `n${at}` })) }],
    ['too long a wait', { Secrets: [{ Name: 'a' }], Wait: 56 }],
  ])('is refused with %s', async (_, body) => {
    const service = await started()
    expect((await service.post('watch', body)).status).toBe(400)
    const events = await service.post('watch', body, { Accept: 'text/event-stream' })
    expect([events.status, events.headers.get('sotto-error')]).toEqual([400, 'bad_request'])
  })

  test('of a thousand names is told whole', async () => {
    const service = await started()
    const held = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`prod/${at}`, 1]))
    const told = await watch(service.client('127.0.0.2'), held).told()
    expect(told).toEqual(Object.fromEntries(Object.keys(held).map((name) => [name, 0])))
  })
})

describe('a blocking query', () => {
  test('waits for the first change', async () => {
    const service = await started()
    const client = service.client()
    const asked = client.watchOnce(
      new Map([
        ['prod/a', 1],
        ['prod/b', 1],
      ]),
    )
    // Whether it waits already or not, it tells it.
    await client.activate('prod/a', 2)
    expect(await asked).toMatchObject([{ Name: 'prod/a', Version: 2 }])
  })

  test('ends with nothing when its time is over, and at once when it may not wait', async () => {
    const service = await started()
    const held = new Map([['prod/a', 1]])
    expect(await service.client().watchOnce(held, { waitSeconds: 0 })).toEqual([])
    expect(await service.client().watchOnce(held, { waitSeconds: 0.2 })).toEqual([])
  })
})

describe('rights that go', () => {
  test('are told with the next change, and nothing after; once they are back, so is the version', async () => {
    const service = await started()
    const client = service.client()
    const reads = (secret: string[]) => ({
      nodes: {
        '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
        '127.0.0.2': { name: 'app-1', tags: ['tag:app'], rules: [{ action: ['get'], secret }] },
      },
    })
    const { told } = watch(service.client('127.0.0.2'), { 'prod/a': 1, 'prod/b': 1 })
    expect(await told()).toEqual({})
    service.policy(reads(['prod/b']))
    await client.activate('prod/a', 2)
    expect(await told()).toEqual({ 'prod/a': 'denied' })
    await client.activate('prod/a', 1)
    await client.put('prod/b', bytes('two'))
    await client.activate('prod/b', 2)
    expect(await told()).toEqual({ 'prod/b': 2 })
    service.policy(reads(['prod/*']))
    await client.activate('prod/b', 1)
    expect(await told()).toEqual({ 'prod/a': 1, 'prod/b': 1 })
  })

  test('are asked for without any change, every half minute', async () => {
    const timers = new ManualTimers()
    const service = await started({ timers })
    const { told } = watch(service.client('127.0.0.2'), { 'prod/a': 1 })
    expect(await told()).toEqual({})
    service.policy({ nodes: { '127.0.0.2': { name: 'app-1', tags: ['tag:app'] } } })
    for (let second = 0; second < 30; second++) {
      timers.advance(1000)
      await turn()
    }
    expect(await told()).toEqual({ 'prod/a': 'denied' })
  })

  test.runIf(process.platform === 'linux')(
    'a node that leaves the tailnet: its streams are cut',
    async () => {
      const localApi = await userspaceTailscaled()
      let node: string | undefined = withNode('whois-user', {})
      localApi.whois.get = (address) => (address.startsWith('127.0.0.1:') ? node : undefined)
      await using service = await startOnTailnet({
        localApi,
        door: loopbackDoor,
        tailscaled: { userspace: true },
      })
      const server = `http://127.0.0.1:${new URL(service.url).port}`
      const client = new Client({ server })
      const { told, next } = watch(client, { 'dev/a': 0 })
      expect(await told()).toEqual({})
      node = undefined
      const gone = next()
      localApi.endBus()
      await expect(gone).rejects.toMatchObject({ code: 'unreachable' })
    },
  )
})

describe('limits', () => {
  test('a node has its own, and a stream that ends makes room', async () => {
    const service = await started()
    const app = service.client('127.0.0.2')
    const open = Array.from({ length: 64 }, () => watch(app, { 'prod/a': 0 }))
    await Promise.all(open.map((each) => each.told()))
    await expect(watch(app, { 'prod/a': 0 }).next()).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: 1000,
    })
    await expect(app.watchOnce(new Map([['prod/a', 0]]))).rejects.toMatchObject({
      code: 'overloaded',
    })
    // Others, and other calls, go on.
    expect(await app.get('prod/a')).toMatchObject({ Version: 1 })
    expect(await watch(service.client(), { 'prod/a': 0 }).told()).toEqual({ 'prod/a': 1 })
    open[0]?.giveUp()
    await expect
      .poll(() =>
        watch(app, { 'prod/a': 0 })
          .told()
          .catch(({ code }: { code: string }) => code),
      )
      .toEqual({ 'prod/a': 1 })
  })

  test('many nodes without a right leave room for those that have one', async () => {
    const nobodies = Array.from({ length: 5 }, (_, at) => `127.0.1.${at}`)
    const other = { name: 'other', user: 'bob@example.com' }
    const service = await started({ load: { connections: 128, requests: 64, bytes: 1_000_000 } })
    const others = Object.fromEntries(nobodies.map((ip) => [ip, other]))
    service.policy({ nodes: { ...fourCallers.nodes, ...others } })
    const codeOf = ({ code }: { code: string }): string => code
    const outcome = (from: string) =>
      watch(service.client(from), { 'prod/a': 0 }).told().catch(codeOf)
    // Half of the connections are for 64 watches, and four of these for them.
    const outcomes = []
    for (const from of nobodies) outcomes.push(await outcome(from))
    const denied = { 'prod/a': 'denied' }
    expect(outcomes).toEqual([denied, denied, denied, denied, 'overloaded'])
    expect(await outcome('127.0.0.2')).toEqual({ 'prod/a': 1 })
    const query = service.client('127.0.1.4').watchOnce(new Map([['prod/a', 0]]))
    expect(await query.catch(codeOf)).toBe('overloaded')
  })

  test('streams are no requests: they leave those to others', async () => {
    const load = { connections: 400, requests: 8, bytes: 1_000_000 }
    const service = await started({ load })
    const client = service.client()
    const open = Array.from({ length: 40 }, () => watch(client, { 'prod/a': 0 }))
    for (const each of open) await each.told()
    expect(await client.get('prod/a')).toMatchObject({ Version: 1 })
    const page = await fetch(`${service.url}/metrics`)
    const text = await page.text()
    expect(text).toMatch(/^sotto_watches 40$/m)
    expect(text).toMatch(/^sotto_watches_limit 200$/m)
    expect(text).toMatch(/^sotto_requests_in_flight 1$/m)
    expect(text).toMatch(/^sotto_watch_changes_total 40$/m)
  })

  test('B8: a client that is gone before its watch begins leaves nothing behind', async () => {
    const disk = faultyFiles()
    const service = await started({ auditFiles: disk.files })
    const number = (name: string) => async () =>
      (await scrape(service.url, '127.0.0.1')).get(`sotto_${name}`) ?? 0
    const watches = number('watches')
    const requests = number('requests_in_flight')
    const connections = number('connections')
    for (const accept of ['Accept: text/event-stream', 'Accept: application/json']) {
      disk.set('hangs')
      const sockets = await Promise.all(
        ['prod/a', 'prod/b'].map((Name) => rawWatch(service, [{ Name, Version: 1 }], [accept])),
      )
      // They wait for their records.
      await expect.poll(watches, { timeout: 15_000 }).toBe(2)
      const open = await connections()
      for (const socket of sockets) socket.resetAndDestroy()
      await expect.poll(connections, { timeout: 15_000 }).toBe(open - 2)
      disk.set('works')
      await expect.poll(watches, { timeout: 15_000 }).toBe(0)
      await expect.poll(requests, { timeout: 15_000 }).toBe(1)
    }
  })

  test('a stream outlives the times that requests and answers have', async () => {
    const service = await started({
      limits: { answerTimeout: 50, requestTimeout: 100, headersTimeout: 100, keepAliveTimeout: 50 },
    })
    const { told } = watch(service.client(), { 'prod/a': 0 })
    expect(await told()).toEqual({ 'prod/a': 1 })
    // Node looks for late requests as often as that.
    for (let count = 0; count < 10; count++) {
      await service.client().watchOnce(new Map([['prod/b', 1]]), { waitSeconds: 0.1 })
    }
    await service.client().activate('prod/a', 2)
    expect(await told()).toEqual({ 'prod/a': 2 })
  })
})

describe('ends', () => {
  test('a stop says bye to streams, answers queries, and is soon over', async () => {
    const service = await started()
    const client = service.client()
    const { told, next } = watch(client, { 'prod/a': 1 })
    expect(await told()).toEqual({})
    const query = client.watchOnce(new Map([['prod/b', 1]]))
    await expect
      .poll(async () => (await fetch(`${service.url}/metrics`)).text())
      .toMatch(/^sotto_watches 2$/m)
    const stopped = service.server.stop()
    expect(await next()).toEqual({ event: 'bye', reason: 'stopping' })
    expect(await next()).toBeUndefined()
    expect(await query).toEqual([])
    await stopped
  })

  test('readers that take nothing, or ten bytes a second, are let go of; others hear at once meanwhile', async () => {
    const timers = new ManualTimers()
    const ends = serverEnds()
    const service = await started({ timers })
    const long = 'x'.repeat(3000)
    const names = Array.from({ length: 600 }, (_, at) => ({ Name: `${long}${at}`, Version: 1 }))
    const secrets = [{ Name: 'prod/a', Version: 1 }, ...names]
    const [idle, slow] = [await rawWatch(service, secrets), await rawWatch(service, secrets)]
    idle.pause()
    let taken = Buffer.alloc(0)
    slow.pause().on('readable', () => {})
    const other = watch(service.client('127.0.0.2'), { 'prod/a': 1 })
    expect(await other.told()).toEqual({})
    const app = fourCallers.nodes['127.0.0.2'] as TailnetFile['nodes'][string]
    const heard: [version: number, told: unknown][] = []
    let round = 0
    let most = 0
    await expect
      .poll(
        async () => {
          // Each time all names become another thing to tell: more than the system keeps for a peer that does not read.
          round++
          const secret = round % 2 === 0 ? ['*'] : ['prod/*']
          const rules = [{ action: ['get', 'activate', 'metrics'], secret: [...secret, ''] }]
          service.policy({
            nodes: {
              '127.0.0.1': { name: 'root', user: 'root@example.com', rules },
              '127.0.0.2': app,
            },
          })
          const version = 1 + (round % 2)
          await service.client().activate('prod/a', version)
          heard.push([version, await other.told()])
          timers.advance(1000)
          taken = Buffer.concat([taken, (slow.read(10) as Buffer | null) ?? Buffer.alloc(0)])
          for (const each of [idle, slow]) {
            most = Math.max(most, ends.get(each.localPort ?? 0)?.writableLength ?? 0)
          }
          return (await fetch(`${service.url}/metrics`)).text()
        },
        { timeout: 45_000 },
      )
      .toMatch(/^sotto_watch_ends_total\{reason="lag"\} 2$/m)
    for (const [version, told] of heard) expect(told).toEqual({ 'prod/a': version })
    // A piece, the event that it ends with, and a heartbeat; never what was not taken before.
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(32 * 1024)
    const rest = await buffer(slow)
    expect(Buffer.concat([taken, rest]).toString()).toMatch(
      /event: bye\ndata: \{"Reason":"lag"\}\n\n/,
    )
  }, 120_000)
})

/** The ends of connections at servers of this process, by the port of the other one, until the test ends. */
function serverEnds(): ReadonlyMap<number, Socket> {
  const ends = new Map<number, Socket>()
  const note = (message: unknown): void => {
    const { socket } = message as { readonly socket: Socket }
    ends.set(socket.remotePort ?? 0, socket)
  }
  subscribe('net.server.socket', note)
  onTestFinished(() => void unsubscribe('net.server.socket', note))
  return ends
}
