/** A whole server whose secrets are in a real OpenBao, under the least policy: how it logs in, and what fails. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OperationRequest } from '../../../client/api/operations.ts'
import { readServerConfig } from '../../../server/config/config.ts'
import { hostileNames } from '../../contract/backend.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { allow, specFor } from './elsewhere.ts'
import { leafPath, prepare } from './fixture.ts'

type Spec = OperationRequest<'backend-create'>
type Config = NonNullable<Spec['Config']>

const text = (value: Uint8Array): string => Buffer.from(value).toString()
/** Jobs remove what is left over. */
const soon = { timeout: 60_000, interval: 250 }

function spec(bao: OpenBao, more: Partial<Config> = {}): Spec {
  return {
    Name: 'vault',
    Type: 'openbao',
    Description: '',
    Default: true,
    Config: {
      url: bao.url,
      mount: 'secret',
      pathPrefix: 'sotto',
      tokenSecretRef: { name: 'backends/token' },
      ...more,
    },
  }
}

async function start(
  bao: OpenBao,
  options: { state?: string; token?: string } = {},
): Promise<Service> {
  const { state, token = await bao.token({ policies: ['least'] }) } = options
  const service = await startService(
    {},
    { backendOrigins: [bao.url], ...(state !== undefined && { state }) },
  )
  await service.client().put('backends/token', bytes(token))
  return service
}

