/** What is answered to requests of every shape: methods, targets and headers as nobody should send them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bytes, type Service, startService } from '../support/service.ts'
import { askOnce, goodHead, type RawAnswer, type RequestParts } from './raw.ts'

let service: Service
/** What a library that is at a loss prints: a stack trace. */
const printed: unknown[] = []
const print = console.error

beforeAll(async () => {
  console.error = (...words: unknown[]) => void printed.push(words)
  service = await startService()
  await service.client().put('prod/a', bytes('one'))
})

afterAll(async () => {
  console.error = print
  await service[Symbol.asyncDispose]()
})

const found = '{"Value":"b25l","Version":1}'
const notPost = 'only POST requests allowed\n'
const badRequest = 'bad request\n'
const noMethod = 'no such method\n'

async function ask(parts: RequestParts): Promise<[number, string]> {
  const answer = await askOnce(service.url, parts)
  expectHeaders(answer)
  return [answer.status, answer.body]
}

/** What every answer has, whoever wrote it. */
function expectHeaders({ status, headers }: RawAnswer): void {
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('x-request-id')).toMatch(/^[0-9a-f]{24}$/)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.has('sotto-error')).toBe(status >= 400)
  expect(JSON.parse(headers.get('sotto-detail') ?? '""')).toBeTypeOf('string')
}

describe('methods', () => {
  const methods = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'QUERY', 'PROPFIND']
  test.each(methods)('%s is no POST', async (method) => {
    const body = method === 'HEAD' ? '' : notPost
    expect(await ask({ method })).toEqual([400, body])
    expect(await ask({ method, target: '/api/get?x=1' })).toEqual([400, body])
    expect(await ask({ method, target: '/api/none' })).toEqual([
      404,
      method === 'HEAD' ? '' : noMethod,
    ])
  })

  test('CONNECT is no POST either, and leads nowhere', async () => {
    expect(await ask({ method: 'CONNECT', target: 'example.com:443', body: undefined })).toEqual([
      400,
      notPost,
    ])
  })

  test.each(['post', 'FOO', 'GET /api/get HTTP/1.1\r\n\r\nPOST'])(
    '%j is no HTTP',
    async (method) => {
      const [status] = await ask({ method })
      expect(status).toBe(400)
    },
  )

  test('what is for reading answers GET and HEAD, and is no method of the API to others', async () => {
    for (const target of ['/healthz', '/readyz', '/api/openapi.json']) {
      const got = await ask({ method: 'GET', target, body: undefined })
      const head = await askOnce(service.url, { method: 'HEAD', target, body: undefined })
      expect([got[0], head.status, head.body]).toEqual([200, 200, ''])
      expectHeaders(head)
      expect(await ask({ target })).toEqual([404, noMethod])
    }
  })
})

describe('targets', () => {
  test.each([
    '//api/get',
    '/api',
    '/api/',
    '/api//get',
    '/api/get/',
    '/api/get;x',
    '/api/get%2f',
    '/api/get%00',
    '/API/GET',
    '/%ff',
    '/%zz',
    '/debug/',
    `/${'a'.repeat(9000)}`,
  ])('%s is no method', async (target) => {
    expect(await ask({ target })).toEqual([404, noMethod])
    expect(await ask({ target, method: 'GET', body: undefined })).toEqual([404, noMethod])
  })

  test.each(['*', 'ftp://x/y', 'http://[::1', '/api/get\\x', '?x', 'api/get'])(
    '%s is no target',
    async (target) => {
      expect(await ask({ target })).toEqual([400, badRequest])
    },
  )

  // However the path is spelled, the one handler does all its checks.
  test.each([
    '/api/get?',
    '/api/get?a=b',
    '/api/%67et',
    '/api/../api/get',
    'http://localhost/api/get',
  ])('%s is get', async (target) => {
    expect(await ask({ target })).toEqual([200, found])
    expect(await ask({ target, head: goodHead.slice(0, 2) })).toEqual([403, 'access denied\n'])
    expect(await ask({ target, head: goodHead.filter((line) => !/json/.test(line)) })).toEqual([
      400,
      'request body must be json\n',
    ])
  })
})

