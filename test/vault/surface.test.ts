/** The surface for Vault's clients: what a caller sees, what is recorded, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askOnce, type RawAnswer } from '../http/raw.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Line, type Service, startService } from '../support/service.ts'

let service: Service
beforeAll(async () => {
  const vault = [
    { name: 'secret', prefix: '' },
    { name: 'team/kv', prefix: 'prod/' },
  ]
  service = await startService({}, { vault })
  const client = service.client()
  await client.put('prod/app/db', bytes('{"user":"app","port":5432}'))
  await client.put('prod/app/text', bytes('{"a":null}'))
  await client.put('prod/app/bytes', Buffer.from([0, 255]))
  await client.put('prod/app/ä b/<c>', bytes('spaced'))
  await client.put('prod/app//odd', bytes('odd'))
  await client.put('prod/app/../up', bytes('odd'))
  await client.put('prod/many', bytes('one'))
  await client.put('prod/many', bytes('two'))
  await client.createVersion('prod/many', 7, bytes('seven'))
  await client.put('prod/many', bytes('eight'))
  await client.put('team/other', bytes('hidden'))
})
afterAll(() => service[Symbol.asyncDispose]())

const app = '127.0.0.2'
const laptop = '127.0.0.3'
const nobody = '127.0.0.4'

function ask(
  path: string,
  { from = app, method = 'GET', more = [] as readonly string[] } = {},
): Promise<RawAnswer> {
  const target = `/v1/${path}`
  const head = ['Host: localhost']
  return askOnce(service.vaultUrl, { method, target, head, more, body: undefined }, from)
}

/** What `ask` finds, as JSON. */
async function found(path: string, from?: string) {
  const { status, body } = await ask(path, from === undefined ? {} : { from })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- tests pick from it
  return { status, ...(JSON.parse(body) as Record<string, never>) } as {
    readonly status: number
    // oxlint-disable-next-line typescript/no-explicit-any -- tests pick from it
    readonly data: any
    readonly errors?: readonly string[]
  }
}

/** The records that `act` leaves. */
async function recordsOf(act: () => Promise<unknown>): Promise<Line[]> {
  const before = service.records().length
  await act()
  return service.records().slice(before)
}

const denied = { errors: ['1 error occurred:\n\t* permission denied\n\n'], status: 403 }

describe('a value', () => {
  test('is its fields, or the field value, as a mirror shows it', async () => {
    const values = {
      'prod/app/db': { user: 'app', port: 5432 },
      'prod/app/text': { value: '{"a":null}' },
      'prod/app/bytes': { value_b64: 'AP8=' },
      'prod/app/%C3%A4%20b/%3Cc%3E': { value: 'spaced' },
    }
    for (const [path, fields] of Object.entries(values)) {
      expect((await found(`secret/data/${path}`)).data.data).toEqual(fields)
    }
    expect((await found('team/kv/data/app/db')).data.data).toEqual({ user: 'app', port: 5432 })
    expect(await found('team/kv/data/prod/app/db')).toMatchObject({ status: 404, errors: [] })
  })

  test('is of the active version, or of the one that is named, by our numbers', async () => {
    const read = async (query: string) => {
      const { status, data } = await found(`secret/data/prod/many${query}`)
      return status === 200 ? [data.data.value, data.metadata.version] : status
    }
    expect(await read('')).toEqual(['seven', 7])
    expect(await read('?version=0')).toEqual(['seven', 7])
    expect(await read('?version=2')).toEqual(['two', 2])
    expect(await read('?version=8')).toEqual(['eight', 8])
    expect(await read('?version=3')).toBe(404)
    expect(await read('?version=99999999999')).toBe(404)
    expect(await read('?version=1.5')).toBe(400)
    const { data } = await found('secret/metadata/prod/many')
    expect([data.current_version, Object.keys(data.versions)]).toEqual([7, ['1', '2', '7', '8']])
    expect(data.versions[7].created_time).toMatch(/^\d{4}-.*Z$/)
  })

  test('leaves once its record is durable, and says by which way', async () => {
    const records = await recordsOf(() => ask('secret/data/prod/many'))
    expect(records).toMatchObject([
      {
        kind: 'access',
        action: 'get',
        via: 'vault',
        secret: 'prod/many',
        secretVersion: 7,
        result: 'ok',
        principal: { hostname: 'app-1' },
      },
    ])
    const more = await recordsOf(async () => {
      await ask('secret/metadata/prod/many')
      await ask('secret/metadata/prod?list=true')
    })
    expect(more.map(({ action, via, secret }) => [action, via, secret])).toEqual([
      ['info', 'vault', 'prod/many'],
      ['info', 'vault', undefined],
    ])
  })

  test('stays here while the log cannot be written', async () => {
    const disk = faultyFiles()
    const vault = [{ name: 'secret', prefix: '' }]
    await using broken = await startService({ auditFiles: disk.files }, { vault })
    await broken.client().put('prod/a', bytes('planted-canary'))
    disk.set('full')
    const target = '/v1/secret/data/prod/a'
    const head = ['Host: localhost']
    const parts = { method: 'GET', target, head, body: undefined }
    const { status, body } = await askOnce(broken.vaultUrl, parts)
    expect([status, body]).toEqual([500, '{"errors":["internal error"]}\n'])
  })
})

