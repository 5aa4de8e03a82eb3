/** The server that `sotto/testing` gives to the tests of programs. */
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fields, text } from '../../client/store/fields.ts'
import { openStore } from '../../client/store/store.ts'
import { updater } from '../../client/store/updater.ts'
import { startTestServer } from '../../server/testing/test-server.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { listen } from '../client/store/listen.ts'

const HOUR = 3_600_000

test('a store of it has what was put, and what comes later after a tick', async () => {
  await using server = await startTestServer()
  expect(await server.put('app/password', 'correct horse')).toBe(1)
  const store = await server.openStore({ secrets: ['app/password'] })
  expect(await fields(store, { password: text }, { prefix: 'app/' })).toEqual({
    password: 'correct horse',
  })
  const made = await updater(store, 'app/password', ({ Version }) => `pool ${Version}`)
  expect(await server.put('app/password', Buffer.from('battery staple'))).toBe(2)
  expect(store.secret('app/password').version).toBe(1)
  await server.tick()
  expect(store.secret('app/password').text()).toBe('battery staple')
  expect(made.get()).toBe('pool 2')
  // At once after the other, too.
  await server.put('app/password', 'again')
  await server.tick(1_000)
  expect(store.secret('app/password').version).toBe(3)
  await expect(server.tick(999)).rejects.toMatchObject({ code: 'usage' })
})

test('a program that opens its own store has it by the URL', async () => {
  await using server = await startTestServer()
  await server.put('a', '1')
  await using store = await openStore({ server: server.url, secrets: ['a'] })
  expect(store.secret('a').text()).toBe('1')
})

test('nodes may do what the test says, and other things later', async () => {
  const rules = [{ action: ['get'], secret: ['prod/*'] }]
  await using server = await startTestServer({
    nodes: { app: { tags: ['tag:app'], rules }, alice: { user: 'alice@example.org' }, all: {} },
  })
  await server.put('prod/a', '1')
  await server.put('test/a', '1')
  const app = server.client({ as: 'app' })
  expect(await app.whoami()).toMatchObject({ Hostname: 'app', Tags: ['tag:app'] })
  expect(await server.client({ as: 'alice' }).whoami()).toMatchObject({ User: 'alice@example.org' })
  expect(await server.client({ as: 'all' }).whoami()).toMatchObject({ User: 'all@example.com' })
  expect(await server.client({ as: 'all' }).get('test/a')).toMatchObject({ Version: 1 })
  await expect(app.get('test/a')).rejects.toMatchObject({ code: 'denied' })
  const { next, report } = listen()
  const store = await server.openStore({ as: 'app', secrets: ['prod/a'], report })
  server.allow('app', [])
  const denied = next('denied')
  await server.tick()
  expect(await denied).toMatchObject({ name: 'prod/a' })
  expect(store.health().denied).toEqual(['prod/a'])
  expect(() => server.client({ as: 'nobody' })).toThrow('has no node "nobody"')
  expect(() => server.allow('nobody', [])).toThrow('has no node "nobody"')
})

test('its clock stands still but for ticks, and begins where the test says', async () => {
  await using server = await startTestServer({ startsAt: new Date('2030-01-01T00:00:00Z') })
  await server.put('a', '1')
  const store = await server.openStore({ secrets: ['a'] })
  expect(store.secret('a').since).toEqual(new Date('2030-01-01T00:00:00Z'))
  await server.tick(2 * HOUR)
  await server.put('a', '2')
  await server.tick(HOUR)
  expect(store.secret('a').since).toEqual(new Date('2030-01-01T03:00:00Z'))
  expect(server.clock()).toEqual(new Date('2030-01-01T03:00:00Z'))
})

test('a store waits for a secret until a tick after it is there', async () => {
  await using server = await startTestServer()
  const { next, report } = listen()
  const failed = next('failed')
  const opening = server.openStore({ secrets: ['late'], report })
  await failed
  await server.put('late', 'now')
  await server.tick()
  expect((await opening).secret('late').text()).toBe('now')
})

test('it can be down, and comes back with what it had', async () => {
  await using server = await startTestServer()
  const { url } = server
  await server.put('a', '1')
  const store = await server.openStore({ secrets: ['a'] })
  await server.stop()
  await server.tick()
  expect(store.health()).toMatchObject({ state: 'stale', error: { code: 'unreachable' } })
  expect(store.secret('a').text()).toBe('1')
  await server.start()
  expect(server.url).toBe(url)
  expect(await server.put('a', '2')).toBe(2)
  await server.tick()
  expect(store.secret('a').text()).toBe('2')
  expect(store.health().error).toBeUndefined()
})

test('it leaves nothing behind', async () => {
  using scratch = temporaryDirectory()
  const { TMPDIR } = process.env
  process.env['TMPDIR'] = scratch.path
  try {
    const server = await startTestServer()
    expect(readdirSync(scratch.path)).toHaveLength(1)
    await server[Symbol.asyncDispose]()
    expect(readdirSync(scratch.path)).toEqual([])
    const nodes = Object.fromEntries(Array.from({ length: 251 }, (_, at) => [`n${at}`, {}]))
    await expect(startTestServer({ nodes })).rejects.toMatchObject({ code: 'usage' })
    expect(readdirSync(scratch.path)).toEqual([])
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
  }
})