describe('heads', () => {
  test('a host must be named since HTTP/1.1', async () => {
    const head = goodHead.slice(1)
    expect(await ask({ head })).toEqual([400, badRequest])
    expect(await ask({ head, target: '/healthz', method: 'GET' })).toEqual([400, badRequest])
    expect(await ask({ head, protocol: 'HTTP/1.0' })).toEqual([200, found])
  })

  test.each([
    ['two lengths', ['Content-Length: 3']],
    ['a length and chunks', ['Transfer-Encoding: chunked']],
    ['an unknown coding', ['Transfer-Encoding: gzip']],
    ['a folded line', ['X: a\r\n b']],
    ['a space in a name', ['X y: a']],
    ['a NUL', ['X: a\0b']],
    ['a bare line feed', ['X: a\nY: b']],
  ])('%s: no HTTP', async (_, more) => {
    expect(await ask({ more })).toEqual([400, badRequest])
  })

  test.each(['-1', '1e3', '0x10', '99999999999999999999', ''])(
    'length %j: no HTTP',
    async (length) => {
      expect(await ask({ body: undefined, more: [`Content-Length: ${length}`] })).toEqual([
        400,
        badRequest,
      ])
    },
  )

  test.each([
    ['in one line', [`X: ${'y'.repeat(20_000)}`]],
    ['in many', Array.from({ length: 3000 }, (_, index) => `a${index}:`)],
  ])('a head that is too large %s is 431', async (_, more) => {
    expect(await ask({ more })).toEqual([431, 'request header fields too large\n'])
  })

  test('the guard is one exact line', async () => {
    const guard = 'Sec-X-Tailscale-No-Browsers'
    for (const lines of [[], [''], ['true'], ['Setec'], ['setec', 'setec'], ['setec, setec']]) {
      const head = [...goodHead.slice(0, 2), ...lines.map((value) => `${guard}: ${value}`)]
      expect(await ask({ head })).toEqual([403, 'access denied\n'])
    }
    expect(await ask({ head: [...goodHead.slice(0, 2), `${guard.toUpperCase()}:setec`] })).toEqual([
      200,
      found,
    ])
  })

  test('a request line without a version, or with an unknown one, is no HTTP', async () => {
    for (const protocol of ['', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1']) {
      expect(await ask({ protocol })).toEqual([400, badRequest])
    }
  })

  test('an upgrade is not taken up', async () => {
    for (const protocol of ['websocket', 'h2c']) {
      const answer = await askOnce(service.url, {
        more: [`Upgrade: ${protocol}`, 'Connection: Upgrade'],
      })
      expect([answer.status, answer.body]).toEqual([200, found])
      expect(answer.headers.get('connection')).toBe('close')
    }
  })
})

describe('the front door and the app behind it', () => {
  const sameButTheirOwn = ({ status, headers, body }: RawAnswer): unknown => [
    status,
    [...headers].filter(([name]) => name !== 'x-request-id' && name !== 'date'),
    body,
  ]

  test.each<[string, RequestParts]>([
    ['a value', {}],
    ['nothing new', { body: '{"Name":"prod/a","Version":1,"UpdateIfChanged":true}' }],
    ['a wrong method', { method: 'DELETE' }],
    ['a wrong type', { head: ['Host: localhost', 'Content-Type: text/plain'] }],
    ['a bad body', { body: '{' }],
    ['a bad name', { body: '{"Name":"\\ud800"}' }],
    ['nothing there', { body: '{"Name":"none"}' }],
    ['a body too large', { body: ' '.repeat(2 * 1024 * 1024 + 1) }],
  ])('%s: equal answers', async (_, parts) => {
    const plain = await askOnce(service.url, parts)
    const routed = await askOnce(service.url, { ...parts, target: '/api/get?x=1' })
    expect(sameButTheirOwn(routed)).toEqual(sameButTheirOwn(plain))
  })
})

test('a detail that is too long for a header is cut, and is JSON still', async () => {
  const name = '\u{1f511}'.repeat(1000)
  const { status, headers } = await askOnce(service.url, { body: JSON.stringify({ Name: name }) })
  const detail = headers.get('sotto-detail') ?? ''
  expect(status).toBe(404)
  expect(detail.length).toBeLessThanOrEqual(1024)
  expect(JSON.parse(detail)).toMatch(/^There is no "\u{1f511}+…$/u)
})

test('all of that was no news for the operator', () => {
  expect(printed).toEqual([])
  expect(service.said).toEqual([
    expect.stringMatching(/^info: the store was opened with local key/),
  ])
})
