/** What the wire answers to what it refuses, in the order of its checks, byte by byte on real sockets. */
import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { operations } from '../../client/api/operations.ts'
import { manyMethods } from '../../client/api/many.ts'
import { methods } from '../../client/api/wire.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Service, startService } from '../support/service.ts'

let service: Service

beforeAll(async () => {
  service = await startService({
    limits: { headersTimeout: 400, requestTimeout: 800, maxHeaderSize: 8192 },
  })
  await service.client().put('prod/a', bytes('one'))
})

afterAll(async () => {
  await service[Symbol.asyncDispose]()
})

const good = { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' }

interface Raw {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, unknown>>
}

/** One request from the loopback address `from`; a header given as undefined is left out. */
function send(
  path: string,
  options: { method?: string; headers?: object; body?: string | Buffer; from?: string } = {},
): Promise<Raw> {
  const {
    method = 'POST',
    headers = good,
    body = '{"Name":"prod/a"}',
    from = '127.0.0.1',
  } = options
  return new Promise((resolve, reject) => {
    const url = new URL(service.url)
    const asked = request(
      {
        host: url.hostname,
        port: url.port,
        path,
        method,
        headers: { ...headers },
        localAddress: from,
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }),
        )
      },
    )
    asked.on('error', reject)
    asked.end(body)
  })
}