describe('who may not', () => {
  test('is told the same of what is missing and what is hidden', async () => {
    const answers = await Promise.all(
      ['data/team/other', 'data/team/none', 'metadata/team/other', 'metadata/team/none'].map(
        (path) => found(`secret/${path}`),
      ),
    )
    expect(answers).toEqual([denied, denied, denied, denied])
    expect(await found('secret/data/prod/none')).toEqual({ status: 404, errors: [] })
    // Who may know of it, and not read it.
    expect(await found('secret/data/team/other', laptop)).toEqual(denied)
    expect((await found('secret/metadata/team/other', laptop)).status).toBe(200)
  })

  test('leaves a record', async () => {
    const records = await recordsOf(() => ask('secret/data/team/secrets', { from: nobody }))
    expect(records).toMatchObject([{ via: 'vault', secret: 'team/secrets', result: 'denied' }])
  })

  test('sees what it may know of in lists, and nothing where that is nothing', async () => {
    const keys = async (path: string, from?: string) => {
      const { status, data } = await found(path, from)
      return status === 200 ? data.keys : status
    }
    expect(await keys('secret/metadata?list=true')).toEqual(['prod/'])
    expect(await keys('secret/metadata?list=true', laptop)).toEqual(['prod/', 'team/'])
    expect(await keys('secret/metadata/prod/?list=1')).toEqual(['app/', 'many'])
    expect(await keys('team/kv/metadata?list=true')).toEqual(['app/', 'many'])
    expect(await keys('secret/metadata/prod/app?list=true')).toEqual([
      'bytes',
      'db',
      'text',
      'ä b/',
    ])
    expect(await keys('secret/metadata/team?list=true')).toBe(404)
    expect(await keys('secret/metadata?list=true', nobody)).toBe(404)
  })

  test('is somebody whom the network does not know', async () => {
    const { status, body } = await ask('secret/data/prod/many', { from: '127.0.0.9' })
    expect([status, body]).toEqual([500, '{"errors":["unable to identify caller"]}\n'])
    expect((await ask('auth/token/lookup-self', { from: '127.0.0.9' })).status).toBe(500)
    expect((await ask('sys/health', { from: '127.0.0.9' })).status).toBe(200)
  })
})

describe('a token', () => {
  test('means nothing: the caller is who the network says', async () => {
    for (const more of [
      ['X-Vault-Token: root'],
      ['Authorization: Bearer s.x'],
      ['X-Vault-Request: true'],
    ]) {
      expect((await ask('secret/data/prod/many', { more })).status).toBe(200)
      expect((await ask('secret/data/prod/many', { from: nobody, more })).status).toBe(403)
    }
  })

  test('is given, looked up and revoked, and no secret is concerned', async () => {
    const records = await recordsOf(async () => {
      const { body } = await ask('auth/approle/login', { method: 'POST' })
      expect(JSON.parse(body)).toMatchObject({
        auth: { client_token: 'tailnet', lease_duration: 3600, renewable: true },
      })
      const { data } = await found('auth/token/lookup-self')
      expect(data).toMatchObject({ ttl: 3600, type: 'service', meta: { hostname: 'app-1' } })
      expect(Date.parse(data.expire_time)).toBeGreaterThan(Date.parse(data.issue_time))
      const revoked = await ask('auth/token/revoke-self', { method: 'PUT' })
      expect([revoked.status, revoked.body, revoked.headers.has('content-length')]).toEqual([
        204,
        '',
        false,
      ])
    })
    expect(records).toEqual([])
  })
})

