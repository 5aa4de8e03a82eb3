/** U14: OpenBao through a proxy as companies have them. */
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { OpenBaoConnection, type OpenBaoAddress } from '../../server/openbao/connection.ts'
import type { Failure } from '../../server/openbao/failures.ts'
import { type ForwardProxy, startForwardProxy } from '../support/forward-proxy.ts'
import { type Scripted, type ScriptedServer, startScripted } from '../support/scripted.ts'

const HOST = 'bao.example'
const PASSWORD = 'pass word'
const envelope: Scripted = { body: JSON.stringify({ request_id: 'r', data: {} }) }

let service: ScriptedServer
let plain: ScriptedServer
let proxy: ForwardProxy

beforeEach(async () => {
  service = await startScripted(() => envelope, [HOST])
  plain = await startScripted(() => envelope)
  proxy = await startForwardProxy({ tunnels: service.port, forwards: plain.port })
})

afterEach(async () => {
  await proxy[Symbol.asyncDispose]()
  await plain[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

function connectionTo(given: Partial<OpenBaoAddress> = {}): OpenBaoConnection {
  const proxies = { https: `${proxy.url}/`, http: `${proxy.url}/` }
  const address = { url: `https://${HOST}:8200`, ca: service.certificate, proxies, ...given }
  const connection = new OpenBaoConnection(address, { waitMs: 5000, maxAnswerBytes: 1000 })
  onTestFinished(() => connection.close())
  return connection
}

const call = (connection: OpenBaoConnection) =>
  connection.call({ method: 'GET', path: 'kv/data/a', token: 's.token' })

async function failure(given: Partial<OpenBaoAddress> = {}): Promise<Failure> {
  const answer = await call(connectionTo(given))
  if (answer.ok) throw new Error(`it was answered with ${answer.status}`)
  return answer.failure
}

test('U14: a tunnel ends at OpenBao itself, whose certificate is checked', async () => {
  expect(await call(connectionTo())).toMatchObject({ ok: true })
  expect(proxy.asked).toEqual([
    { method: 'CONNECT', target: `${HOST}:8200`, credentials: undefined },
  ])
  expect(service.seen[0]?.headers).toMatchObject({ authorization: 'Bearer s.token' })
  const { ca: _, ...unknown } = { ca: undefined, url: `https://${HOST}:8200` }
  const connection = new OpenBaoConnection({ ...unknown, proxies: { https: `${proxy.url}/` } })
  onTestFinished(() => connection.close())
  expect(await call(connection)).toMatchObject({ failure: { kind: 'tls' } })
  expect(await failure({ url: 'https://other.example' })).toMatchObject({ kind: 'tls' })
  expect(service.seen).toHaveLength(1)
})

test('U14: what may go in the clear is forwarded, and is bounded all the same', async () => {
  const far = { url: 'http://bao.example:8200', insecure: true }
  expect(await call(connectionTo(far))).toMatchObject({ ok: true })
  expect(proxy.asked).toMatchObject([
    { method: 'GET', target: 'http://bao.example:8200/v1/kv/data/a' },
  ])
  expect(() => connectionTo({ url: 'http://bao.example:8200' })).toThrow(/in the clear/)
  plain.answer = () => ({ body: 'x'.repeat(5000) })
  expect(await failure(far)).toMatchObject({
    kind: 'bad_answer',
    found: expect.stringMatching(/^its answer is too large/) as string,
  })
})

test('U14: this machine, a tailnet and what NO_PROXY names are called without it', async () => {
  expect(await call(connectionTo({ url: plain.url }))).toMatchObject({ ok: true })
  for (const url of ['https://bao.tail1234.ts.net', 'https://bao.internal']) {
    const proxies = { https: `${proxy.url}/`, except: '.internal' }
    const answer = await connectionTo({ url, proxies }).call({
      method: 'GET',
      path: 'kv/data/a',
      waitMs: 2000,
    })
    expect(answer).toMatchObject({ ok: false })
  }
  expect(proxy.asked).toEqual([])
})

test('U14: the credentials of a proxy are used, and are in no message', async () => {
  const own = new URL(proxy.url)
  own.username = 'user'
  own.password = PASSWORD
  for (const url of [`https://${HOST}:8200`, 'http://bao.example']) {
    const given = { url, insecure: true, proxies: { https: own.href, http: own.href } }
    expect(await call(connectionTo(given))).toMatchObject({ ok: true })
    expect(proxy.asked.at(-1)?.credentials).toBe(`user:${PASSWORD}`)
  }
  proxy.refuse(407)
  for (const url of [`https://${HOST}:8200`, 'http://bao.example']) {
    const given = { url, insecure: true, proxies: { https: own.href, http: own.href } }
    const found = await failure(given)
    expect(found).toMatchObject({
      kind: 'unreachable',
      found: `the proxy "${proxy.url}" wants a user and a password, or others than it was given`,
    })
    expect(inspect(found)).not.toMatch(/pass(?:%20| )word/)
  }
  proxy.refuse(403)
  expect(await failure()).toMatchObject({
    kind: 'unreachable',
    found: `the proxy "${proxy.url}" does not let it through (status 403)`,
  })
})

test('U14: a proxy that is away is named', async () => {
  const proxies = { https: 'http://127.0.0.1:1/' }
  expect((await failure({ proxies })).found).toBe(
    'it could not be reached (ECONNREFUSED) through the proxy "http://127.0.0.1:1"',
  )
})

test('D13: a proxy that does not answer is waited for as long as a call may take, and no longer', async () => {
  proxy.hang(true)
  const connection = connectionTo()
  const late = { ok: false, failure: { kind: 'late' } }
  const request = { method: 'GET', path: 'kv/data/a', waitMs: 200 } as const
  const many = Array.from({ length: 40 }, () => connection.call(request))
  for (const answer of await Promise.all(many)) expect(answer).toMatchObject(late)
  proxy.hang(false)
  await expect.poll(() => connection.call(request)).toMatchObject({ ok: true })
})

test('U14: without proxies no variable leads through one', async () => {
  vi.stubEnv('HTTP_PROXY', proxy.url)
  vi.stubEnv('http_proxy', proxy.url)
  onTestFinished(() => void vi.unstubAllEnvs())
  const given = { url: 'http://bao.invalid', insecure: true, proxies: {} }
  const answer = await connectionTo(given).call({ method: 'GET', path: 'a', waitMs: 2000 })
  expect(answer).toMatchObject({ ok: false })
  expect(proxy.asked).toEqual([])
})
