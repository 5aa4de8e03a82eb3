/** What a server with small limits does when it has too much in hand. */
import { describe, expect, test } from 'vitest'
import { type FaultyFiles, faultyFiles } from '../support/faulty-files.ts'
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

/** Requests, as many as `service` works on for one caller, whose records hang on `disk`. */
async function filled(service: Service, disk: FaultyFiles): Promise<ReturnType<typeof askOnce>[]> {
  disk.set('hangs')
  const before = disk.writes()
  const accepted = Array.from({ length: 4 }, () => askOnce(service.url))
  await expect.poll(() => disk.writes()).toBeGreaterThan(before)
  return accepted
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
    const accepted = await filled(service, disk)
    const further = askOnce(service.url)
    const refused = await Promise.race([further, ...accepted])
    expect(refused).toBe(await further)
    expect([refused.status, refused.body]).toEqual([503, 'too many requests, try again later\n'])
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.headers.get('sotto-error')).toBe('overloaded')
    const other = askOnce(service.url, {}, '127.0.0.2')
    disk.set('works')
    expect((await Promise.all([...accepted, other])).map(({ status }) => status)).toEqual(
      Array.from({ length: 5 }, () => 200),
    )
    expect(service.said.filter((line) => line.includes('overloaded'))).toEqual([
      expect.stringMatching(/^warn: request /),
    ])
  })

  test('a connection that was refused is not read from for a while, and then served again', async () => {
    const disk = faultyFiles()
    await using service = await small({ auditFiles: disk.files })
    const accepted = await filled(service, disk)
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
  await expect.poll(async () => (await askOnce(service.url, { body })).status).toBe(503)
  expect((await askOnce(service.url, { body }, '127.0.0.2')).status).toBe(200)
  expect((await askOnce(service.url)).status).toBeLessThan(504)
  await expect.poll(async () => (await askOnce(service.url, { body })).status).toBe(200)
  for (const connection of deaf) connection[Symbol.dispose]()
})

describe('B8: a body in a great many pieces', () => {
  const piecesOf = (text: string): string => text.replace(/./gs, (unit) => `1\r\n${unit}\r\n`)
  const chunked = requestText({ more: ['Transfer-Encoding: chunked'], body: undefined })

  test('has its connection cut before it costs much memory, and its address rests', async () => {
    await using service = await startService()
    const before = process.memoryUsage().rss
    for (let count = 0; count < 4; count++) {
      using connection = await RawConnection.open(service.url, '127.0.0.4')
      connection.send(chunked)
      for (let sent = 0; sent < 1.5 * MIB; sent += 10_000)
        connection.send(piecesOf('a'.repeat(10_000)))
      await connection.closed
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB)
    const page = await (await fetch(`${service.url}/metrics`)).text()
    expect(page).toMatch(/^sotto_connections_cut_total [1-4]$/m)
    // Another address is served meanwhile.
    await service.client().put('prod/a', bytes('one'))
    expect((await askOnce(service.url)).status).toBe(200)
  })

  test('is read where the pieces are few, or long', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    using connection = await RawConnection.open(service.url)
    connection.send(`${chunked}${piecesOf(`{"Name":"prod/a"${' '.repeat(200)}}`)}0\r\n\r\n`)
    expect((await connection.answer())?.status).toBe(200)
    const long = ' '.repeat(1024)
    const body = `${`400\r\n${long}\r\n`.repeat(2000)}${piecesOf('{"Name":"prod/a"}')}0\r\n\r\n`
    connection.send(`${chunked}${body}`)
    expect((await connection.answer())?.status).toBe(200)
  })
})
