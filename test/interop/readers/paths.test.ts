/** R2: a mirror is at the paths that readers already use; a backend that keeps secrets can be its own mirror. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client } from '../../../client/client.ts'
import { mirroredBackend } from '../../support/backend-spec.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { type Environment, readerEnvironment, readJson } from './programs.ts'

const here = import.meta.dirname

/** All of both mounts. */
const keeperPolicy = ['secret', 'secret-prod']
  .map(
    (mount) =>
      `path "${mount}/*" { capabilities = ["create", "read", "update", "list", "delete", "patch"] }`,
  )
  .join('\n')

const readerPolicy = `path "secret-prod/data/postgres/database/app" { capabilities = ["read"] }
path "secret/data/k3s/*" { capabilities = ["read"] }
`

const database = { username: 'app', password: 'p<w>&1', port: 5432 }

describeWith(['bao', 'readers-python', 'readers-node'], 'paths of a mirror in OpenBao', () => {
  let bao: OpenBao
  let service: Service
  let client: Client
  let env: Environment

  beforeAll(async () => {
    bao = await startOpenBao()
    await bao.mount('secret', 'kv', { version: '2' })
    await bao.mount('secret-prod', 'kv', { version: '2' })
    await bao.policy('keeper', keeperPolicy)
    await bao.policy('reader', readerPolicy)
    env = await readerEnvironment(bao)
    service = await startService({}, { backendOrigins: [bao.url] })
    client = service.client()
    await client.put('backends/vault', bytes(await bao.token({ policies: ['keeper'] })))
    await create('k3s', 'secret', 'k3s/{name}', ['app', 'place', 'other'])
    await create('prod', 'secret-prod', '{name}', ['postgres/*', 'sotto/*'], true)
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    await bao?.[Symbol.asyncDispose]()
  })

  async function create(
    name: string,
    mount: string,
    path: string,
    secrets: string[],
    isDefault = false,
  ): Promise<void> {
    const spec = mirroredBackend(bao.url, { secrets, path, onDrift: 'report', onDelete: 'remove' })
    if (!spec.Config) throw new Error('a backend without a config')
    const Config = { ...spec.Config, mount, pathPrefix: prefixes[name] ?? 'sotto' }
    await client.operate('backend-create', { ...spec, Name: name, Default: isDefault, Config })
  }

  /** Of backends that are not at the usual prefix. */
  const prefixes: Record<string, string> = { moving: 'moving', second: 'second' }

  const sync = (Backend: string) => client.operate('mirror-sync', { Backend, AcceptMount: false })

  const json = (program: string, ...args: string[]) => readJson(program, args, env)

  /** What each reader has of a path. */
  const readers: Record<string, (mount: string, path: string) => Promise<unknown>> = {
    hvac: async (mount, path) => {
      const script = join(here, 'hvac_read.py')
      const found = await json(requirePeer('readers-python'), script, bao.url, mount, path)
      return (found as Record<string, unknown>)[path]
    },
    'node-vault': async (mount, path) => {
      const script = join(here, 'node_vault_read.cjs')
      const found = await json(requirePeer('readers-node'), script, bao.url, mount, path)
      return (found as Record<string, unknown>)[path]
    },
    bao: async (mount, path) => {
      const args = ['kv', 'get', '-format=json', `-mount=${mount}`, path]
      const { data } = (await json(requirePeer('bao'), ...args)) as { data: { data: unknown } }
      return data.data
    },
  }

  test('S2-2, S2-3: a secret that lives there is read at its own name, from its activation on', async () => {
    const name = 'postgres/database/app'
    await client.put(name, bytes(JSON.stringify(database)))
    const { Records } = await client.operate('audit-query', { Secret: name, Newest: true })
    expect(Records.length).toBeGreaterThan(0)
    const home = `secret-prod/data/sotto/home/${name}/1`
    expect(await bao.must('GET', home)).toBeTruthy()
    await sync('prod')
    for (const [reader, read] of Object.entries(readers)) {
      expect([reader, await read('secret-prod', name)]).toEqual([reader, database])
    }
    await client.put(name, bytes(JSON.stringify({ ...database, password: 'next' })))
    await sync('prod')
    expect(await readers['bao']?.('secret-prod', name)).toEqual(database)
    await client.activate(name, 2)
    await sync('prod')
    for (const [reader, read] of Object.entries(readers)) {
      const found = await read('secret-prod', name)
      expect([reader, found]).toEqual([reader, { ...database, password: 'next' }])
    }
    const { Value } = await client.get(name)
    expect(JSON.parse(Buffer.from(Value).toString())).toEqual({ ...database, password: 'next' })
  })

  test('S2-22: a mirror in a folder of its own', async () => {
    await client.put('app', bytes('{"token":"t"}'))
    await sync('k3s')
    for (const [reader, read] of Object.entries(readers)) {
      expect([reader, await read('secret', 'k3s/app')]).toEqual([reader, { token: 't' }])
    }
  })

  test('what somebody made at such a path is reported, and never written over', async () => {
    await bao.must('POST', 'secret/data/k3s/other', { data: { mine: 'yes' } })
    await client.put('other', bytes('ours'))
    await sync('k3s')
    expect(await readers['bao']?.('secret', 'k3s/other')).toEqual({ mine: 'yes' })
    const [status] = await client.operate('mirror-status', { Backend: 'k3s' })
    expect(JSON.stringify(status)).toContain('someone else made it there')
  })

  test('a name whose path is among what Sotto keeps is not shown', async () => {
    for (const name of ['sotto/place', 'sotto/home/postgres/database/app/1']) {
      await client.put(name, bytes('stranger'))
    }
    const leaf = async () => {
      const { data } = await bao.must('GET', 'secret-prod/data/sotto/home/postgres/database/app/1')
      return data
    }
    const before = await leaf()
    await sync('prod')
    const [status] = await client.operate('mirror-status', { Backend: 'prod' })
    expect(status).toMatchObject({ Counts: { failed: 2 } })
    expect(JSON.stringify(status)).toContain('its path is one that Sotto keeps for itself')
    // Nor by an operator who takes over what others made.
    await client.operate('mirror-sync', { Backend: 'prod', OnDrift: 'adopt', AcceptMount: false })
    expect(await leaf()).toEqual(before)
    for (const name of ['sotto/place', 'sotto/home/postgres/database/app/1']) {
      await client.delete(name)
    }
    await sync('prod')
    expect(await leaf()).toEqual(before)
  })

  test('another path is another place: the old copy stays, and is not called drift', async () => {
    await create('moving', 'secret', 'one/{name}', ['moved'])
    await client.put('moved', bytes('x'))
    await sync('moving')
    const spec = mirroredBackend(bao.url, {
      secrets: ['moved'],
      path: 'two/{name}',
      onDrift: 'report',
      onDelete: 'keep',
    })
    if (!spec.Config) throw new Error('a backend without a config')
    const Config = { ...spec.Config, pathPrefix: 'moving' }
    await client.operate('backend-apply', { ...spec, Name: 'moving', Config })
    await sync('moving')
    const [status] = await client.operate('mirror-status', { Backend: 'moving' })
    expect(status).toMatchObject({ Counts: { ok: 1 } })
    for (const folder of ['one', 'two']) {
      expect(await bao.must('GET', `secret/data/${folder}/moved`)).toBeTruthy()
    }
  })

  test('paths within those of another backend are refused, before anything is written', async () => {
    for (const path of ['{name}', 'k3s/{name}', 'k3s/more/{name}', 'sotto/home/{name}']) {
      await expect(create('second', 'secret', path, ['a'])).rejects.toMatchObject({
        code: 'backend_exists',
      })
    }
    for (const path of ['{name}/x', '/{name}', '../{name}', 'a b/{name}', 'x', '']) {
      await expect(create('second', 'secret', path, ['a'])).rejects.toMatchObject({
        code: 'bad_request',
      })
    }
  })
})
