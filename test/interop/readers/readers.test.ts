/** Programs that others wrote read what a server mirrors to a real OpenBao. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mirroredBackend } from '../../support/backend-spec.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { prepare } from '../backends/fixture.ts'
import { type Environment, readerEnvironment, readJson, run } from './programs.ts'

const here = import.meta.dirname

/** What readers are given: only what they need to read. */
const readerPolicy = `path "secret/data/sotto/active/*" { capabilities = ["read"] }
path "secret/metadata/sotto/active/*" { capabilities = ["list"] }
`

const values = {
  'prod/app/db': '{"username":"app","password":"p<w>&1","port":5432,"tls":true}',
  'prod/app/token': 'a token\nof two lines',
  'prod/binary': Buffer.from([0, 255, 254, 10]),
  'prod/empty': '',
  'prod/ünï code/=': 'x',
}

const seen = {
  'sotto/active/prod/app/db': { username: 'app', password: 'p<w>&1', port: 5432, tls: true },
  'sotto/active/prod/app/token': { value: 'a token\nof two lines' },
  'sotto/active/prod/binary': { value_b64: 'AP/+Cg==' },
  'sotto/active/prod/empty': { value: '' },
  'sotto/active/prod/=C3=BCn=C3=AF=20code/=3D': { value: 'x' },
}

