/** An OpenBao that hangs at one of the calls of a read or a write, and is back: who comes then is answered. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { BackendMetrics } from '../../../server/backends/metrics.ts'
import { OpenBaoBackend } from '../../../server/backends/openbao/backend.ts'
import { OpenBackends } from '../../../server/backends/opened.ts'
import type { BackendRegistry } from '../../../server/backends/registry.ts'
import { Registry } from '../../../server/metrics/registry.ts'
import type { Login } from '../../../server/openbao/login.ts'
import type { Adoption } from '../../../server/store/adoption.ts'
import { ownerOf } from '../../support/memory-backend.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { type Between, between } from './between.ts'
import { prepare, store } from './fixture.ts'

const leaf = { name: 'a', incarnation: 1, version: 1 }

describeWith(['bao'], 'an OpenBao that hung and is back', () => {
  let bao: OpenBao
  let proxy: Between
  let login: Login
  let backends: OpenBackends

  beforeAll(async () => {
    bao = await startOpenBao()
    await prepare(bao)
    await bao.enableAuth('approle', 'approle')
    await bao.must('POST', 'auth/approle/role/sotto', { token_policies: ['least'] })
    const { role_id: roleId } = (await bao.must('GET', 'auth/approle/role/sotto/role-id')).data
    const { secret_id } = (await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})).data
    login = { method: 'approle', roleId, secretId: { read: async () => secret_id } }
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  beforeEach(async () => {
    proxy = await between(bao.url)
    const record = { id: 1, name: 'vault', mac: new Uint8Array([1]), config: { url: proxy.url } }
    backends = new OpenBackends({
      registry: {
        find: async () => record,
        all: async () => [record],
      } as unknown as BackendRegistry,
      owner: ownerOf(store),
      adoption: {
        demand: () => {},
        start: { number: 1, record: '0'.repeat(64) },
      } as unknown as Adoption,
      knows: async () => true,
      origins: [proxy.url],
      credential: async () => '',
      open: (_, { owner }) =>
        new OpenBaoBackend({
          address: { url: proxy.url },
          login,
          origins: [proxy.url],
          owner,
          waitMs: 1000,
        }),
      metrics: new BackendMetrics(new Registry()),
    })
  })

  afterEach(async () => {
    await backends.close()
    await proxy[Symbol.asyncDispose]()
  })

  test.each([
    ['the login', 'auth/approle/login', true],
    ['the look at the mount', 'sys/internal/ui/mounts/secret', true],
    ['the claim of the place', 'secret/data/sotto/place', true],
    ['the value itself', 'secret/data/sotto/home/a/1', false],
  ] as const)('R12: %s hung, and who came since is answered', async (_, path, isShared) => {
    const write = () => backends.change(1, (each) => each.writeLeaf(leaf, Buffer.from('one')))
    const hangs = Promise.withResolvers<void>()
    proxy.fate = (request) => {
      if (!request.path.startsWith(`/v1/${path}`)) return 'pass'
      hangs.resolve()
      return 'hang'
    }
    const before = write()
    await hangs.promise
    // It waits for what was begun before it.
    const meanwhile = write().catch(() => 'failed')
    const failed = await before.catch((error: Error) => {
      proxy.fate = () => 'pass'
      return error.message
    })
    expect(failed).toMatch(/it did not answer within \d+ ms$/)
    expect(await write()).toMatch(/^(?:written|present)$/)
    expect(await meanwhile).toMatch(isShared ? /^(?:written|present)$/ : /./)
    const value = await backends.use(1, (each) => each.readLeaf(leaf))
    expect(value?.toString()).toBe('one')
  })
})
