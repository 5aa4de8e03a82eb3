/** The invariants of docs/internals/architecture.md, each by its number, on a whole server. */
import Database from 'better-sqlite3'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startServer } from '../../server/start/server.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, everything, fourCallers, recordsIn, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const text = (value: Uint8Array): string => new TextDecoder().decode(value)

describe('invariant 1: nothing leaves and nothing changes before its record is durable', () => {
  test.each(['full', 'hangs'] as const)(
    'a log that is %s: get and every change fail, and change nothing',
    async (mode) => {
      const disk = faultyFiles()
      await using service = await startService({ auditFiles: disk.files, waitMs: 1000 })
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await client.put('prod/a', bytes('two'))
      disk.set(mode)
      const calls = [
        service.post('get', { Name: 'prod/a' }),
        service.post('put', { Name: 'prod/a', Value: 'dGhyZWU=' }),
        service.post('put', { Name: 'prod/a', Value: 'dHdv' }),
        service.post('put', { Name: 'prod/new', Value: 'dGhyZWU=' }),
        service.post('create-version', { Name: 'prod/a', Version: 9, Value: 'dGhyZWU=' }),
        service.post('activate', { Name: 'prod/a', Version: 2 }),
        service.post('delete-version', { Name: 'prod/a', Version: 2 }),
        service.post('delete', { Name: 'prod/a' }),
      ]
      for (const { status, text: body } of await Promise.all(calls)) {
        expect([status, body]).toEqual([500, 'internal error\n'])
      }
      expect(service.said.join('\n')).toMatch(/^error: request .* failed: audit_unavailable: /m)
      disk.set('works')
      await expect
        .poll(
          () =>
            client
              .info('prod/a')
              .then(() => fetch(`${service.url}/readyz`))
              .then((answer) => answer.status),
          { timeout: 30_000 },
        )
        .toBe(200)
      expect(await client.list()).toEqual([{ Name: 'prod/a', Versions: [1, 2], ActiveVersion: 1 }])
    },
  )

  test.each(['full', 'hangs'] as const)(
    'a log that is %s: what reveals nothing answers, and is a counted gap',
    async (mode) => {
      const disk = faultyFiles()
      await using service = await startService({ auditFiles: disk.files, waitMs: 1000 })
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      disk.set(mode)
      expect(await client.list()).toHaveLength(1)
      expect(await client.info('prod/a')).toMatchObject({ ActiveVersion: 1 })
      expect(await client.getIfChanged('prod/a', 1)).toBeUndefined()
      await expect(client.get('none')).rejects.toMatchObject({ code: 'not_found' })
      await expect(service.client('127.0.0.4').get('prod/a')).rejects.toMatchObject({
        code: 'denied',
      })
      await expect(service.client('127.0.0.9').get('prod/a')).rejects.toMatchObject({
        code: 'unidentified',
      })
      disk.set('works')
      await expect
        .poll(
          () =>
            client.get('prod/a').then(
              (found) => found.Version,
              () => 0,
            ),
          { timeout: 30_000 },
        )
        .toBe(1)
      const lost = service.records().reduce((sum, { lost: each }) => sum + Number(each ?? 0), 0)
      expect(lost).toBeGreaterThanOrEqual(mode === 'full' ? 5 : 0)
    },
  )

  test('trap 3: a get waits for its own record, and the record tells the version that left', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files })
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    await client.activate('prod/a', 2)
    disk.set('hangs')
    let answered = false
    const got = client.get('prod/a').then((found) => {
      answered = true
      return found
    })
    await expect.poll(() => disk.writes()).toBeGreaterThan(4)
    expect(await client.getIfChanged('prod/a', 2)).toBeUndefined()
    expect(answered).toBe(false)
    disk.set('works')
    expect(text((await got).Value)).toBe('two')
    expect(service.records().at(-1)).toMatchObject({
      kind: 'access',
      action: 'get',
      authorized: true,
      secret: 'prod/a',
      secretVersion: 2,
      result: 'ok',
      principal: { hostname: 'root', ip: '127.0.0.1', user: 'root@example.com' },
    })
  })
})

const development = (stateDir: string) => ({
  dev: true as const,
  tailnet: undefined,
  stateDir,
  keyFile: undefined,
  listen: { host: '127.0.0.1', port: 0 },
})

