/** Two backends that are one place cannot both exist; and where they do, no value is lost. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { OperationRequest } from '../../../client/api/operations.ts'
import type { Client } from '../../../client/client.ts'
import { backendSpec } from '../../support/backend-spec.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { type Between, between } from './between.ts'
import type { Owner } from '../../../server/backends/contract.ts'
import { NO_BRANCH } from '../../../server/store/branch.ts'
import { ownerOf } from '../../support/memory-backend.ts'
import { backendOn, leafPath, prepare, store } from './fixture.ts'

type Spec = OperationRequest<'backend-create'>
type Config = NonNullable<Spec['Config']>

const leaf = { name: 'app/key', incarnation: 1, version: 1 }

describeWith(['bao'], 'two backends at one place', () => {
  let bao: OpenBao
  /** Another address of the same OpenBao. */
  let elsewhere: Between
  let service: Service
  let client: Client
  let localhost: string

  beforeAll(async () => {
    bao = await startOpenBao()
    await prepare(bao)
    localhost = bao.url.replace('127.0.0.1', 'localhost')
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  beforeEach(async () => {
    elsewhere = await between(bao.url)
    service = await startService({}, { backendOrigins: [bao.url, localhost, elsewhere.url] })
    client = service.client()
    await client.put('backends/token', bytes(bao.rootToken))
    await client.put('app/key', bytes('precious'))
    await client.operate('backend-create', spec('vault'))
  })

  afterEach(async () => {
    await service[Symbol.asyncDispose]()
    await elsewhere[Symbol.asyncDispose]()
    const folder = 'secret/metadata/sotto'
    for (const each of ['place', 'home/app/key/1']) await bao.must('DELETE', `${folder}/${each}`)
  })

  function spec(Name: string, more: Partial<Config> = {}): Spec {
    return backendSpec(Name, more, bao.url)
  }

  const move = (From: string, To: string) =>
    client.operate('migrate-secret', { Name: 'app/key', From, To, KeepSource: false })

  const got = async (): Promise<string> =>
    Buffer.from((await client.get('app/key')).Value).toString()

  const atPlace = async (): Promise<number> =>
    (await bao.call('GET', leafPath('metadata', leaf))).status

  test.each<[string, () => Partial<Config>]>([
    ['a second name', () => ({})],
    ['another address', () => ({ url: localhost })],
    ['a prefix within the other', () => ({ pathPrefix: 'sotto/home' })],
    ['a prefix around the other', () => ({ pathPrefix: 'sotto' })],
  ])('A1: a backend is refused that would be at the place of another: %s', async (_, more) => {
    const around = more().pathPrefix === 'sotto'
    const first = around ? 'inner' : 'vault'
    if (around) {
      await client.operate('backend-delete', { Name: 'vault', LeaveValues: false })
      await client.operate('backend-create', spec('inner', { pathPrefix: 'sotto/inner' }))
    }
    await move('default', first)
    await expect(client.operate('backend-create', spec('vault-eu', more()))).rejects.toMatchObject({
      code: 'backend_exists',
    })
    await client.operate('backend-create', spec('apart', { pathPrefix: 'sotto-apart' }))
    const edited = spec('apart', around ? { pathPrefix: 'sotto/inner/x' } : more())
    await expect(client.operate('backend-apply', edited)).rejects.toMatchObject({
      code: 'backend_exists',
    })
    expect(await got()).toBe('precious')
    await move(first, 'default')
  })

  test('A1: a namespace that is given once by itself and once in the mount is one place', async () => {
    await bao.must('POST', 'sys/namespaces/team')
    await bao.mount('kv', 'kv', { version: '2' }, { namespace: 'team' })
    await client.operate('backend-create', spec('team', { namespace: 'team', mount: 'kv' }))
    await move('default', 'team')
    await expect(
      client.operate('backend-create', spec('again', { mount: 'team/kv' })),
    ).rejects.toMatchObject({ code: 'backend_exists' })
    // The same names in other namespaces are other places.
    await bao.must('POST', 'sys/namespaces/other')
    await bao.mount('kv', 'kv', { version: '2' }, { namespace: 'other' })
    await client.operate('backend-create', spec('other', { namespace: 'other', mount: 'kv' }))
    await move('team', 'other')
    expect(await got()).toBe('precious')
  })

  test('A1: where values are kept, another address may not lead elsewhere', async () => {
    await move('default', 'vault')
    elsewhere.fate = ({ path }) =>
      path.startsWith('/v1/sys/internal/ui/mounts/')
        ? { status: 200, body: '{"data":{"type":"kv","options":{"version":"2"},"accessor":"x"}}' }
        : 'pass'
    const away = spec('vault', { url: elsewhere.url })
    await expect(client.operate('backend-apply', away)).rejects.toMatchObject({
      code: 'backend_in_use',
    })
    elsewhere.fate = () => 'pass'
    expect(await client.operate('backend-apply', away)).toMatchObject({ Result: 'changed' })
    expect(await got()).toBe('precious')
    expect(await move('vault', 'default')).toMatchObject({ Result: 'migrated' })
  })

  /** Makes `vault-eu` at the place of `vault`, which does not show then. */
  async function both(): Promise<void> {
    await move('default', 'vault')
    elsewhere.fate = () => ({ status: 503, body: '{"errors":["Vault is sealed"]}' })
    await client.operate('backend-create', spec('vault-eu', { url: elsewhere.url }))
    elsewhere.fate = () => 'pass'
    // What did not answer is left alone for a second, and a login that failed as long.
    await expect
      .poll(async () => (await client.operate('backend-test', { Name: 'vault-eu' })).Ok, {
        timeout: 20_000,
        interval: 200,
      })
      .toBe(true)
  }

  test('A1: a move between two that are one place is refused before anything is written', async () => {
    await both()
    elsewhere.seen.length = 0
    for (const [from, to] of [
      ['vault', 'vault-eu'],
      ['default', 'vault-eu'],
    ] as const) {
      if (from === 'default') await move('vault', 'default')
      await expect(move(from, to)).rejects.toMatchObject({ code: 'backend_refused' })
    }
    expect(elsewhere.seen.filter(({ method }) => method !== 'GET')).toEqual([])
    expect(await got()).toBe('precious')
  })

  test('A1: a place that names itself otherwise loses nothing either', async () => {
    await both()
    elsewhere.fate = ({ path }) =>
      path.startsWith('/v1/sys/internal/ui/mounts/')
        ? {
            status: 200,
            body: '{"data":{"type":"kv","options":{"version":"2"},"accessor":"kv_other"}}',
          }
        : 'pass'
    // The place says that it is the other backend's.
    await expect(move('vault', 'vault-eu')).rejects.toMatchObject({ code: 'backend_refused' })
    // Where it does not, the value does.
    await bao.must('DELETE', 'secret/metadata/sotto/place')
    await expect(move('vault', 'vault-eu')).rejects.toMatchObject({ code: 'conflict' })
    expect(await got()).toBe('precious')
    expect(await atPlace()).toBe(200)
    expect(await client.operate('backend-describe', { Name: 'vault' })).toMatchObject({
      Secrets: 1,
    })
  })

  test('A1: a store of its own is needed at each place: another store is refused', async () => {
    await move('default', 'vault')
    await using other = await startService({}, { backendOrigins: [bao.url] })
    const its = other.client()
    await its.put('backends/token', bytes(bao.rootToken))
    await its.put('app/other', bytes('of another store'))
    await its.operate('backend-create', spec('vault'))
    const moving = { Name: 'app/other', From: 'default', To: 'vault', KeepSource: false }
    await expect(its.operate('migrate-secret', moving)).rejects.toMatchObject({
      code: 'backend_refused',
      message: expect.stringContaining('keeps its values there'),
    })
    expect(await got()).toBe('precious')
  })

  test('A1: the value is read where it is now before it is removed where it was', async () => {
    await client.operate(
      'backend-create',
      spec('second', { url: elsewhere.url, pathPrefix: 'two' }),
    )
    await move('default', 'vault')
    const read = '/v1/secret/data/two/home/app/key/1'
    let reads = 0
    // Written and proven; then it is gone, and the move has passed the point of no return.
    elsewhere.fate = ({ method, path }) => {
      if (method !== 'GET' || path !== read) return 'pass'
      return ++reads > 1 ? { status: 404, body: '{"errors":[]}' } : 'pass'
    }
    expect(await move('vault', 'second')).toMatchObject({
      Result: 'migrated',
      Reason: expect.stringContaining('it is gone'),
    })
    expect(reads).toBeGreaterThan(1)
    expect(await atPlace()).toBe(200)
    elsewhere.fate = () => 'pass'
    expect(await got()).toBe('precious')
    await bao.must('DELETE', 'secret/metadata/two/place')
    await bao.must('DELETE', 'secret/metadata/two/home/app/key/1')
  })

  test('A1: a leaf of an earlier release is read, and removed where it proves to be ours', async () => {
    const gen = `${store}.1`
    const first = { branch: NO_BRANCH }
    const rules: [owner: Owner, outcome: string][] = [
      [ownerOf(store), 'conflict'],
      [ownerOf(store, first), 'removed'],
      [ownerOf(store, { former: [NO_BRANCH] }), 'removed'],
      [ownerOf('other', first), 'conflict'],
    ]
    const value = Buffer.from('precious')
    for (const [owner, outcome] of rules) {
      const data = { value: value.toString('base64'), gen }
      await bao.must('POST', leafPath('data', leaf), { data })
      const backend = await backendOn(bao, { owner })
      const read = await backend.readLeaf(leaf).catch(() => undefined)
      expect(read?.equals(value)).toBe(owner.store === store || undefined)
      // It may be another backend's: nothing shows that it is this one's.
      await expect(backend.writeLeaf(leaf, value)).rejects.toMatchObject({ code: 'conflict' })
      const removed = backend.removeLeaf(leaf).then(
        () => 'removed',
        (error: { code: string }) => error.code,
      )
      expect(await removed).toBe(outcome)
      expect(await atPlace()).toBe(outcome === 'removed' ? 404 : 200)
      await bao.must('DELETE', leafPath('metadata', leaf))
      await backend.close()
    }
  })
})
