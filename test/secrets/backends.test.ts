/** Backends as operators see and change them, on a whole server. */
import Database from 'better-sqlite3'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { OperationRequest } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import type { Backend } from '../../server/backends/contract.ts'
import type { World } from '../../server/start/server.ts'
import type { BackendWorld } from '../../server/backends/opened.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, everything, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

type Spec = OperationRequest<'backend-create'>

function spec(more: Partial<Spec> = {}, config: object = {}): Spec {
  const token = { tokenSecretRef: { name: 'backends/vault' } }
  return { ...backendSpec('vault', { ...token, ...config }), ...more }
}

/** Remembers how the backend was opened. */
function opener(): { world: World; opened: BackendWorld[]; shared: SharedMemory } {
  const opened: BackendWorld[] = []
  const shared = new SharedMemory()
  const openBackend = (_: unknown, world: BackendWorld): Backend => {
    opened.push(world)
    return new MemoryBackend(world.owner, shared)
  }
  return { world: { openBackend }, opened, shared }
}

async function start(
  options: { origins?: readonly string[]; state?: string; world?: World; rules?: object[] } = {},
): Promise<Service> {
  const { origins = [ORIGIN], state, world = opener().world, rules = [everything] } = options
  const nodes = {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': { name: 'desk', user: 'op@example.com', rules: rules as (typeof everything)[] },
  }
  const service = await startService(world, {
    backendOrigins: origins,
    tailnet: { nodes },
    ...(state !== undefined && { state }),
  })
  await service.client().put('backends/vault', bytes('the token'))
  return service
}

const list = async (client: Client): Promise<unknown[]> =>
  (await client.operate('backend-list', {})).map(({ Name, Default, Secrets }) => [
    Name,
    Default,
    Secrets,
  ])

