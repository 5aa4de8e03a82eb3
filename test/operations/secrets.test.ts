/** What is asked of secrets beyond the wire: history, the way back, a put that expects, and the long list. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OperationResponse } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import { everything } from '../support/service.ts'
import { type Elsewhere, sealed, spec, startElsewhere } from './elsewhere.ts'

const rule = (action: string, secret: string) => ({ action: action.split(' '), secret: [secret] })
const alice = { Hostname: 'root', IP: '127.0.0.1', User: 'root@example.com' }

let elsewhere: Elsewhere
let client: Client
let knower: Client

beforeAll(async () => {
  elsewhere = await startElsewhere({
    tailnet: {
      nodes: {
        '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
        '127.0.0.2': {
          name: 'knower',
          user: 'knower@example.com',
          rules: [rule('info', 'told/*'), rule('activate', 'back/*')],
        },
      },
    },
  })
  client = elsewhere.service.client()
  knower = elsewhere.service.client('127.0.0.2')
})

afterAll(() => elsewhere[Symbol.asyncDispose]())

const put = (name: string, value: string): Promise<number> => client.put(name, Buffer.from(value))
const history = (Name: string, as = client) => as.operate('secret-history', { Name })
const activate = (Name: string, more: { Version?: number; Expect?: number } = {}, as = client) =>
  as.operate('secret-activate', { Name, ...more })
const putExpecting = (Name: string, value: string, Expect: number, Activate = false) =>
  client.operate('secret-put', {
    Name,
    Value: Buffer.from(value).toString('base64'),
    Expect,
    Activate,
  })

/** Each version with its state and how often it was active. */
function told({ Versions }: OperationResponse<'secret-history'>) {
  return Versions.map(({ Version, State, Active }) => [Version, State, Active.length])
}

describe('history', () => {
  test('tells what became of each version, when, and by whom', async () => {
    for (const value of ['one', 'two', 'three']) await put('told/a', value)
    await client.activate('told/a', 3)
    await client.activate('told/a', 1)
    await client.deleteVersion('told/a', 2)
    const found = await history('told/a')
    const at = expect.stringMatching(/^\d{4}-.*Z$/)
    const act = { At: at, By: alice }
    expect(found).toEqual({
      Name: 'told/a',
      ActiveVersion: 1,
      Earlier: 0,
      Before: 3,
      Unsure: [],
      Versions: [
        { Version: 1, State: 'active', Put: act, Active: [{ ...act, Until: at }, act] },
        { Version: 2, State: 'deleted', Put: act, Active: [], Deleted: act },
        { Version: 3, State: 'staged', Put: act, Active: [{ ...act, Until: at }] },
      ],
    })
    const [first, , third] = found.Versions
    expect(first?.Active[0]?.Until).toBe(third?.Active[0]?.At)
    expect(third?.Active[0]?.Until).toBe(first?.Active[1]?.At)
  })

  test('without audit nobody is named; without info nothing is told', async () => {
    await put('told/quiet', 'one')
    const { Versions } = await history('told/quiet', knower)
    expect(JSON.stringify(Versions)).not.toContain('root')
    expect(Versions[0]?.Put?.At).toMatch(/Z$/)
    await expect(history('back/none', knower)).rejects.toMatchObject({ code: 'denied' })
  })

  test('tells a version that was active once it was put from one that was not', async () => {
    await put('told/numbers', 'one')
    await client.createVersion('told/numbers', 2, Buffer.from('two'))
    await put('told/numbers', 'three')
    await client.createVersion('told/numbers', 4, Buffer.from('four'))
    expect(told(await history('told/numbers'))).toEqual([
      [1, 'staged', 1],
      [2, 'staged', 1],
      [3, 'staged', 0],
      [4, 'active', 1],
    ])
    expect(await history('told/numbers')).toMatchObject({ Before: 2, Unsure: [] })
  })

  test('goes on over a secret that was deleted and made again', async () => {
    await put('told/again', 'one')
    await put('told/again', 'two')
    await client.delete('told/again')
    expect(await history('told/again')).toMatchObject({ ActiveVersion: 0, Before: 1 })
    await put('told/again', 'three')
    const found = await history('told/again')
    expect(told(found)).toEqual([
      [1, 'deleted', 1],
      [2, 'deleted', 0],
      [3, 'active', 1],
    ])
    expect(found.Versions[0]?.Active[0]?.Until).toBe(found.Versions[0]?.Deleted?.At)
  })

  test('knows what was active also of secrets that moved between backends', async () => {
    await put('told/moved', 'one')
    await client.operate('backend-create', spec('vault'))
    const move = { Name: 'told/moved', KeepSource: false }
    await client.operate('migrate-secret', { ...move, From: 'default', To: 'vault' })
    await client.createVersion('told/moved', 2, Buffer.from('two'))
    await put('told/moved', 'three')
    await client.operate('migrate-secret', { ...move, From: 'vault', To: 'default' })
    await put('told/moved', 'four')
    await client.createVersion('told/moved', 5, Buffer.from('five'))
    const found = await history('told/moved')
    expect(told(found).map(([, , count]) => count)).toEqual([1, 1, 0, 0, 1])
    expect(found.Unsure).toEqual([])
  })

  test('a number whose value never arrived is unused', async () => {
    await client.operate('backend-create', spec('far', { Default: true }))
    elsewhere.shared.before = (method) => {
      if (method === 'writeLeaf') throw sealed('told/lost')
    }
    await expect(put('told/lost', 'one')).rejects.toMatchObject({ code: 'backend_unavailable' })
    elsewhere.shared.before = () => {}
    await put('told/lost', 'two')
    expect(told(await history('told/lost'))).toEqual([
      [1, 'unused', 0],
      [2, 'active', 1],
    ])
  })
})

