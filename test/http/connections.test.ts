/** How connections go on and how they end: sent ahead, sent by halves, sent slowly, not read. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { RawConnection, type RequestParts, requestText } from './raw.ts'

let service: Service

beforeAll(async () => {
  service = await startService({
    limits: { headersTimeout: 300, requestTimeout: 500, keepAliveTimeout: 50 },
  })
  await service.client().put('prod/a', bytes('one'))
})

afterAll(async () => {
  await service[Symbol.asyncDispose]()
})

const missing = '{"Name":"none"}'
/** A request whose body of ten bytes ends after three. */
const half = (target = '/api/get'): string =>
  requestText({ target, more: ['Content-Length: 10'], body: undefined }).concat('{"N')

const open = (): Promise<RawConnection> => RawConnection.open(service.url)

async function statuses(connection: RawConnection): Promise<number[]> {
  return (await connection.answers()).map(({ status }) => status)
}

describe('a connection that is kept', () => {
  test('answers one request after another, refusals among them', async () => {
    using connection = await open()
    for (const [parts, status] of [
      [{}, 200],
      [{ body: missing }, 404],
      [{ method: 'PUT', body: 'unread' }, 400],
      [{ head: ['Host: localhost'] }, 400],
      [{ target: '/nope', body: 'unread' }, 404],
      [{ target: '/api/get?x', body: missing }, 404],
      [{}, 200],
    ] as const) {
      expect((await connection.ask(parts)).status).toBe(status)
    }
  })

  test('has no body in a 304, and none of the next answer is taken for one', async () => {
    using connection = await open()
    const body = '{"Name":"prod/a","Version":1,"UpdateIfChanged":true}'
    for (let round = 0; round < 3; round++) {
      const answer = await connection.ask({ body })
      expect([answer.status, answer.headers.has('content-length')]).toEqual([304, false])
      expect((await connection.ask()).body).toBe('{"Value":"b25l","Version":1}')
    }
  })

  test('goes on after a 413 whose body comes all the same', async () => {
    using connection = await open()
    const large = await connection.ask({ body: ' '.repeat(3 * 1024 * 1024) })
    expect([large.status, large.body]).toEqual([413, 'request body too large\n'])
    expect((await connection.ask()).status).toBe(200)
  })

  test('goes on after a 413 whose body comes in chunks', async () => {
    using connection = await open()
    const chunk = `80000\r\n${' '.repeat(0x80000)}\r\n`
    connection.send(requestText({ more: ['Transfer-Encoding: chunked'], body: undefined }))
    connection.send(`${chunk.repeat(6)}0\r\n\r\n`)
    expect((await connection.answer())?.status).toBe(413)
    expect((await connection.ask()).status).toBe(200)
  })

  test('is closed when it is idle for too long', async () => {
    using connection = await open()
    await connection.ask()
    await connection.closed
  })
})

describe('requests that are sent ahead', () => {
  test('are answered in the order in which they came', async () => {
    using connection = await open()
    const sent = [
      requestText(),
      requestText({ body: missing }),
      requestText({ target: '/healthz' }),
    ]
    for (let round = 0; round < 5; round++) connection.send(sent.join(''))
    const got: number[] = []
    for (let count = 0; count < 15; count++) got.push((await connection.answer())?.status ?? 0)
    expect(got).toEqual(Array.from({ length: 5 }, () => [200, 404, 404]).flat())
  })

  test('are answered before what is no HTTP behind them, which ends the connection', async () => {
    using connection = await open()
    connection.send(`${requestText()}${requestText({ body: missing })}GARBAGE\r\n\r\n`)
    expect(await statuses(connection)).toEqual([200, 404, 400])
  })

  test('are answered though the caller then said that it sends nothing more', async () => {
    using connection = await open()
    connection.send(`${requestText()}${requestText({ target: '/api/get?x' })}${requestText()}`)
    connection.socket.end()
    expect(await statuses(connection)).toEqual([200, 200, 200])
  })

  test('too far ahead cut the connection, and no other address feels it', async () => {
    const disk = faultyFiles()
    await using other = await startService({ auditFiles: disk.files })
    await other.client().put('prod/a', bytes('one'))
    using connection = await RawConnection.open(other.url, '127.0.0.4')
    connection.send(requestText().repeat(200))
    await connection.closed
    using next = await RawConnection.open(other.url, '127.0.0.4')
    const rested = next.ask()
    expect((await other.client().get('prod/a')).Version).toBe(1)
    expect((await rested).status).toBe(403)
  })
})