describeWith(['bao'], 'a server with its secrets in OpenBao', () => {
  test('A2 (P14): it logs in as itself where its settings say, and in no namespace of others', async () => {
    using scratch = temporaryDirectory()
    await using bao = await startOpenBao()
    const args = await allow(bao, scratch.path)
    const attackers = { namespace: 'attackers' }
    await bao.must('POST', 'sys/namespaces/attackers', {})
    await bao.enableAuth('jwt', 'jwt', attackers)
    await bao.mount('secret', 'kv', { version: '2' }, attackers)
    const backends = readServerConfig(['--dev', ...args], {})
    await using own = await startService({}, { backends })
    const client = own.client()
    const refused = specFor(bao, 'evil')
    const evil = { ...refused, Config: { ...(refused.Config as Config), ...attackers } }
    await expect(client.operate('backend-create', evil)).rejects.toMatchObject({
      code: 'backend_not_allowed',
    })
    await client.operate('backend-create', specFor(bao, 'vault', true))
    expect(await client.operate('backend-test', { Name: 'vault' })).toMatchObject({ Ok: true })
    const logins = bao.audit().filter(({ request }) => request?.path.endsWith('login') === true)
    expect(new Set(logins.map(({ request }) => request.path))).toEqual(new Set(['auth/jwt/login']))
  })

  describe('on one that keeps its data', () => {
    let bao: OpenBao
    let service: Service

    beforeAll(async () => {
      bao = await startOpenBao({ storage: 'raft' })
      await prepare(bao)
      service = await start(bao)
      await service.client().operate('backend-create', spec(bao))
    })

    afterAll(async () => {
      await service[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
    })

    const got = (name: string): Promise<string> =>
      service
        .client()
        .get(name)
        .then(
          ({ Value }) => text(Value),
          (error: { code: string }) => error.code,
        )

    test('it proves that the least policy is enough', async () => {
      expect(await service.client().operate('backend-test', { Name: 'vault' })).toMatchObject({
        Ok: true,
        Product: expect.stringMatching(/^OpenBao \d/),
      })
    })

    test('every verb does what it does without', async () => {
      const client = service.client()
      expect(await client.put('prod/a', bytes('one'))).toBe(1)
      expect(await client.put('prod/a', bytes('two'))).toBe(2)
      expect(await client.put('prod/a', bytes('two'))).toBe(2)
      await client.createVersion('prod/a', 9, bytes('nine'))
      await client.activate('prod/a', 2)
      expect(await got('prod/a')).toBe('two')
      expect(text((await client.getVersion('prod/a', 9)).Value)).toBe('nine')
      await client.deleteVersion('prod/a', 1)
      const leaf = { name: 'prod/a', incarnation: 1, version: 1 }
      await expect
        .poll(async () => (await bao.call('GET', leafPath('metadata', leaf))).status, soon)
        .toBe(404)
      await client.delete('prod/a')
      expect(await got('prod/a')).toBe('not_found')
      expect(await client.put('prod/a', bytes('again'))).toBe(10)
      expect(await got('prod/a')).toBe('again')
    })

    test('names stay what they are, and bytes too', async () => {
      const client = service.client()
      const names = hostileNames.filter((name) => !/\p{Control}/u.test(name))
      for (const name of names) await client.put(name, bytes(`value of ${name}`))
      for (const name of names) expect(await got(name), name).toBe(`value of ${name}`)
      const every = Uint8Array.from({ length: 256 }, (_, index) => index)
      await client.put('prod/bytes', every)
      expect(Buffer.from((await client.get('prod/bytes')).Value)).toEqual(Buffer.from(every))
      await client.put('prod/empty', new Uint8Array(0))
      expect((await client.get('prod/empty')).Value).toHaveLength(0)
    })

    test('a value that OpenBao does not take is refused by name', async () => {
      const large = new Uint8Array(1_200_000)
      await expect(service.client().put('prod/large', large)).rejects.toMatchObject({
        code: 'backend_too_large',
      })
      expect(await got('prod/large')).toBe('not_found')
    })

    test('R12: sealed, killed and started again: a bounded error that names it, and at once the values', async () => {
      const client = service.client()
      await client.put('prod/kept', bytes('kept'))
      for (const [fail, mend] of [
        [() => bao.seal(), () => bao.unseal()],
        [
          () => bao.kill(),
          async () => {
            await bao.start()
            await bao.unseal()
          },
        ],
      ] as const) {
        await fail()
        const began = performance.now()
        expect(await got('prod/kept')).toBe('backend_unavailable')
        expect(performance.now() - began).toBeLessThan(15_000)
        await expect(client.put('prod/kept', bytes('more'))).rejects.toMatchObject({
          code: 'backend_unavailable',
        })
        expect(await got('backends/token')).toMatch(/^s\./)
        expect(await client.getIfChanged('prod/kept', 1)).toBeUndefined()
        await mend()
        expect(await got('prod/kept')).toBe('kept')
      }
      expect(await client.put('prod/kept', bytes('more'))).toBe(2)
    })

    test('what somebody else does there is told: altered, deleted, removed', async () => {
      const client = service.client()
      const leaf = { name: 'prod/other', incarnation: 1, version: 1 }
      await client.put('prod/other', bytes('mine'))
      const { data } = (await bao.must('GET', leafPath('data', leaf))).data
      const altered = { ...data, value: Buffer.from('theirs').toString('base64') }
      await bao.must('POST', leafPath('data', leaf), { data: altered })
      expect(await got('prod/other')).toBe('backend_altered')
      await bao.must('DELETE', leafPath('data', leaf))
      expect(await got('prod/other')).toBe('backend_altered')
      await bao.must('DELETE', leafPath('metadata', leaf))
      expect(await got('prod/other')).toBe('backend_altered')
      expect(await client.put('prod/other', bytes('anew'))).toBe(2)
      await client.activate('prod/other', 2)
      expect(await got('prod/other')).toBe('anew')
    })

    test('a new token is put as a version, and counts from then on', async () => {
      const client = service.client()
      await client.put('prod/token', bytes('one'))
      await bao.revoke(text((await client.get('backends/token')).Value))
      expect(await got('prod/token')).toMatch(/^backend_/)
      const version = await client.put(
        'backends/token',
        bytes(await bao.token({ policies: ['least'] })),
      )
      await client.activate('backends/token', version)
      await client.operate('backend-apply', { ...spec(bao), Description: 'opened anew' })
      expect(await got('prod/token')).toBe('one')
    })
  })

  test('it logs in with AppRole and with a password, whose proofs are secrets of its own', async () => {
    await using bao = await startOpenBao()
    await prepare(bao)
    await bao.enableAuth('approle', 'approle')
    await bao.must('POST', 'auth/approle/role/sotto', { token_policies: ['least'] })
    const { role_id } = (await bao.must('GET', 'auth/approle/role/sotto/role-id')).data
    const { secret_id } = (await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})).data
    await bao.enableAuth('userpass', 'userpass')
    await bao.must('POST', 'auth/userpass/users/sotto', {
      password: 'p4ss',
      token_policies: ['least'],
    })
    await using service = await start(bao)
    const client = service.client()
    await client.put('backends/role', bytes(JSON.stringify({ secret: secret_id })))
    await client.put('backends/password', bytes('p4ss\n'))
    const logins: Partial<Config>[] = [
      {
        pathPrefix: 'sotto/role',
        auth: {
          method: 'approle',
          roleId: role_id,
          secretIdSecretRef: { name: 'backends/role', key: 'secret' },
        },
      },
      {
        pathPrefix: 'sotto/password',
        auth: {
          method: 'userpass',
          username: 'sotto',
          passwordSecretRef: { name: 'backends/password' },
        },
      },
    ]
    for (const [at, login] of logins.entries()) {
      const { tokenSecretRef: _, ...config } = { ...spec(bao).Config, ...login } as Config
      await client.operate('backend-create', { ...spec(bao), Name: `by-${at}`, Config: config })
      expect(await client.operate('backend-test', { Name: `by-${at}` })).toMatchObject({ Ok: true })
      await client.put(`prod/${at}`, bytes('one'))
      expect(text((await client.get(`prod/${at}`)).Value)).toBe('one')
    }
    const shown = JSON.stringify(await client.operate('backend-list', {}))
    for (const secret of [role_id, secret_id, 'p4ss', 'backends/role']) {
      expect(shown).not.toContain(secret)
    }
    // S0-X3: how it is logged in, without what logs in.
    const { Login, ...described } = await client.operate('backend-describe', { Name: 'by-1' })
    expect(Login).toMatchObject({ Method: 'userpass', Inline: false, Since: expect.any(String) })
    expect(Login?.TokenSeconds).toBeGreaterThan(0)
    expect(Login?.Failed).toBeUndefined()
    await bao.seal()
    await expect(client.get('prod/1')).rejects.toMatchObject({ code: 'backend_unavailable' })
    await bao.unseal()
    expect(text((await client.get('prod/1')).Value)).toBe('one')
    expect(JSON.stringify([Login, described])).not.toMatch(/hvs|s\.[A-Za-z0-9]{20}/)
  })

  test('S0-31: with inline login each call proves who calls, and OpenBao keeps no token', async () => {
    await using bao = await startOpenBao()
    await prepare(bao)
    await bao.enableAuth('approle', 'approle')
    await bao.policy('mount', 'path "sys/mounts/secret" { capabilities = ["read"] }')
    await bao.must('POST', 'auth/approle/role/sotto', { token_policies: ['marking'] })
    const { role_id: roleId } = (await bao.must('GET', 'auth/approle/role/sotto/role-id')).data
    const made = (await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})).data
    await using service = await start(bao)
    const client = service.client()
    await client.put('backends/role', bytes(made.secret_id))
    const secretIdSecretRef = { name: 'backends/role' }
    const auth = { method: 'approle', roleId, secretIdSecretRef, inline: true } as const
    const { tokenSecretRef: _, ...config } = spec(bao).Config as Config
    const mirror: Config['mirror'] = {
      secrets: ['shown/*'],
      onDrift: 'report',
      onDelete: 'remove',
    }
    await client.operate('backend-create', { ...spec(bao), Config: { ...config, auth, mirror } })
    const tokens = async (): Promise<number> =>
      (await bao.must('GET', 'auth/token/accessors?list=true')).data.keys.length
    const before = await tokens()
    expect(await client.operate('backend-test', { Name: 'vault' })).toMatchObject({
      Ok: false,
      Error: { Message: expect.stringContaining('do not let it read "sys/mounts/secret"') },
    })
    const token_policies = ['marking', 'mount']
    await bao.must('POST', 'auth/approle/role/sotto', { token_policies })
    expect(await client.operate('backend-test', { Name: 'vault' })).toMatchObject({
      Ok: true,
      Product: expect.stringMatching(/^OpenBao \d/),
    })
    await client.put('shown/a', bytes('one'))
    await client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false })
    expect(text((await client.get('shown/a')).Value)).toBe('one')
    const shown = await bao.must('GET', 'secret/data/sotto/active/shown/a')
    expect(shown.data).toMatchObject({ data: { value: 'one' } })
    expect(await tokens()).toBe(before)
    expect((await client.operate('backend-describe', { Name: 'vault' })).Login).toMatchObject({
      Method: 'approle',
      Inline: true,
      Since: expect.any(String),
    })
    // A secret id that is revoked is refused at once; another counts from its activation on.
    await bao.must('POST', 'auth/approle/role/sotto/secret-id/destroy', {
      secret_id: made.secret_id,
    })
    await expect(client.get('shown/a')).rejects.toMatchObject({ code: 'backend_refused' })
    const { Failure } = (await client.operate('backend-describe', { Name: 'vault' })).Login ?? {}
    expect(Failure).toContain('the approle login at "auth/approle" was refused')
    expect(Failure).not.toContain(made.secret_id)
    for (const record of bao.audit()) expect(JSON.stringify(record)).not.toContain(made.secret_id)
  })

  test('a restart finds the values, and a token that is not good is told', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    await using bao = await startOpenBao()
    await prepare(bao)
    {
      await using service = await start(bao, { state })
      await service.client().operate('backend-create', spec(bao))
      await service.client().put('prod/a', bytes('one'))
    }
    {
      await using service = await startService({}, { state, backendOrigins: [bao.url] })
      expect(text((await service.client().get('prod/a')).Value)).toBe('one')
      await bao.revoke(text((await service.client().get('backends/token')).Value))
    }
    await using service = await startService({}, { state, backendOrigins: [bao.url] })
    const { status, headers } = await service.post('get', { Name: 'prod/a' })
    expect([status, headers.get('sotto-error')]).toEqual([502, 'backend_refused'])
    expect(await service.client().operate('backend-test', { Name: 'vault' })).toMatchObject({
      Ok: false,
      Error: { Code: 'backend_refused', Hint: expect.any(String) },
    })
  })
})