describeWith(['bao', 'readers-python', 'readers-node'], 'a mirror in OpenBao', () => {
  let bao: OpenBao
  let service: Service
  let env: Environment

  const read = (program: string, ...args: string[]) => readJson(program, args, env)

  beforeAll(async () => {
    bao = await startOpenBao()
    await prepare(bao)
    await bao.policy('reader', readerPolicy)
    env = await readerEnvironment(bao)
    service = await startService({}, { backendOrigins: [bao.url] })
    const client = service.client()
    await client.put('backends/vault', bytes(await bao.token({ policies: ['least'] })))
    for (const [name, value] of Object.entries(values)) await client.put(name, Buffer.from(value))
    await client.operate(
      'backend-create',
      mirroredBackend(bao.url, {
        secrets: ['prod/*'],
        onDrift: 'report',
        onDelete: 'remove',
      }),
    )
    await client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false })
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    await bao?.[Symbol.asyncDispose]()
  })

  test('hvac reads every kind of value, and lists', async () => {
    const paths = Object.keys(seen)
    const script = join(here, 'hvac_read.py')
    const found = await read(
      requirePeer('readers-python'),
      script,
      bao.url,
      'secret',
      ...paths,
      'sotto/active/prod/',
    )
    expect(found).toEqual({
      ...seen,
      'sotto/active/prod/': ['=C3=BCn=C3=AF=20code/', 'app/', 'binary', 'empty'],
    })
  })

  test('node-vault reads every kind of value, and lists', async () => {
    const paths = Object.keys(seen)
    const script = join(here, 'node_vault_read.cjs')
    const found = await read(
      requirePeer('readers-node'),
      script,
      bao.url,
      'secret',
      ...paths,
      'sotto/active/prod/app/',
    )
    expect(found).toEqual({ ...seen, 'sotto/active/prod/app/': ['db', 'token'] })
  })

  test('the command line of OpenBao reads values and fields, and lists', async () => {
    const program = requirePeer('bao')
    const kv = (...args: string[]): Promise<unknown> =>
      read(program, 'kv', ...args.slice(0, 1), '-format=json', '-mount=secret', ...args.slice(1))
    for (const [path, data] of Object.entries(seen)) {
      expect(await kv('get', path)).toMatchObject({ data: { data, metadata: { version: 1 } } })
    }
    expect(await kv('list', 'sotto/active/prod/app')).toEqual(['db', 'token'])
    const field = ['kv', 'get', '-mount=secret', '-field=password', 'sotto/active/prod/app/db']
    expect((await run(program, field, { env })).stdout.trim()).toBe('p<w>&1')
  })

  /** What each of them has of a path. */
  const readers: Record<string, (path: string, mount?: string) => Promise<unknown>> = {
    hvac: (path, mount = 'secret') =>
      read(requirePeer('readers-python'), join(here, 'hvac_read.py'), bao.url, mount, path),
    'node-vault': (path, mount = 'secret') =>
      read(requirePeer('readers-node'), join(here, 'node_vault_read.cjs'), bao.url, mount, path),
    bao: async (path, mount = 'secret') => {
      const args = ['kv', 'get', '-format=json', `-mount=${mount}`, path]
      const { data } = (await read(requirePeer('bao'), ...args)) as { data: { data: unknown } }
      return { [path]: data.data }
    },
  }

  test('R2: each of them reads a home and a mirror where a template says', async () => {
    const client = service.client()
    await bao.mount('secret-prod', 'kv', { version: '2' })
    const all = ['create', 'read', 'update', 'delete', 'list', 'patch']
    const rule = (path: string): string =>
      `path "${path}" { capabilities = ${JSON.stringify(all)} }`
    await bao.policy(
      'templates',
      ['secret-prod/*', 'secret/data/k3s*', 'secret/metadata/k3s*'].map(rule).join('\n'),
    )
    await bao.policy(
      'reads',
      ['secret-prod/data/postgres/*', 'secret/data/k3s/*'].map(rule).join('\n'),
    )
    const token = await bao.token({ policies: ['templates'] })
    await client.put('backends/templates', bytes(token))
    const before = env
    env = { ...env, BAO_TOKEN: await bao.token({ policies: ['reads'] }) }
    env = { ...env, VAULT_TOKEN: env['BAO_TOKEN'] }
    const backend = (
      Name: string,
      mount: string,
      pathPrefix: string,
      secrets: string,
      path: string,
    ) => ({
      Name,
      Type: 'openbao' as const,
      Description: '',
      Default: false,
      Config: {
        url: bao.url,
        mount,
        pathPrefix,
        tokenSecretRef: { name: 'backends/templates' },
        mirror: {
          secrets: [secrets],
          onDrift: 'report' as const,
          onDelete: 'remove' as const,
          path,
        },
      },
    })
    const [db, app] = ['postgres/database/app', 'app']
    await client.put(db, bytes('{"password":"one"}'))
    await client.put(app, bytes('{"key":"k"}'))
    await client.operate(
      'backend-create',
      backend('home', 'secret-prod', 'sotto', 'postgres/*', '{name}'),
    )
    await client.operate('backend-create', backend('k3s', 'secret', 'k3s-sotto', app, 'k3s/{name}'))
    await client.operate('migrate-secret', {
      Name: db,
      From: 'default',
      To: 'home',
      KeepSource: false,
    })
    const sync = (): Promise<unknown> => client.operate('mirror-sync', { AcceptMount: false })
    const expectSeen = async (mount: string, path: string, data: object): Promise<void> => {
      for (const [name, reads] of Object.entries(readers)) {
        expect([name, await reads(path, mount)]).toEqual([name, { [path]: data }])
      }
    }
    await sync()
    await expectSeen('secret-prod', db, { password: 'one' })
    await expectSeen('secret', 'k3s/app', { key: 'k' })
    const second = await client.put(db, bytes('{"password":"two"}'))
    await sync()
    await expectSeen('secret-prod', db, { password: 'one' })
    await client.activate(db, second)
    await sync()
    await expectSeen('secret-prod', db, { password: 'two' })
    await expect(
      client.operate('backend-create', backend('inner', 'secret-prod', 'other', 'x', 'y/{name}')),
    ).rejects.toMatchObject({ code: 'backend_exists' })
    await expect(
      client.operate(
        'backend-create',
        backend('own', 'secret', 'own', 'x', '{prefix}/home/{name}'),
      ),
    ).rejects.toMatchObject({ code: 'bad_request' })
    env = before
    await bao.must('GET', 'secret-prod/data/sotto/home/postgres/database/app/1')
  })

  test('a rollback is what each of them sees next', async () => {
    const client = service.client()
    const path = 'sotto/active/prod/app/token'
    await client.put('prod/app/token', bytes('newer'))
    for (const [version, value] of [
      [2, 'newer'],
      [1, 'a token\nof two lines'],
    ] as const) {
      await client.activate('prod/app/token', version)
      await client.operate('mirror-sync', { AcceptMount: false })
      for (const [name, data] of Object.entries(readers)) {
        expect([name, await data(path)]).toEqual([name, { [path]: { value } }])
      }
    }
  })

  test('what was deleted is gone for each of them', async () => {
    await service.client().delete('prod/empty')
    await service.client().operate('mirror-sync', { AcceptMount: false })
    const says = { hvac: /InvalidPath/, 'node-vault': /404/, bao: /No value found/ }
    for (const [name, data] of Object.entries(readers)) {
      const said = await data('sotto/active/prod/empty').catch((error: unknown) => String(error))
      expect([name, said]).toEqual([name, expect.stringMatching(says[name as keyof typeof says])])
    }
  })

  test('readers see nothing else, and change nothing', async () => {
    const program = requirePeer('bao')
    const refused = (...args: string[]): Promise<unknown> =>
      run(program, args, { env }).then(
        () => 'allowed',
        ({ stderr }: { stderr: string }) => stderr,
      )
    expect(await refused('kv', 'put', '-mount=secret', 'sotto/active/prod/app/db', 'a=b')).toMatch(
      /permission denied/,
    )
    expect(await refused('kv', 'list', '-mount=secret', 'sotto/versions')).toMatch(
      /permission denied/,
    )
  })
})
