/** What a server with small limits does when it has too much in hand. */
import { describe, expect, test } from 'vitest'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { askOnce, RawConnection, requestText } from './raw.ts'

const MIB = 1024 * 1024

/** A server that works on 8 requests at once and holds 8 MiB, with a long and a short secret. */
async function small(world = {}): Promise<Service> {
  const service = await startService({
    load: { connections: 40, requests: 8, bytes: 8 * MIB },
    ...world,
  })
  await service.client().put('prod/a', bytes('one'))
  await service.client().put('prod/long', new Uint8Array(1.4 * MIB))
  return service
}

const put = (length: number): string =>
  requestText({
    target: '/api/put',
    more: [`Content-Length: ${length}`],
    body: undefined,
  })

describe('too many requests', () => {
  test('are refused at once, and those that were accepted finish', async () => {
    const disk = faultyFiles()
    await using service = await small({ auditFiles: disk.files })
    disk.set('hangs')
    const before = disk.writes()
    const accepted = Array.from({ length: 4 }, () => askOnce(service.url))
    await expect.poll(() => disk.writes()).toBeGreaterThan(before)
    const began = performance.now()
    const refused = await askOnce(service.url)
    expect(performance.now() - began).toBeLessThan(1000)
    expect([refused.status, refused.body]).toEqual([503, 'too many requests, try again later\n'])
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.headers.get('sotto-error')).toBe('overloaded')
    const other = askOnce(service.url, {}, '127.0.0.2')
    disk.set('works')
    expect((await Promise.all([...accepted, other])).map(({ status }) => status)).toEqual(
      Array.from({ length: 5 }, () => 200),
    )
    expect(service.said.filter((line) => line.includes('overloaded'))).toHaveLength(1)
  })

  test('a connection that was refused is not read from for a while, and then served again', async () => {
    const disk = faultyFiles()
    await using service = await small({ auditFiles: disk.files })
    disk.set('hangs')
    const before = disk.writes()
    const accepted = Array.from({ length: 4 }, () => askOnce(service.url))
    await expect.poll(() => disk.writes()).toBeGreaterThan(before)
    using connection = await RawConnection.open(service.url)
    expect((await connection.ask()).status).toBe(503)
    disk.set('works')
    await Promise.all(accepted)
    const began = performance.now()
    expect((await connection.ask()).status).toBe(200)
    expect(performance.now() - began).toBeGreaterThan(500)
  })
})

test('one connection too many is told so and ends; other addresses still connect', async () => {
  await using service = await small()
  const kept: RawConnection[] = []
  const open = () => RawConnection.open(service.url, '127.0.0.2')
  for (let count = 0; count < 20; count++) kept.push(await open())
  using refused = await open()
  refused.send(requestText())
  const [answer, ...more] = await refused.answers()
  expect([answer?.status, answer?.headers.get('connection'), more]).toEqual([503, 'close', []])
  using silent = await open()
  await silent.closed
  expect((await askOnce(service.url)).status).toBe(200)
  expect((await kept[0]?.ask())?.status).toBe(200)
  for (const connection of kept) connection[Symbol.dispose]()
})

test('bodies that are sent and never finished hold a bounded number of bytes', async () => {
  await using service = await small()
  const slow = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = await RawConnection.open(service.url)
      connection.send(put(2 * MIB))
      connection.send(' '.repeat(1.5 * MIB))
      return connection
    }),
  )
  const refused = await Promise.race(slow.map((connection) => connection.answer()))
  expect(refused?.status).toBe(503)
  const body = `{"Name":"prod/a"}${' '.repeat(MIB)}`
  expect((await askOnce(service.url, { body }, '127.0.0.2')).status).toBe(200)
  expect((await askOnce(service.url)).status).toBe(200)
  for (const connection of slow) connection[Symbol.dispose]()
  await expect.poll(async () => (await askOnce(service.url, { body })).status).toBe(200)
})

test('answers that nobody reads hold a bounded number of bytes, for a bounded time', async () => {
  await using service = await small({
    limits: { answerTimeout: 2000 },
    load: { connections: 40, requests: 400, bytes: 8 * MIB },
  })
  const body = '{"Name":"prod/long"}'
  const deaf = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = await RawConnection.open(service.url)
      connection.socket.pause()
      connection.send(requestText({ body }).repeat(16))
      return connection
    }),
  )
  await expect
    .poll(async () => (await askOnce(service.url, { body })).status, { timeout: 10_000 })
    .toBe(503)
  expect((await askOnce(service.url, { body }, '127.0.0.2')).status).toBe(200)
  expect((await askOnce(service.url)).status).toBeLessThan(504)
  await expect
    .poll(async () => (await askOnce(service.url, { body })).status, { timeout: 10_000 })
    .toBe(200)
  for (const connection of deaf) connection[Symbol.dispose]()
})
