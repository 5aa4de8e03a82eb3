/** Service accounts behind one node: what each may is what the node may, and less. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KeySet, keysIn, readerOf } from '../../server/vault/key-set.ts'
import { accountIn } from '../../server/vault/service-account.ts'
import { SESSION_MS, Sessions } from '../../server/vault/sessions.ts'
import { ManualTimers } from '../../server/testing/manual-timers.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { askOnce, type RawAnswer } from '../http/raw.ts'
import { bytes, everything, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { claimsOf, issuer, signer, tokenOf } from '../support/service-account-tokens.ts'

const rsa = signer('rsa', 'RS256')
const ec = signer('ec', 'ES256')
const stranger = signer('rsa', 'RS256')
const set = JSON.stringify({ keys: [rsa.jwk, ec.jwk] })

describe('a token', () => {
  const believed = { issuer, keys: new KeySet(async () => set, processTimers) }
  const now = new Date('2026-02-03T04:05:06Z')
  const good = claimsOf('shop/reader', now.getTime())
  const accountOf = (token: string) => accountIn(token, believed, now)

  test('is of an account when it is signed by the cluster, for sotto, and now', async () => {
    expect(await accountOf(tokenOf(good, rsa))).toBe('shop/reader')
    expect(await accountOf(tokenOf(good, ec))).toBe('shop/reader')
    expect(await accountOf(tokenOf({ ...good, aud: 'sotto' }, rsa))).toBe('shop/reader')
    const { nbf: _, ...plain } = good as { nbf: number }
    expect(await accountOf(tokenOf(plain, rsa))).toBe('shop/reader')
  })

  const at = now.getTime() / 1000
  test.each<[string, object]>([
    ['of another issuer', { iss: 'https://other.example' }],
    ['for the cluster', { aud: ['https://kubernetes.default.svc'] }],
    ['for the cluster, too', { aud: ['sotto', 'https://kubernetes.default.svc'] }],
    ['for nobody', { aud: [] }],
    ['for everybody', { aud: undefined }],
    ['that has ended', { exp: at }],
    ['that never ends', { exp: undefined }],
    ['that ends at no time', { exp: 'tomorrow' }],
    ['that has not begun', { nbf: at + 1 }],
    ['of a user', { sub: 'admin' }],
    ['of an account without a name', { sub: 'system:serviceaccount:shop' }],
    ['of an account with a longer name', { sub: 'system:serviceaccount:shop:reader:x' }],
    ['of an account with a slash', { sub: 'system:serviceaccount:shop/reader:x' }],
  ])('%s is not', async (_, other) => {
    expect(await accountOf(tokenOf({ ...good, ...other }, rsa))).toBe(undefined)
  })

  test('that is not signed as it says is not', async () => {
    const [head = '', payload = '', signature = ''] = tokenOf(good, rsa).split('.')
    const none = Buffer.from('{"alg":"none","kid":"rsa"}').toString('base64url')
    const other = Buffer.from(JSON.stringify({ ...good, sub: 'system:serviceaccount:a:b' }))
    // The public key as the key of a MAC.
    const hs = Buffer.from('{"alg":"HS256","kid":"rsa"}').toString('base64url')
    const mac = createHmac('sha256', JSON.stringify(rsa.jwk)).update(`${hs}.${payload}`)
    for (const token of [
      tokenOf(good, stranger),
      tokenOf(good, ec, { kid: 'rsa' }),
      tokenOf(good, ec, { alg: 'RS256' }),
      tokenOf(good, rsa, { kid: 'none' }),
      tokenOf(good, rsa, { kid: undefined }),
      tokenOf(good, rsa, { alg: 'RS512' }),
      tokenOf(good, rsa, { crit: ['b64'] }),
      `${head}.${other.toString('base64url')}.${signature}`,
      `${none}.${payload}.`,
      `${none}.${payload}.x`,
      `${hs}.${payload}.${mac.digest('base64url')}`,
      `${head}.${payload}`,
      `${head}.${payload}.${signature}.x`,
      `${head}.${payload}.${signature}=`,
      `${head}.x.${signature}`,
      'x'.repeat(20_000),
      '',
    ]) {
      expect(await accountOf(token)).toBe(undefined)
    }
  })
})

describe('a key set', () => {
  test('has the keys that sign in a way that counts', () => {
    const weak = signer('weak', 'RS256', 1024).jwk
    const keys = [
      rsa.jwk,
      ec.jwk,
      weak,
      { ...rsa.jwk, kid: 'encrypts', use: 'enc' },
      { ...rsa.jwk, kid: 'pss', alg: 'PS256' },
      { ...ec.jwk, kid: 'wide', alg: 'ES256' },
      { kty: 'oct', k: 'c2VjcmV0', kid: 'mac' },
      { kty: 'RSA', kid: 'broken' },
      { ...rsa.jwk, kid: undefined },
    ]
    const found = [...keysIn(JSON.stringify({ keys }))].map(([kid, { algorithm }]) => [
      kid,
      algorithm,
    ])
    expect(found).toEqual([
      ['rsa', 'RS256'],
      ['ec', 'ES256'],
      ['wide', 'ES256'],
    ])
    expect(() => keysIn('{}')).toThrow('It is not a key set')
  })

  test('is read again for a key that it lacks, and after five minutes', async () => {
    const timers = new ManualTimers()
    let text = JSON.stringify({ keys: [rsa.jwk] })
    let reads = 0
    const keys = new KeySet(async () => {
      reads++
      return text
    }, timers)
    expect([await keys.find('ec'), await keys.find('ec'), reads]).toEqual([undefined, undefined, 1])
    text = set
    timers.advance(11_000)
    expect((await keys.find('ec'))?.algorithm).toBe('ES256')
    text = JSON.stringify({ keys: [rsa.jwk] })
    timers.advance(4 * 60_000)
    expect((await keys.find('ec'))?.algorithm).toBe('ES256')
    timers.advance(2 * 60_000)
    expect([await keys.find('ec'), reads]).toEqual([undefined, 3])
    text = 'no set'
    timers.advance(6 * 60_000)
    await expect(keys.find('rsa')).rejects.toMatchObject({ code: 'internal' })
  })

  test('at a URL is read whole, as it is answered there and nowhere else', async () => {
    const answers: Record<string, readonly [number, string, Record<string, string>?]> = {
      '/keys': [200, set],
      '/moved': [302, '', { Location: '/keys' }],
      '/broken': [500, set],
      '/long': [200, `${set}${' '.repeat(300_000)}`],
    }
    await using server = createServer(({ url = '' }, outgoing) => {
      const [status, body, headers] = answers[url] ?? [404, '']
      outgoing.writeHead(status, headers).end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect(keysIn(await readerOf(`${origin}/keys`)()).size).toBe(2)
    for (const path of ['/moved', '/broken', '/long', '/none']) {
      await expect(readerOf(`${origin}${path}`)()).rejects.toMatchObject({ code: 'internal' })
    }
    server.closeAllConnections()
  })

  test('in a file that others could change is not read', async () => {
    using scratch = temporaryDirectory()
    const path = join(scratch.path, 'keys.json')
    writeFileSync(path, set)
    expect(keysIn(await readerOf(path)()).size).toBe(2)
    writeFileSync(`${path}2`, set, { mode: 0o666 })
    chmodSync(`${path}2`, 0o666)
    await expect(async () => readerOf(`${path}2`)()).rejects.toMatchObject({ code: 'unsafe' })
  })
})

test('a session is of its node, ends after 15 minutes, and makes room for others of its node', () => {
  const timers = new ManualTimers()
  const sessions = new Sessions(timers)
  const token = sessions.begin('a', 'shop/reader')
  expect(token).toMatch(/^sotto\.[\w-]{43}$/)
  expect(sessions.find('a', token)?.account).toBe('shop/reader')
  expect(sessions.find('b', token)).toBe(undefined)
  timers.advance(SESSION_MS - 1)
  expect(sessions.find('a', token)).toBeTruthy()
  timers.advance(1)
  expect(sessions.find('a', token)).toBe(undefined)
  const kept = sessions.begin('b', 'shop/reader')
  const [first = '', second = ''] = Array.from({ length: 1001 }, () => sessions.begin('a', 'x/y'))
  expect([sessions.find('a', first), sessions.find('a', second)?.account]).toEqual([
    undefined,
    'x/y',
  ])
  expect(sessions.find('b', kept)).toBeTruthy()
  sessions.end('a', second)
  expect(sessions.find('a', second)).toBe(undefined)
  for (let node = 0; node < 1000; node++) sessions.begin(`node ${node}`, 'x/y')
  expect(sessions.find('b', kept)).toBe(undefined)
})

describe('a shared node', () => {
  let service: Service
  let scratch: ReturnType<typeof temporaryDirectory>

  beforeAll(async () => {
    scratch = temporaryDirectory()
    const keys = join(scratch.path, 'keys.json')
    writeFileSync(keys, set)
    const rules = [{ action: ['get', 'info'], secret: ['prod/*'] }]
    const nodes = {
      '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
      '127.0.0.2': { name: 'egress', tags: ['tag:shared'], rules },
      '127.0.0.3': { name: 'alone', tags: ['tag:app'], rules },
      '127.0.0.4': { name: 'second', tags: ['tag:shared'], rules },
    }
    const accounts = new Map([
      ['shop/reader', ['prod/shop/*', 'other/*']],
      ['bank/reader', ['prod/bank/*']],
    ])
    const factor = { issuer, keys, accounts, shared: ['tag:shared'] }
    const vault = [{ name: 'secret', prefix: '' }]
    service = await startService({}, { vault, factor, tailnet: { nodes } })
    for (const name of ['prod/shop/a', 'prod/bank/b', 'prod/c', 'other/d']) {
      await service.client().put(name, bytes(name))
    }
  })
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  const ask = (path: string, token?: string, from = '127.0.0.2'): Promise<RawAnswer> => {
    const head = ['Host: localhost', ...(token === undefined ? [] : [`X-Vault-Token: ${token}`])]
    return askOnce(
      service.vaultUrl,
      { method: 'GET', target: `/v1/${path}`, head, body: undefined },
      from,
    )
  }

  const post = (path: string, body: string, { token = '', from = '127.0.0.2' } = {}) => {
    const head = ['Host: localhost', `X-Vault-Token: ${token}`]
    return askOnce(service.vaultUrl, { method: 'PUT', target: `/v1/${path}`, head, body }, from)
  }

  async function login(account: string, mount = 'kubernetes', from = '127.0.0.2'): Promise<string> {
    const jwt = tokenOf(claimsOf(account), rsa)
    const { body } = await post(`auth/${mount}/login`, JSON.stringify({ jwt, role: 'any' }), {
      from,
    })
    const { auth } = JSON.parse(body) as { auth: { client_token: string; lease_duration: number } }
    expect(auth.lease_duration).toBe(900)
    return auth.client_token
  }

  const statuses = async (token?: string, from?: string): Promise<number[]> => {
    const paths = ['prod/shop/a', 'prod/bank/b', 'prod/c', 'other/d']
    const all = await Promise.all(paths.map((path) => ask(`secret/data/${path}`, token, from)))
    return all.map(({ status }) => status)
  }

  test('gets nothing without a token, and with one that means nothing', async () => {
    for (const token of [undefined, 'tailnet', 'root', 'sotto.x', '']) {
      expect(await statuses(token)).toEqual([403, 403, 403, 403])
      expect((await ask('secret/metadata/prod/shop/a', token)).status).toBe(403)
      expect((await ask('secret/metadata?list=true', token)).status).toBe(404)
      expect((await ask('auth/token/lookup-self', token)).status).toBe(403)
    }
    expect(service.records().at(-1)).toMatchObject({ via: 'vault' })
  })

  test('two namespaces behind it are told apart, and neither gets more than the node', async () => {
    const shop = await login('shop/reader')
    const bank = await login('bank/reader', 'jwt')
    expect(shop).not.toBe(bank)
    expect(await statuses(shop)).toEqual([200, 403, 403, 403])
    expect(await statuses(bank)).toEqual([403, 200, 403, 403])
    const keys = async (path: string, token: string) => {
      const { data } = JSON.parse((await ask(path, token)).body) as { data: { keys: string[] } }
      return data.keys
    }
    expect(await keys('secret/metadata?list=true', shop)).toEqual(['prod/'])
    expect(await keys('secret/metadata/prod?list=true', shop)).toEqual(['shop/'])
    expect(await keys('secret/metadata/prod?list=true', bank)).toEqual(['bank/'])
    const missing = await ask('secret/data/prod/bank/none', shop)
    const hidden = await ask('secret/data/prod/bank/b', shop)
    expect([missing.status, missing.body]).toEqual([hidden.status, hidden.body])
    expect(service.records().at(-1)).toMatchObject({
      account: 'shop/reader',
      result: 'denied',
      principal: { hostname: 'egress' },
    })
  })

  test('a token is of the node that logged in, and ends when it is revoked', async () => {
    const token = await login('shop/reader')
    expect(await statuses(token, '127.0.0.4')).toEqual([403, 403, 403, 403])
    const looked = JSON.parse((await ask('auth/token/lookup-self', token)).body) as {
      data: { ttl: number }
    }
    expect(looked.data.ttl).toBeGreaterThan(800)
    expect(looked.data.ttl).toBeLessThanOrEqual(900)
    const renewed = await post('auth/token/renew-self', '', { token })
    expect(renewed.body).toContain(`"client_token":"${token}"`)
    expect((await post('auth/token/revoke-self', '', { token })).status).toBe(204)
    expect(await statuses(token)).toEqual([403, 403, 403, 403])
    expect((await ask('auth/token/lookup-self', token)).status).toBe(403)
    expect((await post('auth/token/renew-self', '', { token })).status).toBe(403)
  })

  test('a login takes a token that is to be believed, of an account that has something', async () => {
    const status = async (jwt: unknown, path = 'auth/kubernetes/login') =>
      (await post(path, JSON.stringify({ jwt, role: 'x' }))).status
    expect(await status(tokenOf(claimsOf('shop/none'), rsa))).toBe(403)
    expect(await status(tokenOf(claimsOf('shop/reader'), stranger))).toBe(403)
    expect(await status('x')).toBe(403)
    expect(await status(undefined)).toBe(400)
    expect((await post('auth/jwt/login', 'no json')).status).toBe(400)
    expect((await post('auth/jwt/login', 'x'.repeat(2_100_000))).status).toBe(413)
    const approle = await post('auth/approle/login', '{"role_id":"x","secret_id":"y"}')
    expect(approle.body).toContain('"client_token":"tailnet"')
    expect(await statuses('tailnet')).toEqual([403, 403, 403, 403])
  })

  test('another node is one caller, and a token narrows it', async () => {
    expect(await statuses(undefined, '127.0.0.3')).toEqual([200, 200, 200, 403])
    const token = await login('shop/reader', 'kubernetes', '127.0.0.3')
    expect(await statuses(token, '127.0.0.3')).toEqual([200, 403, 403, 403])
    // The API is as it was: it has rules of its own.
    const { Value } = await service.client('127.0.0.2').get('prod/c')
    expect(Buffer.from(Value).toString()).toBe('prod/c')
  })
})
