/** A store that a real server tells of changes: over sockets, with what only those do. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Client } from '../../../client/client.ts'
import { memoryCache } from '../../../client/store/cache.ts'
import type { Health } from '../../../client/store/options.ts'
import { openStore, type Store } from '../../../client/store/store.ts'
import { startTestServer } from '../../../server/testing/test-server.ts'
import { depth } from '../../support/depth.ts'
import { drawsOf } from '../../support/clock-moves.ts'
import { listen } from './listen.ts'

/** Resolves when the store is in that state. */
async function becomes(store: Store, state: Health['state']): Promise<void> {
  await expect.poll(() => store.health().state, { timeout: 50_000 }).toBe(state)
}

test('is live, has changes without a poll, and takes up where it was when the server was away', async () => {
  await using server = await startTestServer()
  await server.put('a', '1')
  const { events, next, report } = listen()
  const cache = memoryCache()
  await using store = await openStore({ server: server.url, secrets: ['a'], report, cache })
  await becomes(store, 'live')
  const second = next('changed')
  await server.put('a', '2')
  expect(await second).toMatchObject({ version: 2 })
  expect(store.secret('a').text()).toBe('2')
  expect(store.health()).toMatchObject({ polls: 0, state: 'live' })

  await server.stop()
  await becomes(store, 'stale')
  expect(store.secret('a').text()).toBe('2')
  await server.start()
  await server.put('a', '3')
  await becomes(store, 'live')
  expect(store.secret('a').text()).toBe('3')
  expect(events.map(({ kind }) => kind)).toContain('recovered')
  expect(cache.text()).toContain('"Version":3')
}, 120_000)

test('a right that is taken away is told on the open stream, and so is that it is given again', async () => {
  await using server = await startTestServer({ nodes: { app: {} } })
  await server.put('a', '1')
  const { next, report } = listen()
  const cache = memoryCache()
  // In real time: the server looks at rights again by the clock of the process.
  await using store = await openStore({
    server: server.client({ as: 'app' }),
    secrets: ['a'],
    report,
    cache,
  })
  await becomes(store, 'live')
  const denied = next('denied')
  server.allow('app', [])
  // What is told of a change is told to those alone who may know.
  await server.put('a', '2')
  await denied
  expect(cache.text()).toBe('{}')
  expect(store.secret('a').text()).toBe('1')
  expect(store.health()).toMatchObject({ state: 'live', denied: ['a'], polls: 0 })
  const changed = next('changed')
  server.allow('app', [{ action: ['get'], secret: ['*'] }])
  await server.put('a', '3')
  expect(await changed).toMatchObject({ version: 3 })
  expect(store.health().denied).toEqual([])
}, 120_000)

test('a store has a label of its own, unless it says another', async () => {
  const heard: (string | undefined)[] = []
  const server = createServer((request: IncomingMessage, response) => {
    heard.push(request.headers['sotto-client'] as string | undefined)
    response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const cached = '{"a":{"secret":{"Value":"Zg==","Version":1},"lastAccess":"0"}}'
  for (const label of [undefined, undefined, 'web-1']) {
    const { next, report } = listen()
    const failed = next('failed')
    const options = { server: url, secrets: ['a'], cache: memoryCache(cached), report }
    await using _ = await openStore({ ...options, ...(label !== undefined && { label }) })
    await failed
  }
  const random = expect.stringMatching(/^[0-9a-f]{16}$/) as string
  expect([...new Set(heard)]).toEqual([random, random, 'web-1'])
  await new Promise((resolve) => server.close(resolve))
  const refused = openStore({ server: url, secrets: ['a'], label: 'two words' })
  await expect(refused).rejects.toMatchObject({ code: 'usage' })
})

test('whatever happens to a server, its programs end with what is active', async () => {
  const rounds = depth({ usual: 12, full: 400 })
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const draw = drawsOf(seed)
  const names = ['a', 'b', 'c']
  await using server = await startTestServer({ nodes: { app: {} } })
  for (const name of names) await server.put(name, `${name}1`)
  const open = (from: Client | string): Promise<Store> =>
    // Soon again, so that the test does not take long.
    openStore({ server: from, secrets: names, random: () => draw() / 20 })
  await using first = await open(server.client({ as: 'app' }))
  await using second = await open(server.url)
  const active = async (name: string): Promise<number> => (await server.client().get(name)).Version
  const pick = (): string => names[Math.floor(draw() * names.length)] as string
  const acts: readonly (() => Promise<unknown> | void)[] = [
    () => server.put(pick(), `${draw()}`),
    () => server.put(pick(), `${draw()}`),
    () => server.client().activate(pick(), 1),
    () => server.allow('app', []),
    () => server.allow('app', [{ action: ['get'], secret: ['*'] }]),
    async () => {
      await server.stop()
      await server.start()
    },
    () => sleep(draw() * 50),
    () => first.refresh().catch(() => {}),
  ]
  for (let round = 0; round < rounds; round++) {
    await acts[Math.floor(draw() * acts.length)]?.()
  }
  server.allow('app', [{ action: ['get'], secret: ['*'] }])
  for (const name of names) await server.put(name, `${name} at last`)
  for (const store of [first, second]) {
    await becomes(store, 'live')
    for (const name of names) {
      const version = await active(name)
      await expect
        .poll(() => store.secret(name).version, { message: `seed ${seed}`, timeout: 50_000 })
        .toBe(version)
      expect(store.secret(name).text()).toBe(`${name} at last`)
    }
  }
}, 300_000)
