/** Where a secret lives, how the server is logged in there, and who is told. */
import { expect, test } from 'vitest'
import { errorTable } from '../../client/api/errors.ts'
import { spec, startElsewhere } from './elsewhere.ts'

const Value = Buffer.from('one').toString('base64')
const info = { Name: 'prod/one', Versions: [1], ActiveVersion: 1 }

test('R7: info says in a header where a secret lives, to who may see backends; its body stays setec’s', async () => {
  await using elsewhere = await startElsewhere()
  const { send, service } = elsewhere
  await send(1, 'put', { Name: 'prod/one', Value })
  await send(1, 'put', { Name: 'victim/db', Value })
  await send(1, 'backend-create', spec('vault'))
  const where = async (from: number, Name: string) => {
    const body = (await send(from, 'info', { Name })).body
    const told = await service.client(`127.0.0.${from}`).describe(Name)
    return [body, told.Backend]
  }
  expect(await where(3, 'prod/one')).toEqual([JSON.stringify(info), 'default'])
  await send(1, 'migrate-secret', { Name: 'prod/one', From: 'default', To: 'vault' })
  expect(await where(1, 'prod/one')).toEqual([JSON.stringify(info), 'vault'])
  expect(await where(3, 'prod/one')).toEqual([JSON.stringify(info), 'vault'])
  // No backends:view; and with it, no info.
  expect((await where(4, 'victim/db'))[1]).toBeUndefined()
  expect((await send(9, 'info', { Name: 'prod/one' })).status).toBe(403)
  expect((await send(3, 'info', { Name: 'victim/db' })).status).toBe(403)
  expect((await service.post('list', {})).text).not.toMatch(/vault|default/)
})

test('R7: the secrets of a backend are listed to who may see backends, of those with info', async () => {
  await using elsewhere = await startElsewhere()
  const { send } = elsewhere
  for (const Name of ['prod/one', 'prod/two', 'victim/db']) await send(1, 'put', { Name, Value })
  await send(1, 'backend-create', spec('vault'))
  for (const Name of ['prod/two', 'victim/db']) {
    await send(1, 'migrate-secret', { Name, From: 'default', To: 'vault' })
  }
  const kept = async (from: number, Name: string) => {
    const { status, body } = await send(from, 'backend-secrets', { Name })
    return status === 200 ? (JSON.parse(body) as { Secrets: string[] }).Secrets : status
  }
  expect(await kept(1, 'vault')).toEqual(['prod/two', 'victim/db'])
  expect(await kept(1, 'default')).toEqual(['backends/token', 'prod/one'])
  expect(await kept(3, 'vault')).toEqual(['prod/two'])
  expect(await kept(9, 'vault')).toEqual([])
  expect(await kept(4, 'vault')).toBe(403)
  expect(await kept(1, 'none')).toBe(404)
})

test('S0-X3: describe says how the server is logged in, since when, and what failed last', async () => {
  await using elsewhere = await startElsewhere()
  const { send, shared } = elsewhere
  await send(1, 'backend-create', spec('vault'))
  const login = async (from: number, Name = 'vault') => {
    const { body } = await send(from, 'backend-describe', { Name })
    return (JSON.parse(body) as { Login?: Record<string, unknown> }).Login
  }
  expect(await login(1, 'default')).toBeUndefined()
  expect(await login(1)).toEqual({ Method: 'token', Inline: false })
  await send(1, 'backend-test', { Name: 'vault' })
  const counts = { logins: 1, failedLogins: 1, renewals: 1, failedRenewals: 0 }
  const found = 'it could not be reached (ECONNREFUSED)'
  shared.status = {
    ...counts,
    tokenTtlMs: 90_500,
    loggedInMs: 7_200_000,
    renewedMs: 60_000,
    lastFailure: { ms: 10_800_000, found, ofCredential: false },
  }
  const before = Date.now()
  const told = await login(1)
  const ago = (field: string): number => before - Date.parse(String(told?.[field]))
  expect(told).toMatchObject({ Method: 'token', TokenSeconds: 90, Failure: found })
  const hours = ['Since', 'Renewed', 'Failed'].map((field) => Math.round(ago(field) / 60_000))
  expect(hours).toEqual([120, 1, 180])
  // Only when one is described: a list is of what is set up.
  expect((await send(1, 'backend-list', {})).body).not.toContain('Login')
  // After a change it is opened again, and what was is not told of it.
  await send(1, 'backend-apply', spec('vault', {}, { mount: 'other' }))
  expect(await login(1)).toEqual({ Method: 'token', Inline: false })
})

test('B4: what a login met is bounded, and where its credential is stays for who may know every name', async () => {
  await using elsewhere = await startElsewhere()
  const { send, shared } = elsewhere
  await send(1, 'backend-create', spec('vault'))
  await send(1, 'backend-test', { Name: 'vault' })
  const failed = async (from: number, found: string, ofCredential: boolean) => {
    shared.status = {
      logins: 0,
      failedLogins: 1,
      renewals: 0,
      failedRenewals: 0,
      lastFailure: { ms: 0, found, ofCredential },
    }
    const { body } = await send(from, 'backend-describe', { Name: 'vault' })
    return (JSON.parse(body) as { Login: { Failure: string } }).Login.Failure
  }
  const damaged = 'cannot read version 1 of "backends/token"'
  expect(await failed(1, damaged, true)).toBe(damaged)
  expect(await failed(3, damaged, true)).toBe(errorTable.backend_refused.text)
  expect(await failed(9, damaged, true)).toBe(errorTable.backend_refused.text)
  expect(await failed(9, 'it is sealed', false)).toBe('it is sealed')
  expect((await failed(9, 'x'.repeat(10_000), false)).length).toBeLessThan(600)
})

test('S0-12: a field of a secret that was written as part of its name is told how to be given', async () => {
  await using elsewhere = await startElsewhere()
  const { send, service } = elsewhere
  const named = (name: string, key?: string) =>
    spec('vault', {}, { tokenSecretRef: { name, ...(key !== undefined && { key }) } })
  await service.client().put('bao-creds', Buffer.from('{"token":"s.x"}'))
  const hint = async (request: object) =>
    service
      .client()
      .operate('backend-create', request as ReturnType<typeof spec>)
      .then(
        () => undefined,
        (error: { code: string; hint?: string }) => [error.code, error.hint],
      )
  expect(await hint(named('bao-creds/token'))).toEqual([
    'not_found',
    'For the field "token" of the secret "bao-creds" give --token-secret "bao-creds" --token-key "token", or {name: "bao-creds", key: "token"} in a file.',
  ])
  const usual = ['not_found', 'Put the credential into a secret first.']
  expect(await hint(named('none/token'))).toEqual(usual)
  expect(await hint(named('bao-creds/token', 'key'))).toEqual(usual)
  // Who may not get the secret does not learn that it is there.
  await service.client().put('prod', Buffer.from('{}'))
  const { status, error } = await send(3, 'backend-create', named('prod/token'))
  expect([status, error]).toEqual([404, 'not_found'])
  const asked = service.client('127.0.0.3').operate('backend-create', named('prod/token'))
  await expect(asked).rejects.toMatchObject({ hint: usual[1] })
  expect(await hint(named('bao-creds', 'token'))).toBeUndefined()
})