describe('the way back', () => {
  test('is to the version that was active before, not to the number before', async () => {
    for (const value of ['one', 'two', 'three', 'four']) await put('back/a', value)
    await client.activate('back/a', 4)
    expect(await activate('back/a', { Expect: 4 }, knower)).toEqual({ Version: 1, Was: 4 })
    expect(await client.info('back/a')).toMatchObject({ ActiveVersion: 1 })
    expect(await activate('back/a')).toEqual({ Version: 4, Was: 1 })
    expect(await activate('back/a', { Version: 2 })).toEqual({ Version: 2, Was: 4 })
  })

  test('changes nothing where another version is active than was expected', async () => {
    await put('back/expected', 'one')
    await put('back/expected', 'two')
    await client.activate('back/expected', 2)
    await expect(activate('back/expected', { Expect: 1 })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('version 2 is active, and not 1'),
    })
    const both = await Promise.allSettled([
      activate('back/expected', { Expect: 2 }),
      activate('back/expected', { Expect: 2 }),
    ])
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(await client.info('back/expected')).toMatchObject({ ActiveVersion: 1 })
  })

  test('is refused where there is no version before, or it is deleted', async () => {
    await put('back/first', 'one')
    await expect(activate('back/first')).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('No other version of "back/first" was ever active'),
    })
    await put('back/first', 'two')
    await client.activate('back/first', 2)
    await client.deleteVersion('back/first', 1)
    await expect(activate('back/first')).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('which was active before, is deleted'),
    })
    await expect(activate('back/first', { Version: 1 })).rejects.toMatchObject({
      code: 'not_found',
    })
    expect(await client.info('back/first')).toMatchObject({ ActiveVersion: 2 })
  })
})

describe('a put that expects the latest version', () => {
  test('adds one, or changes nothing', async () => {
    expect(await putExpecting('cas/a', 'one', 0)).toEqual({ Version: 1, Active: true })
    expect(await putExpecting('cas/a', 'two', 1)).toEqual({ Version: 2, Active: false })
    await expect(putExpecting('cas/a', 'three', 1)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('its latest version is 2, and not 1'),
    })
    await expect(putExpecting('cas/none', 'three', 1)).rejects.toMatchObject({ code: 'conflict' })
    expect(await client.info('cas/a')).toMatchObject({ Versions: [1, 2] })
    const both = await Promise.allSettled([
      putExpecting('cas/a', 'left', 2),
      putExpecting('cas/a', 'right', 2),
    ])
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  })

  test('activates it where that is asked for, also where the bytes were there already', async () => {
    await putExpecting('cas/active', 'one', 0)
    expect(await putExpecting('cas/active', 'two', 1, true)).toEqual({ Version: 2, Active: true })
    await putExpecting('cas/active', 'three', 2)
    expect(await putExpecting('cas/active', 'three', 3, true)).toEqual({ Version: 3, Active: true })
    expect(await client.info('cas/active')).toMatchObject({ ActiveVersion: 3 })
  })

  test('leaves the records of a put', async () => {
    const of = (secret: string) =>
      elsewhere
        .of('root')
        .filter((record) => record['secret'] === secret)
        .map(({ kind, action, verb, secretVersion, authorized }) => {
          return { kind, action, verb, secretVersion, authorized }
        })
    await put('cas/plain', 'one')
    await putExpecting('cas/same', 'one', 0)
    expect(of('cas/same')).toEqual(of('cas/plain'))
  })

  test('what is not base64 is refused, and never repeated', async () => {
    const sent = await elsewhere.send(1, 'secret-put', { Name: 'cas/x', Value: 'bm9?', Expect: 0 })
    expect(sent).toMatchObject({ status: 400, error: 'bad_request' })
    expect(sent.detail).toBe('Cannot read the request: field "Value": it is not standard base64')
  })
})

describe('the long list', () => {
  test('has what the caller may know of, when it was changed, and where it lives', async () => {
    await put('told/list', 'one')
    const named = ({ Secrets }: OperationResponse<'secret-list'>, name: string) =>
      Secrets.find(({ Name }) => Name === name)
    const before = named(await client.operate('secret-list', {}), 'told/list')
    expect(before).toEqual({
      Name: 'told/list',
      Versions: [1],
      ActiveVersion: 1,
      ChangedAt: expect.stringMatching(/Z$/),
      Backend: 'far',
    })
    await put('told/list', 'two')
    const after = named(await client.operate('secret-list', {}), 'told/list')
    expect(String(after?.ChangedAt) >= String(before?.ChangedAt)).toBe(true)
    expect(after?.ChangedAt).toBe((await history('told/list')).Versions.at(-1)?.Put?.At)
    const mine = await knower.operate('secret-list', {})
    expect(mine.Secrets.every(({ Name }) => Name.startsWith('told/'))).toBe(true)
    expect(named(mine, 'told/list')).not.toHaveProperty('Backend')
    const { Secrets } = await client.operate('secret-list', { Prefix: 'told/l' })
    expect(Secrets.map(({ Name }) => Name)).toEqual(['told/list', 'told/lost'])
    expect(named(await client.operate('secret-list', {}), 'told/again')?.Backend).toBe('default')
  })
})