test('a client that logs in, asks after its token and renews it is served: the calls of secrets-manager', async () => {
  const put = async (path: string) => {
    const { status, body } = await ask(path, { method: 'PUT' })
    return [status, (JSON.parse(body) as { auth: object }).auth]
  }
  const lasting = { renewable: true, lease_duration: 3600 }
  expect(await put('auth/approle/login')).toEqual([200, expect.objectContaining(lasting)])
  expect(await put('auth/kubernetes/login')).toEqual([200, expect.objectContaining(lasting)])
  const codes = ['standbycode', 'sealedcode', 'uninitcode', 'drsecondarycode'].map(
    (each) => `${each}=299`,
  )
  expect((await ask(`sys/health?${codes.join('&')}`)).status).toBe(200)
  const { data } = await found('auth/token/lookup-self')
  expect([data.ttl, data.renewable]).toEqual([3600, true])
  expect(await put('auth/token/renew-self')).toEqual([200, expect.objectContaining(lasting)])
  expect((await found('secret/data/prod/many')).data.data).toEqual({ value: 'seven' })
})

describe('a request', () => {
  test.each([
    'Origin: https://a.example',
    'Cookie: a=b',
    'Sec-Fetch-Site: none',
    'Sec-Fetch-Mode: cors',
  ])('that a page may have sent is refused: %s', async (header) => {
    for (const path of ['secret/data/prod/many', 'sys/health', 'auth/token/lookup-self']) {
      const { status, headers } = await ask(path, { more: [header] })
      expect([status, headers.get('sotto-error')]).toEqual([403, 'browser'])
    }
  })

  test('for a name of others is refused, whatever it asks for', async () => {
    for (const target of ['/v1/sys/health', '/v1/secret/data/prod/many', '/', '/v1/none']) {
      const head = ['Host: evil.example']
      const parts = { method: 'GET', target, head, body: undefined }
      const { status, body } = await askOnce(service.vaultUrl, parts, app)
      expect([status, body]).toEqual([421, '{"errors":["this server does not have that name"]}\n'])
    }
  })

  test('for a wrapped answer, or in a namespace, is not answered as if it were neither', async () => {
    const wrapped = await ask('secret/data/prod/many', { more: ['X-Vault-Wrap-TTL: 60s'] })
    expect(wrapped.status).toBe(400)
    const within = await ask('secret/data/prod/many', { more: ['X-Vault-Namespace: team'] })
    expect(within.status).toBe(404)
    const root = await ask('secret/data/prod/many', { more: ['X-Vault-Namespace: root'] })
    expect(root.status).toBe(200)
  })

  test('has the headers of the API, and one to a connection', async () => {
    const { headers } = await ask('secret/data/prod/many')
    expect(headers.get('content-type')).toBe('application/json')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('connection')).toBe('close')
    const { request_id } = JSON.parse((await ask('secret/data/prod/many')).body) as Record<
      string,
      string
    >
    expect(service.records().at(-1)).toMatchObject({ request: request_id })
  })

  test('of the API is not answered here, nor one of Vault there', async () => {
    for (const target of [
      '/api/get',
      '/metrics',
      '/',
      '/healthz',
      '/v2/x',
      'http://localhost/v1/sys/health',
    ]) {
      const parts = { method: 'GET', target, head: ['Host: localhost'], body: undefined }
      expect((await askOnce(service.vaultUrl, parts)).status).toBe(404)
    }
    const parts = {
      method: 'GET',
      target: '/v1/sys/health',
      head: ['Host: localhost'],
      body: undefined,
    }
    expect((await askOnce(service.url, parts)).status).toBe(404)
  })

  test('with a path that clients clean, or that is not text, is refused', async () => {
    for (const path of [
      'prod/app//odd',
      'prod/app/../up',
      'prod/./many',
      'prod/many/',
      '%ff',
      'prod/%01',
    ]) {
      expect((await ask(`secret/data/${path}`)).status).toBe(400)
    }
  })
})
