/** U14: KMS, S3 and where credentials come from, through a proxy as companies have them. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { s3Target } from '../../server/backup/targets/s3.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import type { Proxies } from '../../server/platform/proxies.ts'
import { stubAwsVariables } from '../support/aws-variables.ts'
import { type ForwardProxy, startForwardProxy } from '../support/forward-proxy.ts'
import {
  type Scripted,
  type ScriptedServer,
  type Seen,
  startScripted,
} from '../support/scripted.ts'

const region = 'eu-central-1'
const hosts = {
  kms: `kms.${region}.amazonaws.com`,
  s3: `backups.s3.${region}.amazonaws.com`,
  sts: `sts.${region}.amazonaws.com`,
} as const
const key = `arn:aws:kms:${region}:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab`
const PASSWORD = 'pass word'

let service: ScriptedServer
let proxy: ForwardProxy

beforeEach(async () => {
  stubAwsVariables()
  service = await startScripted(answer, Object.values(hosts))
  const plain = await startScripted(answer)
  proxy = await startForwardProxy({ tunnels: service.port, forwards: plain.port })
  const authorities = getCACertificates()
  setDefaultCACertificates([...authorities, service.certificate])
  onTestFinished(async () => {
    setDefaultCACertificates(authorities)
    await plain[Symbol.asyncDispose]()
  })
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await proxy[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

function answer({ headers: { host = '' }, body }: Seen): Scripted {
  if (host.startsWith('sts.')) {
    const found = `<Credentials><AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>${new Date(Date.now() + 3_600_000).toISOString()}</Expiration></Credentials>`
    const result = `<AssumeRoleResult>${found}</AssumeRoleResult>`
    return { body: `<AssumeRoleResponse>${result}</AssumeRoleResponse>` }
  }
  if (host.startsWith('kms.')) {
    const { KeyId, Plaintext } = JSON.parse(body) as Record<string, string>
    return { body: JSON.stringify({ KeyId, CiphertextBlob: Plaintext }) }
  }
  return { body: '<ListBucketResult></ListBucketResult>' }
}

const through = (more: Partial<Proxies> = {}): { proxies: Proxies } => ({
  proxies: { https: `${proxy.url}/`, http: `${proxy.url}/`, ...more },
})

const place = { bucket: 'backups', prefix: '', region } as const
const waits = { waitMs: 6000, partMs: 9000 }

async function failure(act: Promise<unknown>): Promise<SottoError> {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SottoError)
  return error as SottoError
}

const wrap = (proxies: { proxies: Proxies }) =>
  awsKmsProvider({ key, ...proxies }, 6000).wrap(Buffer.alloc(32), '0'.repeat(32))

test('U14: calls to AWS go through a tunnel, and end at AWS itself', async () => {
  await wrap(through())
  expect(await s3Target({ ...place, ...through() }, waits).list()).toEqual([])
  expect(proxy.asked).toEqual(
    [hosts.kms, hosts.s3].map((host) => ({
      method: 'CONNECT',
      target: `${host}:443`,
      credentials: undefined,
    })),
  )
  // The proxy saw none of it: what arrived has a certificate of AWS.
  expect(service.seen.map(({ headers }) => headers.host)).toEqual([hosts.kms, hosts.s3])
})

test('D14: of calls through a proxy that does not answer no connection stays', async () => {
  proxy.hang(true)
  const short = { waitMs: 300, partMs: 300 }
  await failure(awsKmsProvider({ key, ...through() }, 300).wrap(Buffer.alloc(32), '0'.repeat(32)))
  await failure(s3Target({ ...place, ...through() }, short).list())
  expect(proxy.asked.length).toBeGreaterThan(1)
  await expect.poll(() => proxy.connections()).toBe(0)
})

test('U14: so do those for the credentials of a role', async () => {
  const role = 'arn:aws:iam::123456789012:role/sotto'
  expect(await s3Target({ ...place, role, ...through() }, waits).list()).toEqual([])
  expect(proxy.asked.map(({ target }) => target)).toEqual([`${hosts.sts}:443`, `${hosts.s3}:443`])
})

test('U14: an object in parts goes through it, too', async () => {
  const size = 5 * 1024 * 1024 + 1
  const parts: number[] = []
  let id = ''
  service.answer = ({ method, url, headers, body }) => {
    if (method === 'POST' && url.includes('?uploads')) {
      id = String(headers['x-amz-meta-sotto-upload'])
      const upload = '<UploadId>u</UploadId>'
      return { body: `<InitiateMultipartUploadResult>${upload}</InitiateMultipartUploadResult>` }
    }
    if (method === 'PUT') parts.push(body.length)
    if (method === 'PUT') return { headers: { etag: '"1"' } }
    if (method === 'POST') {
      return { body: '<CompleteMultipartUploadResult></CompleteMultipartUploadResult>' }
    }
    if (method !== 'HEAD') return { body: '<ListMultipartUploadsResult/>' }
    return {
      headers: { etag: '"1"', 'content-length': String(size), 'x-amz-meta-sotto-upload': id },
    }
  }
  async function* content(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(size)
  }
  const target = s3Target({ ...place, ...through() }, { ...waits, partBytes: size - 1 })
  await target.put({ name: 'a.backup', size, content: content() })
  expect(parts).toEqual([size - 1, 1])
  expect(proxy.asked.every(({ method }) => method === 'CONNECT')).toBe(true)
})

test('U14: what is in the clear by permission is forwarded, by the proxy for that', async () => {
  const far = { endpoint: 'http://s3.example:9000', clear: true } as const
  expect(await s3Target({ ...place, ...far, ...through() }, waits).list()).toEqual([])
  expect(proxy.asked).toMatchObject([
    { method: 'GET', target: expect.stringMatching(/^http:\/\/s3\.example:9000\/backups\/\?/) },
  ])
  const error = await failure(
    s3Target({ ...place, endpoint: 'http://s3.example', ...through() }, waits).list(),
  )
  expect(error.code).toBe('unsafe')
  expect(proxy.asked).toHaveLength(1)
})

test('U14: this machine, and what NO_PROXY names, is called without it', async () => {
  const near = await startScripted(() => ({ body: '<ListBucketResult/>' }))
  onTestFinished(() => near[Symbol.asyncDispose]())
  const own = { ...place, endpoint: near.url, ...through() }
  expect(await s3Target(own, waits).list()).toEqual([])
  // Nothing answers there, and nothing was asked: a name of no network.
  const gone = { ...place, endpoint: 'https://s3.invalid', ...through({ except: '.invalid' }) }
  expect((await failure(s3Target(gone, waits).list())).message).toMatch(
    /: S3 could not be reached \((?:ENOTFOUND|EAI_AGAIN)\)$/,
  )
  expect(proxy.asked).toEqual([])
})

test('U14: the credentials of a proxy are used, and are in no message', async () => {
  const own = new URL(proxy.url)
  own.username = 'user'
  own.password = PASSWORD
  const https = own.href
  await wrap(through({ https }))
  expect(proxy.asked).toMatchObject([{ method: 'CONNECT', credentials: `user:${PASSWORD}` }])
  expect(service.seen[0]?.headers).not.toHaveProperty('proxy-authorization')
  for (const status of [407, 403, 502]) {
    proxy.refuse(status)
    for (const error of [
      await failure(wrap(through({ https }))),
      await failure(s3Target({ ...place, ...through({ https }) }, waits).list()),
    ]) {
      const said =
        status === 407 ? 'wants a user and a password' : `let it through (status ${status})`
      expect(error.message).toContain(`the proxy "${proxy.url}" `)
      expect(error.message).toContain(said)
      expect(JSON.stringify([error, error.hint])).not.toMatch(/pass(?:%20| )word/)
    }
  }
})

test('U14: a proxy that is away is named as what could not be reached', async () => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const https = `http://127.0.0.1:${(closed.address() as AddressInfo).port}/`
  closed.close()
  await once(closed, 'close')
  expect((await failure(wrap(through({ https })))).message).toMatch(
    /: KMS could not be reached \(ECONNREFUSED\) through the proxy "http:\/\/127\.0\.0\.1:\d+"$/,
  )
})

test('U14: without proxies no variable leads through one', async () => {
  vi.stubEnv('HTTPS_PROXY', proxy.url)
  vi.stubEnv('https_proxy', proxy.url)
  vi.stubEnv('NODE_USE_ENV_PROXY', '1')
  await failure(
    awsKmsProvider({ key, endpoint: 'https://kms.invalid' }, 2000).wrap(
      Buffer.alloc(32),
      '0'.repeat(32),
    ),
  )
  expect(proxy.asked).toEqual([])
})

test.each([1, 3 * 1024 * 1024])(
  'a certificate is checked whatever a variable says: %i bytes',
  async (size) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    const stranger = await startScripted(() => ({ headers: { etag: '"1"' } }), ['localhost'])
    onTestFinished(() => stranger[Symbol.asyncDispose]())
    async function* content(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(size)
    }
    const target = s3Target({ ...place, endpoint: `https://localhost:${stranger.port}` }, waits)
    const error = await failure(target.put({ name: 'a.backup', size, content: content() }))
    expect(error.message).toMatch(/: S3 could not be reached \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/)
    expect(stranger.seen).toEqual([])
  },
)
