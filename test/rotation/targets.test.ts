/** What a rotation may reach, what it may be called there, and the values that log in. */
import { describe, expect, test } from 'vitest'
import { type RotationConfig, rotationConfig } from '../../client/api/rotations.ts'
import { kindsOn } from '../../server/rotation/kinds/kinds.ts'
import { loginIn, loginValue } from '../../server/rotation/login-value.ts'
import { Targets } from '../../server/rotation/targets.ts'
import { noValues } from '../contract/rotation-kind.ts'
import { bytes, everything, startService } from '../support/service.ts'
import type { Spec } from './support.ts'

const HERE = 'postgres://127.0.0.1:1'

const given = (more: object = {}) => ({
  kind: 'postgres-pair',
  secret: 'prod/db',
  server: HERE,
  database: 'app',
  admin: { user: 'sotto', secret: 'rotation/admin' },
  role: 'app',
  logins: ['app_a', 'app_b'],
  ...more,
})
type Pair = Extract<RotationConfig, { kind: 'postgres-pair' }>
const pair = (more: object = {}) => rotationConfig.parse(given(more)) as Pair
const single = (more: object = {}): RotationConfig => {
  const { role: _role, logins: _logins, ...rest } = given()
  return rotationConfig.parse({
    ...rest,
    kind: 'postgres-single',
    login: 'app',
    acceptGap: true,
    ...more,
  })
}

test('no act of a kind reaches a target that the settings do not allow, nor reads a value for it', async () => {
  const config = pair({ server: 'postgres://127.0.0.1:2' })
  const kind = kindsOn(new Targets({ allowed: [HERE] }))(config)
  expect(await kind.plan()).toEqual([expect.stringContaining('127.0.0.1:2')])
  const value = (username: string) => async () =>
    Buffer.from(JSON.stringify({ username, password: 'x' }))
  const values = { ...noValues, candidate: value('app_b'), previous: value('app_a') }
  const acts = [
    async () => kind.generate(await value('app_a')(), values),
    () => kind.apply(values),
    () => kind.accepts(values.candidate),
    () => kind.test(values),
    () => kind.sessions(values),
    () => kind.retire(values),
    () => kind.restore(values),
  ]
  for (const act of acts) {
    await expect(act()).rejects.toMatchObject({ code: 'rotation_not_allowed' })
  }
})

test('names are of few characters, and a gap is accepted in words', () => {
  const wrong = [
    { role: 'app"; DROP ROLE x' },
    { logins: ['app_a', 'app b'] },
    { logins: ['app_a', '1app'] },
    { logins: ['app_a', 'a'.repeat(64)] },
    { logins: ['app_a'] },
    { logins: ['app_a', 'app_a'] },
    { logins: ['app_a', 'app'] },
    { logins: ['app_a', 'sotto'] },
    { admin: { user: 'sotto', secret: 'prod/db' } },
    { database: 'app?x' },
    { server: 'postgres://127.0.0.1' },
    { server: 'postgres://u@127.0.0.1:1' },
    { server: 'https://127.0.0.1:1' },
    { server: 'postgres://127.0.0.1:1/app' },
    { template: { shape: 'password' } },
    { template: { shape: 'url', parameters: 'a b' } },
  ]
  for (const more of wrong) {
    expect([more, rotationConfig.safeParse(given(more)).success]).toEqual([more, false])
  }
  expect(rotationConfig.safeParse(given()).success).toBe(true)
  expect(() => single({ acceptGap: false })).toThrow(/acceptGap/)
  expect(() => single({ login: 'sotto' })).toThrow(/a name for each role/)
})

describe('values that log in', () => {
  const login = { username: 'app_a', password: 'p-_0' }
  test.each([
    [
      { shape: 'json', fields: { host: 'db' } },
      '{"host":"db","username":"app_a","password":"p-_0"}',
    ],
    [{ shape: 'url' }, 'postgresql://app_a:p-_0@127.0.0.1:1/app'],
    [
      { shape: 'url', parameters: 'sslmode=verify-full' },
      'postgresql://app_a:p-_0@127.0.0.1:1/app?sslmode=verify-full',
    ],
    [{ shape: 'password' }, 'p-_0'],
  ])('%j', (template, text) => {
    const config = single({ template }) as Extract<RotationConfig, { kind: 'postgres-single' }>
    const value = loginValue(config.template, login, 'postgresql://127.0.0.1:1/app')
    expect(Buffer.from(value).toString()).toBe(text)
    expect(loginIn(config.template, value, 'app_a')).toEqual(login)
    if (config.template.shape === 'password') return
    for (const other of [
      '',
      'x',
      'null',
      '[]',
      '{"username":"app"}',
      'https://a:b@c',
      'postgres://a@b',
    ]) {
      expect([other, loginIn(config.template, Buffer.from(other), 'app')]).toEqual([
        other,
        undefined,
      ])
    }
  })
})

test('who sets a rotation up, or changes what logs in for it, may get every secret of it, before and after', async () => {
  await using service = await startService({}, { rotations: { rotationTargets: [HERE] } })
  const root = service.client()
  for (const name of ['prod/db', 'rotation/admin', 'rotation/other'])
    await root.put(name, bytes('x'))
  const spec = (more: object = {}): Spec => ({ Name: 'db', Config: given(more) as Spec['Config'] })
  await root.operate('rotation-create', spec())
  const other = { admin: { user: 'sotto', secret: 'rotation/other' } }
  const attempt = async (secrets: readonly string[]) => {
    service.policy({
      nodes: {
        '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
        '127.0.0.2': {
          name: 'editor',
          user: 'e@example.com',
          rules: [
            { action: ['rotation:edit'], secret: ['*'] },
            { action: ['get', 'put', 'activate'], secret: ['prod/*'] },
            { action: ['get'], secret: [...secrets] },
          ],
        },
      },
    })
    return service.client('127.0.0.2').operate('rotation-apply', spec(other))
  }
  for (const name of ['rotation/admin', 'rotation/other']) {
    await expect(attempt([name])).rejects.toMatchObject({ code: 'denied' })
  }
  expect(await attempt(['rotation/admin', 'rotation/other'])).toMatchObject({ Result: 'changed' })
  await root.put('prod/other', bytes('x'))
  const { Config } = spec({ secret: 'prod/other', logins: ['app_b', 'app_c'] })
  const twice = root.operate('rotation-create', { Name: 'other', Config })
  await expect(twice).rejects.toMatchObject({ code: 'rotation_exists' })
  const far = root.operate('rotation-apply', spec({ server: 'postgres://127.0.0.1:2' }))
  await expect(far).rejects.toMatchObject({
    code: 'rotation_not_allowed',
    hint: expect.stringContaining('--rotation-target postgres://127.0.0.1:2'),
  })
})
