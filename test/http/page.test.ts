/** `GET /`: who sees which names, and what a browser is allowed to do with them. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Service, startService } from '../support/service.ts'
import { askOnce, goodHead, type RawAnswer } from './raw.ts'
import { demandPerson } from '../../server/http/page.ts'

let service: Service & AsyncDisposable
const odd = '"><img src=x onerror=alert(1)>&{{7*7}}'
/** Looks like `prod/web/key` to who sees it drawn. */
const disguised = 'prod/\u202eyek/bew'

beforeAll(async () => {
  service = await startService()
  for (const name of ['prod/web/key', odd, disguised]) {
    await service.post('put', { Name: name, Value: Buffer.from('hunter2').toString('base64') })
  }
})
afterAll(() => service[Symbol.asyncDispose]())

async function page(
  more: readonly string[] = [],
  from?: string,
  method = 'GET',
): Promise<RawAnswer> {
  const head = [...goodHead.slice(0, 1), ...more]
  return askOnce(service.url, { method, target: '/', head, body: undefined }, from)
}

test('has the names that the caller may know, as text, and no value; it is recorded as a list', async () => {
  const { status, headers, body } = await page()
  expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
    200,
    'text/html; charset=utf-8',
    'no-store',
  ])
  expect(body).toContain('<td>prod/web/key</td><td>1</td><td>1</td>')
  expect(body).toContain('&lt;img src=x onerror=alert(1)&gt;&amp;{{7*7}}</td>')
  expect(body).toContain(String.raw`<td>prod/\u202eyek/bew</td>`)
  expect(body).not.toMatch(/<img|<script|hunter2|aHVudGVyMg/)
  const recorded = service.records().at(-1)
  await service.client().list()
  const { action, kind, secret, count } = service.records().at(-1) ?? {}
  expect(kind).toBe('access')
  expect(recorded).toMatchObject({ action, kind, authorized: true })
  expect([recorded?.['secret'], recorded?.['count']]).toEqual([secret, count])
})

test('of a caller who may know nothing has nothing, and of one who cannot be named is none', async () => {
  const { status, body } = await page([], '127.0.0.4')
  expect(status).toBe(200)
  expect(body).toContain('There are no secrets that you may know about')
  expect(body).not.toContain('prod/web')
  expect(await page([], '127.0.0.9')).toMatchObject({ status: 500 })
})

test('lets a browser load nothing but its own style, and no other page show it', async () => {
  const { headers, body } = await page()
  const [, style = ''] = /<style>([^]*?)<\/style>/.exec(body) ?? []
  const hash = createHash('sha256').update(style).digest('base64')
  expect(headers.get('content-security-policy')).toBe(
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  )
  expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
  expect(headers.get('cross-origin-resource-policy')).toBe('same-origin')
  expect(headers.get('referrer-policy')).toBe('no-referrer')
})

test.each([
  ['fetch by another site', 'cross-site', 'cors', 'empty'],
  ['an image of another site', 'cross-site', 'no-cors', 'image'],
  ['a frame of another site', 'cross-site', 'navigate', 'iframe'],
  ['a site beside it', 'same-site', 'no-cors', 'script'],
])('is refused to %s', async (_, site, mode, dest) => {
  const before = service.records().length
  const asked = [`Sec-Fetch-Site: ${site}`, `Sec-Fetch-Mode: ${mode}`, `Sec-Fetch-Dest: ${dest}`]
  expect(await page(asked)).toMatchObject({ status: 403, body: 'access denied\n' })
  expect(service.records()).toHaveLength(before)
})

test('is for a link that a person follows, and for nothing but reading', async () => {
  const followed = [
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Mode: navigate',
    'Sec-Fetch-Dest: document',
  ]
  expect((await page(followed)).status).toBe(200)
  expect((await page([], undefined, 'DELETE')).status).toBe(404)
})

const over = (socket: object) => (): void =>
  demandPerson({ method: 'GET', headers: {}, socket } as unknown as IncomingMessage)

test.each([
  ['HTTPS', { encrypted: true, localAddress: '100.64.0.1' }],
  ['loopback', { localAddress: '127.0.0.1' }],
  ['a unix socket, behind what ends TLS', {}],
])('is shown over %s', (_, socket) => {
  expect(over(socket)).not.toThrow()
})

test('is not shown over plain HTTP on a tailnet address', () => {
  expect(over({ localAddress: '100.64.0.1' })).toThrow('for HTTPS, or for loopback')
})

test('shows the first thousand, and how many more there are', async () => {
  await using many = await startService()
  const names = Array.from({ length: 1003 }, (_, at) => `many/${String(at).padStart(4, '0')}`)
  for (const Name of names) await many.post('put', { Name, Value: 'eA==' })
  const { body } = await askOnce(many.url, {
    method: 'GET',
    target: '/',
    head: goodHead.slice(0, 1),
    body: undefined,
  })
  expect(body.match(/<tr><td>/g)).toHaveLength(1000)
  expect(body).toContain('And 3 more')
})