describe('the last answer of a connection arrives', () => {
  const large = ' '.repeat(4 * 1024 * 1024)
  /** Reads nothing until all was sent, as simple programs do, and resolves with what is there then. */
  async function sendThenRead(text: string): Promise<number[]> {
    using connection = await open()
    connection.socket.pause()
    await new Promise((sent) => connection.socket.write(text, sent))
    connection.socket.resume()
    return await statuses(connection)
  }

  test.each<[string, RequestParts, number]>([
    ['a body too large', { body: large }, 413],
    ['a body too large, in chunks', { more: ['Transfer-Encoding: chunked'], body: undefined }, 413],
    ['an unknown method', { target: '/api/none', body: large }, 404],
    ['a wrong content type', { head: ['Host: localhost'], body: large }, 400],
    ['a request of HTTP/1.0', { protocol: 'HTTP/1.0', body: large }, 413],
  ])('though the body is not read: %s', async (_, parts, status) => {
    const more = ['Connection: close', ...(parts.more ?? [])]
    const chunks = parts.body === undefined ? `400000\r\n${large}\r\n0\r\n\r\n` : ''
    expect(await sendThenRead(requestText({ ...parts, more }) + chunks)).toEqual([status])
  })

  test.each([
    [
      'a broken chunk of a body that is not read',
      'POST /none HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      404,
    ],
    ['what is no HTTP', 'GARBAGE\r\n', 400],
    ['a request without a version', 'POST /api/\r\n\r\n', 400],
    ['a request that says it is the last', requestText({ more: ['Connection: close'] }), 200],
  ])('though much follows %s', async (_, text, status) => {
    expect(await sendThenRead(text + large)).toEqual([status])
  })

  test.each([
    ['a body that goes on', 'Content-Length: 99999999999', 'x'.repeat(1024)],
    ['a body that drips', 'Content-Length: 99999999999', 'x'],
    ['requests that go on', 'Content-Length: 0', requestText()],
  ])('and %s without end is not listened to for ever', async (_, length, drop) => {
    using connection = await open()
    connection.send(requestText({ more: ['Connection: close', length], body: undefined }))
    expect((await connection.answer())?.status).toBeGreaterThan(399)
    const drops = setInterval(() => connection.send(drop), 5)
    await connection.closed
    clearInterval(drops)
  })
})

describe.concurrent('what does not come to its end', () => {
  test.each(['/api/get', '/api/get?x'])(
    'a body cut short on %s is a bad request',
    async (target) => {
      using connection = await open()
      connection.send(half(target))
      connection.socket.end()
      expect(await statuses(connection)).toEqual([400])
    },
  )

  test('a body cut short of a request to upgrade is a bad request', async () => {
    using connection = await open()
    const more = ['Connection: Upgrade', 'Upgrade: h2c', 'Content-Length: 10']
    connection.send(requestText({ more, body: undefined }).concat('{"N'))
    connection.socket.end()
    expect(await statuses(connection)).toEqual([400])
  })

  test.each(['/api/get', '/api/get?x'])('a body that stalls on %s is 408', async (target) => {
    using connection = await open()
    connection.send(half(target))
    const [answer, ...more] = await connection.answers()
    expect([answer?.status, answer?.body, more]).toEqual([
      408,
      'request took too long to arrive\n',
      [],
    ])
    expect(answer?.headers.get('connection')).toBe('close')
  })

  test('a body that drips is 408 all the same', async () => {
    using connection = await open()
    connection.send(requestText({ more: ['Content-Length: 1000'], body: undefined }))
    const drip = setInterval(() => connection.send(' '), 20)
    connection.socket.on('close', () => clearInterval(drip))
    expect(await statuses(connection)).toEqual([408])
  })

  test('a second head that stalls is 408, behind the answer to the first', async () => {
    using connection = await open()
    connection.send(`${requestText()}POST /api`)
    expect(await statuses(connection)).toEqual([200, 408])
  })

  test('a body that stalls behind a whole request does not cost that its answer', async () => {
    using connection = await open()
    connection.send(requestText() + half())
    expect(await statuses(connection)).toEqual([200, 408])
  })

  test('a body that stalls behind its own refusal ends the connection without a second answer', async () => {
    using connection = await open()
    connection.send(half('/nope'))
    expect(await statuses(connection)).toEqual([404])
  })

  test('a chunk that is none is a bad request', async () => {
    using connection = await open()
    connection.send(requestText({ more: ['Transfer-Encoding: chunked'], body: undefined }))
    connection.send('zz\r\n')
    expect(await statuses(connection)).toEqual([400])
  })

  test('a chunk that is none is a bad request, also of a request that waits for its turn', async () => {
    const connections = await Promise.all(Array.from({ length: 200 }, open))
    const text = requestText({ more: ['Transfer-Encoding: chunked'], body: undefined })
    for (const connection of connections) connection.send(`${text}zz\r\n`)
    for (const connection of connections) expect(await statuses(connection)).toEqual([400])
  })

  test('a connection on which nothing comes is told so, and closed', async () => {
    using connection = await open()
    expect(await statuses(connection)).toEqual([408])
  })

  test('TLS, and HTTP/2, are no HTTP', async () => {
    for (const text of ['\x16\x03\x01\x02\x00\x01\x00', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      using connection = await open()
      connection.send(text)
      expect(await statuses(connection)).toEqual([400])
    }
  })
})

test('none of it left anything behind', async () => {
  expect(await service.client().list()).toEqual([
    { Name: 'prod/a', Versions: [1], ActiveVersion: 1 },
  ])
  expect(service.said).toEqual([
    expect.stringMatching(/^info: the store was opened with local key/),
  ])
})

describe('Expect: 100-continue', () => {
  const expecting = (length: number): string =>
    requestText({ more: [`Content-Length: ${length}`, 'Expect: 100-continue'], body: undefined })

  test('is answered before the body comes', async () => {
    using connection = await open()
    connection.send(expecting(17))
    expect((await connection.answer())?.status).toBe(100)
    connection.send('{"Name":"prod/a"}')
    expect((await connection.answer())?.body).toBe('{"Value":"b25l","Version":1}')
  })

  test('of a body that is too large brings no 100, but 413 and the end', async () => {
    using connection = await open()
    connection.send(expecting(3_000_000))
    expect(await statuses(connection)).toEqual([413])
  })

  test('another expectation is none of ours', async () => {
    using connection = await open()
    expect((await connection.ask({ more: ['Expect: the-moon'] })).status).toBe(200)
  })
})