describe('invariant 2: what is at rest is sealed and bound to its place', () => {
  test('neither values nor keys are in any file of the state directory', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const value = 'CANARY-at-rest-51b7'
    {
      await using service = await startService({}, { state })
      await service.client().put('prod/a', bytes(value))
      expect(text((await service.client().get('prod/a')).Value)).toBe(value)
    }
    for (const name of ['sotto.db', 'local.key']) {
      expect(readFileSync(join(state, name)).includes(value)).toBe(false)
    }
  })

  test('sealed bytes that were moved to another name, or an older pointer, do not open', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    await using service = await startService({}, { state })
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('other'))
    await client.put('prod/c', bytes('one'))
    await client.put('prod/c', bytes('two'))
    const db = new Database(join(state, 'sotto.db'))
    db.exec(`
      UPDATE version SET sealed = (SELECT sealed FROM version v JOIN secret s ON s.id = v.secret WHERE s.name = 'prod/b'),
        wrapped_key = (SELECT wrapped_key FROM version v JOIN secret s ON s.id = v.secret WHERE s.name = 'prod/b')
        WHERE secret = (SELECT id FROM secret WHERE name = 'prod/a');
      UPDATE secret SET active = 2 WHERE name = 'prod/c'`)
    db.close()
    for (const name of ['prod/a', 'prod/c']) {
      const { status, text: body, headers } = await service.post('get', { Name: name })
      expect([status, body, headers.get('sotto-error')]).toEqual([
        500,
        'internal error\n',
        'store_damaged',
      ])
    }
    expect(service.said.join('\n')).toMatch(/store_damaged.*"prod\/c"/)
    expect(text((await client.get('prod/b')).Value)).toBe('other')
    await service.server.stop()
    await expect(startServer(development(state))).rejects.toMatchObject({ code: 'store_damaged' })
  })
})

describe('invariant 5: version numbers are never reused', () => {
  test('trap 1: delete, then put, goes on counting, and a poller of the old version is not told 304', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.delete('prod/a')
    expect(await client.put('prod/a', bytes('two'))).toBe(2)
    const found = await client.getIfChanged('prod/a', 1)
    expect(found && [text(found.Value), found.Version]).toEqual(['two', 2])
  })

  test('not the number of a deleted version, nor after the whole secret went, nor after a restart', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await startService({}, { state })
      const client = service.client()
      await client.createVersion('prod/a', 7, bytes('seven'))
      await client.put('prod/a', bytes('eight'))
      await client.deleteVersion('prod/a', 8)
      await expect(client.createVersion('prod/a', 8, bytes('x'))).rejects.toMatchObject({
        code: 'version_taken',
      })
      await client.delete('prod/a')
    }
    await using service = await startService({}, { state })
    const client = service.client()
    for (const taken of [7, 8]) {
      await expect(client.createVersion('prod/a', taken, bytes('x'))).rejects.toMatchObject({
        code: 'version_taken',
      })
    }
    expect(await client.put('prod/a', bytes('nine'))).toBe(9)
    expect(await client.info('prod/a')).toEqual({ Name: 'prod/a', Versions: [9], ActiveVersion: 9 })
  })

  test('create-version below the latest activates it and leaves the latest where it is', async () => {
    await using service = await startService()
    const client = service.client()
    await client.createVersion('prod/a', 10, bytes('ten'))
    await client.createVersion('prod/a', 5, bytes('five'))
    expect(await client.info('prod/a')).toEqual({
      Name: 'prod/a',
      Versions: [5, 10],
      ActiveVersion: 5,
    })
    expect(await client.put('prod/a', bytes('eleven'))).toBe(11)
  })

  test('trap 2: an empty value after the latest version was deleted is a new version', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    await client.deleteVersion('prod/a', 2)
    expect(await client.put('prod/a', bytes(''))).toBe(3)
  })

  test('a put compares with the latest version, not with the active one', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    expect(await client.put('prod/a', bytes('two'))).toBe(2)
    expect(await client.put('prod/a', bytes('one'))).toBe(3)
    expect(service.records().filter(({ result }) => result === 'unchanged')).toHaveLength(1)
  })

  test('past the highest number there is no put', async () => {
    await using service = await startService()
    await service.client().createVersion('prod/a', 4_294_967_295, bytes('last'))
    const { status, headers } = await service.post('put', { Name: 'prod/a', Value: 'eA==' })
    expect([status, headers.get('sotto-error')]).toEqual([400, 'versions_exhausted'])
  })
})

