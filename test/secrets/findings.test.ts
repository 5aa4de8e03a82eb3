/** Bug classes of other secrets servers (docs/internals/architecture.md, B1 … B15) and traps of the wire, by number. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { operations } from '../../client/api/operations.ts'
import { methods } from '../../client/api/wire.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const text = (value: Uint8Array): string => new TextDecoder().decode(value)

describe('findings', () => {
  test('B1: names are never cleaned up: each spelling is a secret of its own, and rules match it as it is', async () => {
    await using service = await startService()
    const client = service.client()
    const names = [
      'prod/a',
      'prod//a',
      'prod/./a',
      'prod/x/../a',
      'PROD/a',
      'prod/a/',
      'prod/%61',
      'prod/a ',
      'prod/\u00e9',
      'prod/e\u0301',
      '../prod/a',
    ]
    for (const name of names) expect(await client.put(name, bytes(name))).toBe(1)
    for (const name of names) expect(text((await client.get(name)).Value)).toBe(name)
    const app = service.client('127.0.0.2')
    for (const name of ['PROD/a', '../prod/a']) {
      await expect(app.get(name)).rejects.toMatchObject({ code: 'denied' })
    }
    expect((await client.list()).map(({ Name }) => Name)).toEqual(
      names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    )
  })

  test('B4: an audit line has the fields of its kind and no others', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('B4-value'))
    await service.client().get('prod/a')
    const known = new Set([
      'id',
      'time',
      'kind',
      'request',
      'principal',
      'action',
      'authorized',
      'operation',
      'secret',
      'secretVersion',
      'result',
      'reason',
      'verb',
      'revision',
      'prev',
      'of',
      'ip',
      'count',
      'first',
      'last',
      'version',
      'provider',
      'fingerprint',
      'format',
      'log',
      'after',
      'before',
      'torn',
      'open',
      'lost',
      'branch',
      'key',
      'macsFrom',
      'unproven',
      'salt',
      'mac',
    ])
    const lines = service.records()
    expect(lines.flatMap((line) => Object.keys(line)).filter((key) => !known.has(key))).toEqual([])
    expect(JSON.stringify(lines)).not.toMatch(/B4-value|QjQtdmFsdWU/)
  })

  test('B7: no request can say where the log is, or anything but name, version, value', () => {
    const fields = Object.values(methods).flatMap(({ request }) => Object.keys(request.shape))
    expect(new Set(fields)).toEqual(new Set(['Name', 'Version', 'Value', 'UpdateIfChanged']))
  })

  test('B8, trap 4: a body past the limit is refused before it is asked who calls', async () => {
    await using service = await startService({}, { tailnet: { nodes: {} } })
    const large = { Name: 'prod/a', Value: 'A'.repeat(3 * 1024 * 1024) }
    expect((await service.post('put', large)).status).toBe(413)
    expect((await service.post('put', { Name: 'prod/a' })).status).toBe(500)
    expect(service.records().filter(({ kind }) => kind === 'unidentified')).toHaveLength(1)
  })

  test('B9: without identity only health and the description answer, and tell no counts and no release', async () => {
    await using service = await startService({}, { tailnet: { nodes: {} } })
    const get = async (path: string) => {
      const answer = await fetch(`${service.url}${path}`)
      return [answer.status, await answer.text()]
    }
    expect(await get('/healthz')).toEqual([200, 'ok\n'])
    const [status, ready] = await get('/readyz')
    expect([status, JSON.parse(String(ready))]).toEqual([
      200,
      { store: 'ok', audit: 'ok', identity: 'ok' },
    ])
    expect(await get('/')).toEqual([500, 'unable to identify caller\n'])
    for (const path of [
      '/debug/',
      '/debug/pprof',
      '/debug/vars',
      '/admin',
      '/api',
      '/api/',
      '/api/audit',
    ]) {
      expect((await get(path))[0]).toBe(404)
    }
    expect(await get('/metrics')).toEqual([500, 'unable to identify caller\n'])
    for (const method of Object.keys({ ...methods, ...operations })) {
      expect((await service.post(method, { Name: 'a', Version: 1 })).status).toBe(500)
    }
  })

  test('B10: nothing in the URL makes a request skip its checks', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('x'))
    service.policy({ nodes: { '127.0.0.1': { name: 'a', user: 'b', rules: [] } } })
    for (const path of [
      'get?/healthz',
      'get?path=/readyz',
      'get#/healthz',
      'get?next=/api/openapi.json',
      './get',
      '../api/get',
    ]) {
      expect((await service.post(path, { Name: 'prod/a' })).status).toBe(403)
    }
    for (const path of ['get/../../healthz/', '%67et', 'get%00', 'GET', 'get/', '/get']) {
      expect((await service.post(path, { Name: 'prod/a' })).status).toBeGreaterThanOrEqual(400)
    }
  })

  test('B12: what a browser can send is refused, and nothing may be kept or sniffed', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('x'))
    for (const headers of [
      { 'Sec-X-Tailscale-No-Browsers': '' },
      { 'Sec-X-Tailscale-No-Browsers': 'yes' },
      { 'Content-Type': 'text/plain' },
      { 'Content-Type': 'application/x-www-form-urlencoded' },
    ]) {
      const {
        status,
        headers: answered,
        text: body,
      } = await service.post('get', { Name: 'prod/a' }, headers)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(body).not.toContain('Value')
      expect(answered.get('cache-control')).toBe('no-store')
      expect(answered.get('x-content-type-options')).toBe('nosniff')
      expect(answered.get('access-control-allow-origin')).toBeNull()
    }
    const { headers } = await service.post('get', { Name: 'prod/a' })
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test('B15: the state directory is for its owner alone, and every file in it', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    await using service = await startService({}, { state })
    await service.client().put('prod/a', bytes('x'))
    expect(statSync(state).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(state, { recursive: true, encoding: 'utf8' })) {
      const found = statSync(join(state, name))
      expect([name, found.mode & 0o777]).toEqual([name, found.isDirectory() ? 0o700 : 0o600])
    }
  })
})

describe('traps', () => {
  test('trap 6: no prefix is reserved: what create-version makes, delete deletes', async () => {
    await using service = await startService()
    const client = service.client()
    await client.createVersion('_internal/x', 3, bytes('x'))
    await client.activate('_internal/x', 3)
    await client.delete('_internal/x')
    expect(await client.list()).toEqual([])
  })

  test('trap 7: an empty name, version 0 and deleting the active version are told as what they are', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('x'))
    for (const [method, body, code] of [
      ['put', { Name: '' }, 'invalid_name'],
      ['activate', { Name: 'prod/a', Version: 0 }, 'invalid_version'],
      ['delete-version', { Name: 'prod/a', Version: 0 }, 'invalid_version'],
      ['delete-version', { Name: 'prod/a', Version: 1 }, 'version_active'],
    ] as const) {
      const { status, headers } = await service.post(method, body)
      expect([status, headers.get('sotto-error')]).toEqual([400, code])
    }
  })

  test('trap 8: a put writes what is new, however much the store holds', async () => {
    await using service = await startService()
    const client = service.client()
    const value = Buffer.alloc(1024, 'x')
    await Promise.all(Array.from({ length: 400 }, (_, at) => client.put(`prod/${at}`, value)))
    const written = (): number =>
      readdirSync(service.state)
        .filter((name) => name.startsWith('sotto.db'))
        .reduce((sum, name) => sum + statSync(join(service.state, name)).size, 0)
    const before = written()
    await client.put('prod/one-more', value)
    expect(written() - before).toBeLessThan(64 * 1024)
  })
})