describe('backends', () => {
  test('the store itself is always there, and keeps new secrets until another one does', async () => {
    await using service = await start()
    const client = service.client()
    expect(await client.operate('backend-list', {})).toEqual([
      {
        Name: 'default',
        Type: 'sotto',
        Default: true,
        Description: 'The encrypted store of this server.',
        Secrets: 1,
        Leftovers: 0,
        Copies: 0,
      },
    ])
    await expect(
      client.operate('backend-delete', { Name: 'default', LeaveValues: false }),
    ).rejects.toMatchObject({ code: 'backend_in_use' })
    await client.operate(
      'backend-create',
      spec({ Name: 'one', Default: true }, { pathPrefix: 'one' }),
    )
    expect(await list(client)).toEqual([
      ['default', false, 1],
      ['one', true, 0],
    ])
    await client.operate(
      'backend-create',
      spec({ Name: 'two', Default: true }, { pathPrefix: 'two' }),
    )
    expect(await list(client)).toEqual([
      ['default', false, 1],
      ['one', false, 0],
      ['two', true, 0],
    ])
    const own: Spec = { Name: 'default', Type: 'sotto', Description: '', Default: true }
    expect(await client.operate('backend-apply', own)).toMatchObject({ Result: 'changed' })
    expect(await client.operate('backend-apply', own)).toMatchObject({ Result: 'unchanged' })
    expect((await list(client))[0]).toEqual(['default', true, 1])
    await expect(client.operate('backend-apply', { ...own, Default: false })).rejects.toMatchObject(
      { code: 'backend_in_use' },
    )
    await expect(client.operate('backend-apply', spec({ Name: 'default' }))).rejects.toMatchObject({
      code: 'bad_request',
    })
  })

  test('each change is on the log first, with its revision, and a restart keeps it', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await start({ state })
      const client = service.client()
      await client.operate('backend-create', spec())
      await client.operate('backend-apply', spec({ Description: 'The team’s' }))
      await client.operate('backend-create', spec({ Name: 'gone' }, { pathPrefix: 'gone' }))
      await client.operate('backend-delete', { Name: 'gone', LeaveValues: false })
      const changes = service.records().filter(({ kind }) => kind === 'backend')
      expect(changes.map(({ verb, backend, action }) => [verb, backend, action])).toEqual([
        ['create', 'vault', 'backends:create'],
        ['edit', 'vault', 'backends:edit'],
        ['create', 'gone', 'backends:create'],
        ['delete', 'gone', 'backends:delete'],
      ])
      const revisions = changes.map(({ revision }) => Number(revision))
      expect(revisions).toEqual(revisions.map((_, index) => (revisions[0] ?? 0) + index))
    }
    await using service = await start({ state })
    expect(await list(service.client())).toEqual([
      ['default', true, 1],
      ['vault', false, 0],
    ])
    expect(await service.client().operate('backend-describe', { Name: 'vault' })).toMatchObject({
      Description: 'The team’s',
    })
  })

  test('what is described is safe to paste: no credential, and not where it is', async () => {
    await using service = await start()
    const client = service.client()
    await client.put('backends/role', bytes('{"id":"x"}'))
    const config = {
      tokenSecretRef: undefined,
      namespace: 'team',
      auth: {
        method: 'approle',
        roleId: 'role-1234',
        secretIdSecretRef: { name: 'backends/role', key: 'id' },
      },
    }
    await client.operate('backend-create', spec())
    await client.operate(
      'backend-create',
      spec({ Name: 'roles' }, { ...config, pathPrefix: 'roles' }),
    )
    const token = await client.operate('backend-describe', { Name: 'vault' })
    expect(token.Config).toEqual({
      url: ORIGIN,
      mount: 'secret',
      pathPrefix: 'sotto',
      tokenSecretRef: '(masked)',
    })
    const roles = await client.operate('backend-describe', { Name: 'roles' })
    expect(roles.Config).toEqual({
      url: ORIGIN,
      mount: 'secret',
      pathPrefix: 'roles',
      namespace: 'team',
      auth: { method: 'approle', roleId: '(masked)', secretIdSecretRef: '(masked)' },
    })
    const all = JSON.stringify([token, roles, await client.operate('backend-list', {})])
    expect(all).not.toMatch(/backends\/|role-1234|the token/)
  })

  test('a backend is only where the settings allow it, also when they change later', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await start({ state, origins: [] })
      await expect(service.client().operate('backend-create', spec())).rejects.toMatchObject({
        code: 'backend_not_allowed',
      })
    }
    {
      await using service = await start({ state })
      const client = service.client()
      for (const url of [
        'https://bao.example.com',
        'http://bao.example.com:8200',
        'https://bao.example.com:8200.evil.example',
        'https://bao.example.com:8200@evil.example',
        'https://evil.example/?https://bao.example.com:8200',
        `${ORIGIN}/v1`,
        'bao.example.com:8200',
        '',
      ]) {
        const refused = client.operate('backend-create', spec({}, { url }))
        await expect(refused, url).rejects.toMatchObject({
          code: expect.stringMatching(/^(backend_not_allowed|bad_request)$/),
        })
      }
      await client.operate('backend-create', spec())
      await expect(
        client.operate('backend-apply', spec({}, { url: 'https://evil.example' })),
      ).rejects.toMatchObject({ code: 'backend_not_allowed' })
      expect(await client.operate('backend-test', { Name: 'vault' })).toMatchObject({ Ok: true })
    }
    await using service = await start({ state, origins: ['https://other.example'] })
    expect(await service.client().operate('backend-test', { Name: 'vault' })).toMatchObject({
      Ok: false,
      Error: { Code: 'backend_refused', Hint: expect.stringContaining('--backend-origin') },
    })
  })

  test('whoever names a secret to log in with needs get on it, at each change', async () => {
    const operators = {
      action: ['backends:view', 'backends:create', 'backends:edit'],
      secret: ['*'],
    }
    const own = { action: ['get'], secret: ['team/*'] }
    await using service = await start({ rules: [operators, own] })
    await service.client().put('team/token', bytes('team'))
    const desk = service.client('127.0.0.2')
    await expect(desk.operate('backend-create', spec())).rejects.toMatchObject({ code: 'denied' })
    await expect(
      desk.operate('backend-create', spec({}, { tokenSecretRef: { name: 'backends/none' } })),
    ).rejects.toMatchObject({ code: 'denied' })
    await expect(
      desk.operate('backend-create', spec({}, { tokenSecretRef: { name: 'team/none' } })),
    ).rejects.toMatchObject({ code: 'not_found' })
    const mine = { tokenSecretRef: { name: 'team/token' }, pathPrefix: 'mine' }
    await desk.operate('backend-create', spec({ Name: 'mine' }, mine))
    await expect(desk.operate('backend-apply', spec({ Name: 'mine' }))).rejects.toMatchObject({
      code: 'denied',
    })
    await service.client().operate('backend-create', spec())
    // Not even without naming another secret: its token would go to another address.
    await expect(desk.operate('backend-apply', spec({}, { mount: 'other' }))).rejects.toMatchObject(
      { code: 'denied' },
    )
  })

  test('each act needs its own action', async () => {
    const may = (action: string) => start({ rules: [{ action: [action, 'get'], secret: ['*'] }] })
    const acts: [string, (client: Client) => Promise<unknown>][] = [
      ['backends:view', (client) => client.operate('backend-list', {})],
      ['backends:view', (client) => client.operate('backend-describe', { Name: 'default' })],
      ['backends:view', (client) => client.operate('backend-test', { Name: 'default' })],
      ['backends:create', (client) => client.operate('backend-create', spec())],
      [
        'backends:edit',
        (client) => client.operate('backend-apply', spec({ Name: 'seen' }, { pathPrefix: 'seen' })),
      ],
      [
        'backends:delete',
        (client) => client.operate('backend-delete', { Name: 'seen', LeaveValues: false }),
      ],
    ]
    for (const action of new Set(acts.map(([each]) => each))) {
      await using service = await may(action)
      await service
        .client()
        .operate('backend-create', spec({ Name: 'seen' }, { pathPrefix: 'seen' }))
      const outcomes: string[] = []
      for (const [, act] of acts) {
        const outcome = await act(service.client('127.0.0.2')).then(
          () => 'done',
          (error: { code: string }) => error.code,
        )
        outcomes.push(outcome)
      }
      expect(outcomes, action).toEqual(
        acts.map(([needed]) => (needed === action ? 'done' : 'denied')),
      )
    }
    await using service = await may('backends:edit')
    await expect(
      service.client('127.0.0.2').operate('backend-apply', spec()),
    ).rejects.toMatchObject({ code: 'denied' })
  })

  test('what does not fit is refused, and changes nothing', async () => {
    await using service = await start()
    const client = service.client()
    await client.operate('backend-create', spec())
    const before = await client.operate('backend-list', {})
    const refused = async (code: string, body: object): Promise<void> => {
      const { status, headers } = await service.post('backend-create', body)
      expect([headers.get('sotto-error'), status >= 400], JSON.stringify(body)).toEqual([
        code,
        true,
      ])
    }
    await refused('backend_exists', spec())
    await refused('backend_exists', spec({ Name: 'default' }))
    await refused('bad_request', { ...spec(), Type: 'sotto', Name: 'other' })
    await refused('bad_request', { ...spec(), Name: 'other', Config: undefined })
    await refused('bad_request', { ...spec(), Name: 'other', Extra: 1 })
    for (const Name of ['', '../x', 'a b', '-a', 'a'.repeat(65)]) {
      await refused('bad_request', { ...spec(), Name })
    }
    const both = { auth: { method: 'kubernetes', role: 'sotto' } }
    for (const config of [
      both,
      { tokenSecretRef: undefined },
      { mount: '../x' },
      { mount: 'a//b' },
      { pathPrefix: '' },
      { pathPrefix: 'a/../b' },
      { namespace: 'a b' },
      { caCertificate: 'none' },
      { token: 'x' },
      { tokenSecretRef: { name: 'a', field: 'b' } },
      { tokenSecretRef: undefined, auth: { method: 'root' } },
    ]) {
      await refused('bad_request', spec({ Name: 'other' }, config))
    }
    expect(await client.operate('backend-list', {})).toEqual(before)
    await expect(client.operate('backend-describe', { Name: 'none' })).rejects.toMatchObject({
      code: 'not_found',
    })
    await expect(client.operate('backend-test', { Name: 'none' })).rejects.toMatchObject({
      code: 'not_found',
    })
    await expect(
      client.operate('backend-delete', { Name: 'none', LeaveValues: false }),
    ).rejects.toMatchObject({ code: 'not_found' })
  })

  test('the default is not deleted', async () => {
    await using service = await start()
    const client = service.client()
    await client.operate('backend-create', spec({ Default: true }))
    const gone = { Name: 'vault', LeaveValues: false }
    await expect(client.operate('backend-delete', gone)).rejects.toMatchObject({
      code: 'backend_in_use',
      message: expect.stringContaining('new secrets are kept there'),
    })
    await client.operate('backend-apply', spec({ Default: false }))
    await client.operate('backend-delete', gone)
    expect(await list(client)).toEqual([['default', true, 1]])
  })

  test('one that was altered in the file of the store is not used, and no server starts on it', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await start({ state })
      await service.client().operate('backend-create', spec())
      const db = new Database(join(state, 'sotto.db'))
      db.exec(`UPDATE backend SET config = replace(config, '"secret"', '"other"')`)
      db.close()
      const { status, headers } = await service.post('backend-list', {})
      expect([status, headers.get('sotto-error')]).toEqual([500, 'store_damaged'])
    }
    await expect(start({ state })).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('backend "vault"'),
    })
  })

  test('its credential is read by the server itself, through the gate, when it is needed', async () => {
    const { world, opened } = opener()
    await using service = await start({ world })
    const client = service.client()
    await client.put('backends/json', bytes('{"token":"from a field","n":1}'))
    await client.operate('backend-create', spec())
    expect(await client.operate('backend-test', { Name: 'vault' })).toEqual({
      Ok: true,
      Product: expect.any(String),
      Notes: expect.any(Array),
    })
    const [{ credential } = expect.fail()] = opened
    expect(await credential({ name: 'backends/vault' })).toBe('the token')
    expect(service.records().at(-1)).toMatchObject({
      kind: 'access',
      action: 'get',
      secret: 'backends/vault',
      secretVersion: 1,
      authorized: true,
      result: 'ok',
      principal: { user: 'system:backend' },
    })
    expect(await credential({ name: 'backends/json', key: 'token' })).toBe('from a field')
    for (const ref of [
      { name: 'backends/json', key: 'n' },
      { name: 'backends/json', key: 'toString' },
      { name: 'backends/vault', key: 'token' },
      { name: 'backends/none' },
    ]) {
      await expect(credential(ref)).rejects.toMatchObject({ code: 'backend_refused' })
    }
  })

  test('a test tells what is wrong', async () => {
    const { world, shared } = opener()
    await using service = await start({ world })
    await service.client().operate('backend-create', spec())
    shared.before = () => {
      throw new Error('the token')
    }
    expect(await service.client().operate('backend-test', { Name: 'vault' })).toMatchObject({
      Ok: false,
      Error: { Code: 'internal', Message: 'Unexpected fault' },
    })
  })
})