describe('invariant 6: identity comes from the socket alone', () => {
  test('two callers of a development tailnet are told apart on real sockets', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    expect(text((await service.client('127.0.0.2').get('prod/a')).Value)).toBe('one')
    await expect(service.client('127.0.0.3').get('prod/a')).rejects.toMatchObject({
      code: 'denied',
    })
    const names = service
      .records()
      .flatMap(({ action, principal }) =>
        action === 'get' ? [(principal as { hostname: string }).hostname] : [],
      )
    expect(names).toEqual(['app-1', 'laptop'])
  })

  test('B11: no header, query or field changes who is calling', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    const forged = {
      'X-Forwarded-For': '127.0.0.1',
      Forwarded: 'for=127.0.0.1',
      'Tailscale-User-Login': 'root@example.com',
      'Tailscale-App-Capabilities':
        '{"tailscale.com/cap/secrets":[{"action":["get"],"secret":["*"]}]}',
      'X-Real-IP': '127.0.0.1',
      Host: '127.0.0.1',
    }
    const body = JSON.stringify({ Name: 'prod/a', User: 'root@example.com', IP: '127.0.0.1' })
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = {
        'Content-Type': 'application/json',
        'Sec-X-Tailscale-No-Browsers': 'setec',
        ...forged,
      }
      const url = `${service.url}/api/get?user=root@example.com`
      const asked = request(
        url,
        { method: 'POST', headers, localAddress: '127.0.0.4' },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        },
      )
      asked.on('error', reject)
      asked.end(body)
    })
    expect(status).toBe(403)
    expect(service.records().at(-1)).toMatchObject({
      result: 'denied',
      principal: { hostname: 'other' },
    })
  })

  test('B14: a rule that is taken away holds at the next request of a kept-alive connection', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    const app = service.client('127.0.0.2')
    expect((await app.get('prod/a')).Version).toBe(1)
    service.policy({
      nodes: { ...fourCallers.nodes, '127.0.0.2': { name: 'app-1', tags: ['tag:app'] } },
    })
    await expect(app.get('prod/a')).rejects.toMatchObject({ code: 'denied' })
    service.policy(fourCallers)
    expect((await app.get('prod/a')).Version).toBe(1)
    service.policy({ nodes: {} })
    await expect(app.get('prod/a')).rejects.toMatchObject({ code: 'unidentified' })
  })

  test('B6: a caller that cannot be named is on the log', async () => {
    await using service = await startService()
    await expect(service.client('127.0.0.9').get('prod/a')).rejects.toMatchObject({
      code: 'unidentified',
    })
    expect(service.records().at(-1)).toMatchObject({ kind: 'unidentified', ip: '127.0.0.9' })
  })
})

describe('invariant 7: what cannot be opened is never replaced', () => {
  test.each([
    ['a missing store', 'no_store', (state: string) => rmSync(join(state, 'sotto.db'))],
    ['a missing key', 'key_missing', (state: string) => rmSync(join(state, 'local.key'))],
    [
      'a store that is something else',
      'store_foreign',
      (state: string) => writeFileSync(join(state, 'sotto.db'), 'x'.repeat(8192)),
    ],
    [
      'a log that is gone',
      'audit_cut',
      (state: string) => rmSync(join(state, 'audit'), { recursive: true }),
    ],
  ])('%s', async (_, code, harm) => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await startService({}, { state })
      await service.client().put('prod/a', bytes('one'))
    }
    harm(state)
    await expect(startServer(development(state))).rejects.toMatchObject({ code })
    await expect(startServer(development(state))).rejects.toMatchObject({ code })
  })

  test('trap 5: a store that was rolled back behind its log is refused, and opens when it is put back', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const old = join(scratch.path, 'old.db')
    const recent = join(scratch.path, 'recent.db')
    for (const [value, copy] of [
      ['one', old],
      ['two', recent],
    ] as const) {
      await using service = await startService({}, { state })
      await service.client().put('prod/a', bytes(value))
      await service.server.stop()
      cpSync(join(state, 'sotto.db'), copy)
    }
    cpSync(old, join(state, 'sotto.db'))
    const before = recordsIn(join(state, 'audit')).length
    await expect(startServer(development(state))).rejects.toMatchObject({ code: 'store_behind' })
    expect(recordsIn(join(state, 'audit'))).toHaveLength(before)
    cpSync(recent, join(state, 'sotto.db'))
    await using service = await startService({}, { state })
    expect((await service.client().info('prod/a')).Versions).toEqual([1, 2])
  })

  test('a state directory has one owner', async () => {
    await using service = await startService()
    await expect(startServer(development(service.state))).rejects.toMatchObject({
      code: 'store_locked',
    })
  })
})