/** Writes `parts` to a socket, and resolves with all that came back when the server closed it. */
function raw(...parts: string[]): Promise<string> {
  return new Promise((resolve) => {
    const url = new URL(service.url)
    const socket = connect(Number(url.port), url.hostname, () => {
      for (const part of parts) socket.write(part)
    })
    let answer = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
}

describe('the checks, each before the ones below it', () => {
  const wrong = { 'Content-Type': 'text/plain' }
  test.each([
    [
      'method',
      { method: 'GET', headers: wrong, from: '127.0.0.9' },
      400,
      'only POST requests allowed\n',
    ],
    [
      'content type',
      { headers: wrong, from: '127.0.0.9', body: 'x' },
      400,
      'request body must be json\n',
    ],
    [
      'browser guard',
      { headers: { 'Content-Type': 'application/json' }, from: '127.0.0.9', body: 'x' },
      403,
      'access denied\n',
    ],
    ['identity', { from: '127.0.0.9', body: 'x' }, 500, 'unable to identify caller\n'],
    [
      'identity of what is no text',
      { from: '127.0.0.9', body: Buffer.of(0xff) },
      500,
      'unable to identify caller\n',
    ],
    ['body', { from: '127.0.0.4', body: 'x' }, 400, 'bad request\n'],
    ['permission', { from: '127.0.0.4', body: '{"Name":"none"}' }, 403, 'access denied\n'],
    ['existence', { body: '{"Name":"none"}' }, 404, 'not found\n'],
    ['nothing left to refuse', {}, 200, '{"Value":"b25l","Version":1}'],
  ])('%s', async (_, options, status, text) => {
    const answer = await send('/api/get', options)
    expect([answer.status, answer.text]).toEqual([status, text])
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store' })
    expect(answer.headers['x-request-id']).toMatch(/^[\w-]+$/)
  })

  test('every refusal names its code', async () => {
    expect((await send('/api/get', { headers: wrong })).headers['sotto-error']).toBe('content_type')
    const detail = (await send('/api/get', { body: '{"Version":"3"}' })).headers['sotto-detail']
    expect(JSON.parse(String(detail))).toContain('"Version"')
    expect((await send('/api/get', { from: '127.0.0.4' })).headers['sotto-detail']).toBeUndefined()
  })

  test('an unknown method, and whatever is no path of the API, is 404', async () => {
    for (const path of ['/api/none', '/api/', '/api', '/', '/api/get/x', '/API/get']) {
      const { status, headers } = await send(path)
      expect([path, status, headers['cache-control']]).toEqual([path, 404, 'no-store'])
    }
  })

  test('U19: application/json is taken in any spelling, and in no other encoding', async () => {
    const typed = (type: string) => send('/api/get', { headers: { ...good, 'Content-Type': type } })
    expect((await typed('application/json; charset=utf-8')).status).toBe(200)
    expect((await typed('application/json;charset=UTF-8')).status).toBe(200)
    expect((await typed('Application/JSON; charset="utf-8"')).status).toBe(200)
    expect((await typed('application/json; charset=latin1')).status).toBe(400)
    expect((await typed('text/plain; a=application/json')).status).toBe(400)
  })

  test('the id of an answer is that of its audit record', async () => {
    const { headers } = await send('/api/get')
    expect(service.records().at(-1)).toMatchObject({
      request: headers['x-request-id'],
      result: 'ok',
    })
  })
})

describe('the front door and the app behind it', () => {
  test.each(Object.keys({ ...methods, ...manyMethods, ...operations }))(
    'answer %s alike',
    async (method) => {
      const body = '{"Name":"none","Version":0}'
      const plain = await send(`/api/${method}`, { body })
      const routed = await send(`/api/${method}?x=1`, { body })
      expect([routed.status, routed.text]).toEqual([plain.status, plain.text])
      const names = (headers: object): string[] =>
        Object.keys(headers).filter((name) => name !== 'keep-alive' && name !== 'connection')
      expect(names(routed.headers)).toEqual(names(plain.headers))
    },
  )
})

describe('limits', () => {
  const head =
    'POST /api/get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nSec-X-Tailscale-No-Browsers: setec\r\n'

  test('a body past 2 MiB is 413, announced or not, and a connection is never left hanging', async () => {
    const announced = await raw(
      `${head}Connection: close\r\nContent-Length: 2097153\r\n\r\n`,
      'x'.repeat(1000),
    )
    expect(announced).toMatch(/^HTTP\/1\.1 413 .*request body too large\n/s)
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
    const chunked = await raw(
      `${head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
      ...Array.from({ length: 33 }, () => chunk),
    )
    expect(chunked).toMatch(/^HTTP\/1\.1 413 .*request body too large\n/s)
  })

  test('a body of 2 MiB is read', async () => {
    const body = `{"Name":"prod/a"}${' '.repeat(2 * 1024 * 1024 - 17)}`
    expect((await send('/api/get', { body })).status).toBe(200)
  })

  test('a head past its limit is 431', async () => {
    expect(await raw(`${head}X: ${'y'.repeat(9000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('a head, and a body, that do not come to their end are 408 within the limit', async () => {
    const answers = await Promise.all([
      raw('POST /api/get HTTP/1.1\r\nHost:'),
      raw(`${head}Content-Length: 17\r\n\r\n{"Name"`),
    ])
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('what is not HTTP is 400', async () => {
    expect(await raw('\u0016\u0003\u0001\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('requests that were sent ahead are answered in order', async () => {
    const one = `${head}Content-Length: 17\r\n\r\n{"Name":"prod/a"}`
    const two = `${head}Content-Length: 15\r\n\r\n{"Name":"none"}`
    const answer = await raw(
      one,
      two,
      one.replace('Host: localhost', 'Host: localhost\r\nConnection: close'),
    )
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 404',
      'HTTP/1.1 200',
    ])
  })

  test('a 304 has no body, and the connection goes on', async () => {
    const body = '{"Name":"prod/a","Version":1,"UpdateIfChanged":true}'
    const ask = `${head}Content-Length: ${body.length}\r\n\r\n${body}`
    const answer = await raw(
      ask,
      ask.replace('Host: localhost', 'Host: localhost\r\nConnection: close'),
    )
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 304', 'HTTP/1.1 304'])
    expect(answer.endsWith('\r\n\r\n')).toBe(true)
  })
})

test('a stop finishes what was accepted and takes nothing new', async () => {
  const disk = faultyFiles()
  const other = await startService({ auditFiles: disk.files })
  await other.client().put('prod/a', bytes('one'))
  disk.set('hangs')
  const before = disk.writes()
  const accepted = other.client().get('prod/a')
  await expect.poll(() => disk.writes()).toBeGreaterThan(before)
  const stopped = other.server.stop()
  await expect(other.client().get('prod/a')).rejects.toMatchObject({ code: 'unreachable' })
  disk.set('works')
  expect((await accepted).Version).toBe(1)
  await stopped
})

test('the description names every method, and every reference in it leads somewhere', async () => {
  const text = await (await fetch(`${service.url}/api/openapi.json`)).text()
  const document = JSON.parse(text) as {
    openapi: string
    paths: object
    components: { schemas: object }
  }
  expect(document.openapi).toBe('3.1.0')
  expect(Object.keys(document.paths)).toEqual(
    Object.keys({ ...methods, ...manyMethods, ...operations }).map((name) => `/api/${name}`),
  )
  for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    expect(document.components.schemas).toHaveProperty([name])
  }
  expect(text).not.toContain('$defs')
})

test('C2: what is told without an identity counts nothing and names no key', async () => {
  await using fresh = await startService()
  const ids: string[] = []
  for (let count = 0; count < 3; count++) {
    const { headers } = await fetch(`${fresh.url}/healthz`)
    ids.push(headers.get('x-request-id') ?? '')
  }
  expect(new Set(ids).size).toBe(3)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{24}$/)
  const ready = (await (await fetch(`${fresh.url}/readyz`)).json()) as object
  expect(ready).toEqual({ store: 'ok', audit: 'ok', identity: 'ok' })
})