describe('invariant 8: every list answers through the same rules', () => {
  test('B2: a name is in the list exactly when info is allowed on it', async () => {
    await using service = await startService()
    const client = service.client()
    const names = ['prod/a', 'prod/b', 'dev/a', 'prod', 'team/x']
    for (const name of names) await client.put(name, bytes('x'))
    for (const from of ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4']) {
      const caller = service.client(from)
      const listed = (await caller.list()).map(({ Name }) => Name)
      const asked = await Promise.all(
        names.map((name) =>
          caller.info(name).then(
            () => [name],
            () => [],
          ),
        ),
      )
      expect(listed).toEqual(asked.flat().toSorted())
    }
  })
})

describe('invariant 12: denied and missing look the same to a caller without rights', () => {
  test('B13: 403 before any look-up, to the byte', async () => {
    await using service = await startService(
      {},
      { tailnet: { nodes: { '127.0.0.1': { name: 'a', user: 'b', rules: [] } } } },
    )
    for (const [method, extra] of [
      ['get', {}],
      ['get', { Version: 1 }],
      ['info', {}],
      ['put', {}],
      ['activate', { Version: 1 }],
      ['delete', {}],
      ['delete-version', { Version: 1 }],
      ['create-version', { Version: 1 }],
    ] as const) {
      const { status, text: body, headers } = await service.post(method, { Name: 'any', ...extra })
      expect([status, body, headers.get('sotto-detail')]).toEqual([403, 'access denied\n', null])
    }
  })
})

describe('invariant 10: every wait has a bound', () => {
  test('a log that hangs: the answer comes within the bound and the reason names the log', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files, waitMs: 1000 })
    await service.client().put('prod/a', bytes('one'))
    disk.set('hangs')
    await expect(service.client().get('prod/a')).rejects.toMatchObject({
      code: 'audit_unavailable',
    })
    const ready = await fetch(`${service.url}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { store: 'ok', audit: 'failed', identity: 'ok' },
    ])
    disk.set('works')
  })
})

describe('invariant 11: a caller cannot fill the disk by being refused', () => {
  test('repeated refusals are a record and a number', async () => {
    const service = await startService()
    const stranger = service.client('127.0.0.4')
    for (let at = 0; at < 300; at++) {
      await expect(stranger.get(`prod/${at % 100}`)).rejects.toMatchObject({ code: 'denied' })
    }
    await service.server.stop()
    const records = service.records()
    const denied = records.filter(({ result }) => result === 'denied')
    const [summary] = records.filter(({ kind }) => kind === 'refusals')
    expect(denied.length).toBeLessThanOrEqual(60)
    expect(summary).toMatchObject({ principal: { hostname: 'other' }, count: 300 - denied.length })
    await service[Symbol.asyncDispose]()
  })
})

describe('the log and the store agree', () => {
  test('a change is one record with the version that it gives, and the store knows its number', async () => {
    await using service = await startService(
      {},
      { tailnet: { nodes: { '127.0.0.1': { name: 'a', user: 'b', rules: [everything] } } } },
    )
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    await client.activate('prod/a', 2)
    await client.deleteVersion('prod/a', 1)
    await client.delete('prod/a')
    const changes = service.records().filter(({ kind }) => kind === 'change')
    expect(
      changes.map(({ verb, secretVersion, revision }) => [verb, secretVersion, revision]),
    ).toEqual([
      ['put', 1, 0],
      ['put', 2, 1],
      ['activate', 2, 2],
      ['delete-version', 1, 3],
      ['delete', undefined, 4],
    ])
    const db = new Database(join(service.state, 'sotto.db'), { readonly: true })
    const known = db.prepare('SELECT audit_id AS id FROM change ORDER BY revision').all()
    db.close()
    expect(known).toEqual(changes.map(({ id }) => ({ id })))
  })

  test('activate of the active version succeeds and changes nothing', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.activate('prod/a', 1)
    expect(service.records().filter(({ kind }) => kind === 'change')).toHaveLength(1)
  })
})
