/** Secrets move between backends, on a whole server: whole, once, and only for those who may. */
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import type { Backend } from '../../server/backends/contract.ts'
import type { World } from '../../server/start/server.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, everything, type Service, startService } from '../support/service.ts'

/** A server with the backends `one` and `two` beside its store. */
interface Two extends AsyncDisposable {
  readonly service: Service
  readonly client: Client
  readonly memory: Readonly<Record<'one' | 'two', SharedMemory>>
  /** Every call of a method of a backend, and what fails it. */
  readonly calls: string[]
  failing: (call: string) => boolean
}

async function start(world: World = {}): Promise<Two> {
  const memory = { one: new SharedMemory(), two: new SharedMemory() }
  const calls: string[] = []
  const two: Pick<Two, 'failing'> = { failing: () => false }
  for (const [name, shared] of Object.entries(memory)) {
    shared.before = (method, secret) => {
      const call = `${name} ${method} ${secret}`
      calls.push(call)
      if (!two.failing(call)) return
      throw new SottoError('backend_unavailable', `Cannot ${method}: ${name} is down`)
    }
  }
  const openBackend: World['openBackend'] = ({ pathPrefix }, { owner }): Backend =>
    new MemoryBackend(owner, memory[pathPrefix as 'one' | 'two'])
  const rules = [
    { action: ['migrate'], secret: ['*'] },
    { action: ['get'], secret: ['team/*'] },
    { action: ['info'], secret: ['prod/*'] },
  ]
  const service = await startService(
    { ...world, openBackend },
    {
      backendOrigins: [ORIGIN],
      tailnet: {
        nodes: {
          '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
          '127.0.0.2': { name: 'desk', user: 'op@example.com', rules },
          '127.0.0.3': {
            name: 'app',
            user: 'app@example.com',
            rules: [{ action: ['get'], secret: ['*'] }],
          },
        },
      },
    },
  )
  const client = service.client()
  await client.put('backends/token', bytes('the token'))
  for (const name of Object.keys(memory)) {
    await client.operate('backend-create', backendSpec(name, { pathPrefix: name }))
  }
  return Object.assign(two, {
    service,
    client,
    memory,
    calls,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  })
}

async function fill(client: Client, name = 'team/a'): Promise<void> {
  await client.put(name, bytes(`${name} one`))
  await client.put(name, bytes(`${name} two`))
  await client.createVersion(name, 7, bytes(`${name} seven`))
  await client.activate(name, 2)
  await client.put(name, bytes(`${name} eight`))
  await client.deleteVersion(name, 1)
}

/** All that a client can see of a secret. */
async function seen(client: Client, name = 'team/a'): Promise<unknown> {
  const info = await client.info(name)
  const values = await Promise.all(
    info.Versions.map(async (version) =>
      new TextDecoder().decode((await client.getVersion(name, version)).Value),
    ),
  )
  return { info, values, active: (await client.get(name)).Version }
}

const move = (From: string, To: string, more: object = {}) => ({
  Name: 'team/a',
  From,
  To,
  KeepSource: false,
  ...more,
})

const leaves = (memory: SharedMemory): string[] => [...memory.leaves.keys()].toSorted()
const three = ['["team/a",2]', '["team/a",7]', '["team/a",8]']

const homes = async (client: Client): Promise<unknown[]> =>
  (await client.operate('backend-list', {})).map(({ Name, Secrets, Leftovers }) => [
    Name,
    Secrets,
    Leftovers,
  ])

describe('a secret moves between backends', () => {
  test('with every version, pointer and number, and is gone where it was', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    const before = await seen(client)
    for (const [from, to] of [
      ['default', 'one'],
      ['one', 'two'],
      ['two', 'default'],
      ['default', 'two'],
    ] as const) {
      expect(await client.operate('migrate-secret', move(from, to))).toEqual({
        Result: 'migrated',
        Versions: 3,
      })
      expect(await seen(client), `${from} to ${to}`).toEqual(before)
      expect(leaves(memory.one)).toEqual(to === 'one' ? three : [])
      expect(leaves(memory.two)).toEqual(to === 'two' ? three : [])
      expect(await homes(client)).toEqual([
        ['default', to === 'default' ? 2 : 1, 0],
        ['one', to === 'one' ? 1 : 0, 0],
        ['two', to === 'two' ? 1 : 0, 0],
      ])
    }
    expect(await client.put('team/a', bytes('nine'))).toBe(9)
    await expect(client.createVersion('team/a', 1, bytes('x'))).rejects.toMatchObject({
      code: 'version_taken',
    })
  })

  test('each read of it and its flip are on the log, by whoever asked', async () => {
    await using two = await start()
    const { client, service } = two
    await fill(client)
    await service.client('127.0.0.2').operate('migrate-secret', move('default', 'one'))
    const records = service
      .records()
      .filter(({ principal, secret }) => {
        const { user } = (principal ?? {}) as { user?: string }
        return user === 'op@example.com' && secret === 'team/a'
      })
      .map(({ kind, action, operation, verb, secretVersion }) =>
        kind === 'change' ? [action, verb] : [action, operation, secretVersion],
      )
    const reads = records.slice(0, 3).map((each) => each.join(' '))
    expect(reads.toSorted()).toEqual([
      'get migrate-secret 2',
      'get migrate-secret 7',
      'get migrate-secret 8',
    ])
    expect(records.slice(3)).toEqual([['migrate', 'migrate']])
  })

  test('it takes migrate, and get on the secret', async () => {
    await using two = await start()
    const { client, service, calls } = two
    await fill(client)
    await fill(client, 'prod/a')
    const desk = service.client('127.0.0.2')
    const app = service.client('127.0.0.3')
    const denied = { code: 'denied' }
    await expect(app.operate('migrate-secret', move('default', 'one'))).rejects.toMatchObject(
      denied,
    )
    await expect(
      app.operate('migrate-plan', { From: 'default', To: 'one', Names: [], KeepSource: false }),
    ).rejects.toMatchObject(denied)
    const prod = move('default', 'one', { Name: 'prod/a' })
    await expect(desk.operate('migrate-secret', prod)).rejects.toMatchObject(denied)
    expect(calls).toEqual([])
    const plan = { From: 'default', To: 'one', Names: [], KeepSource: false }
    expect(await desk.operate('migrate-plan', plan)).toEqual({
      Secrets: [{ Name: 'team/a', Result: 'migrated' }],
      // What the token is kept in is not known to them.
      Hidden: 1,
    })
  })

  test('a plan shows what matches, and how much is there already', async () => {
    await using two = await start()
    const { client } = two
    for (const name of ['team/a', 'team/b', 'prod/a']) await client.put(name, bytes('one'))
    await client.operate('migrate-secret', move('default', 'one'))
    const plan = (Names: string[], From = 'default', To = 'one'): Promise<unknown> =>
      client.operate('migrate-plan', { From, To, Names, KeepSource: false })
    const secret = (Name: string, Reason?: string) =>
      Reason === undefined ? { Name, Result: 'migrated' } : { Name, Result: 'skipped', Reason }
    const there = 'it is there already'
    expect(await plan([])).toEqual({
      Secrets: [
        secret('backends/token', 'backend "one" logs in with it'),
        secret('prod/a'),
        secret('team/a', there),
        secret('team/b'),
      ],
      Hidden: 0,
    })
    expect(await plan(['team/*'])).toEqual({
      Secrets: [secret('team/a', there), secret('team/b')],
      Hidden: 0,
    })
    expect(await plan(['team/a'], 'default', 'two')).toEqual({
      Secrets: [secret('team/a', 'it is in another backend')],
      Hidden: 0,
    })
    // R4: a name that matches nothing is an error, and each is named.
    await expect(plan(['team/*', 'typo', 'x/*'])).rejects.toMatchObject({
      code: 'not_found',
      message: 'There is no secret for "typo", "x/*"',
    })
    await expect(plan([], 'default', 'none')).rejects.toMatchObject({ code: 'not_found' })
    await expect(plan([], 'one', 'one')).rejects.toMatchObject({ code: 'bad_request' })
  })

  test('a second time it is skipped, and so is what is elsewhere, gone, or a credential', async () => {
    await using two = await start()
    const { client, calls } = two
    await fill(client)
    await client.operate('migrate-secret', move('default', 'one'))
    calls.length = 0
    const skipped = async (reason: string, request: ReturnType<typeof move>): Promise<void> => {
      expect(await client.operate('migrate-secret', request)).toEqual({
        Result: 'skipped',
        Reason: expect.stringContaining(reason),
      })
    }
    await skipped('there already', move('default', 'one'))
    await skipped('in another backend', move('default', 'two'))
    await skipped('no such secret', move('default', 'one', { Name: 'team/none' }))
    await skipped('logs in with it', move('default', 'one', { Name: 'backends/token' }))
    expect(calls).toEqual([])
    await client.delete('team/a')
    await skipped('no such secret', move('one', 'two'))
  })

  test('what is kept at the source stays there until its version is deleted', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    await client.operate('migrate-secret', move('default', 'one'))
    await client.operate('migrate-secret', move('one', 'two', { KeepSource: true }))
    expect([leaves(memory.one), leaves(memory.two)]).toEqual([three, three])
    await client.operate('job-run', { Name: 'backends' })
    expect(leaves(memory.one)).toEqual(three)
    await client.deleteVersion('team/a', 7)
    await expect.poll(() => leaves(memory.one)).toEqual(['["team/a",2]', '["team/a",8]'])
    // And back, onto what was kept.
    const before = await seen(client)
    await client.operate('migrate-secret', move('two', 'one'))
    expect(await seen(client)).toEqual(before)
    expect((await homes(client)).slice(1)).toEqual([
      ['one', 1, 0],
      ['two', 0, 0],
    ])
  })

  test('R1: the store keeps the sealed values beside the references until the same move without it', async () => {
    await using two = await start()
    const { client, memory, calls } = two
    await fill(client)
    const before = await seen(client)
    const copies = async () =>
      (await client.operate('backend-list', {})).map(({ Name, Copies }) => [Name, Copies])
    const kept = move('default', 'one', { KeepSource: true })
    const plan = (KeepSource: boolean) =>
      client.operate('migrate-plan', { From: 'default', To: 'one', Names: ['team/a'], KeepSource })
    expect((await plan(true)).Secrets).toEqual([{ Name: 'team/a', Result: 'migrated' }])
    expect(await client.operate('migrate-secret', kept)).toEqual({
      Result: 'migrated',
      Versions: 3,
    })
    expect(await copies()).toEqual([
      ['default', 1],
      ['one', 0],
      ['two', 0],
    ])
    calls.length = 0
    expect(await seen(client)).toEqual(before)
    expect(calls).toContain('one readLeaf team/a')
    // What is done to the keys is done to what is kept.
    await client.operate('key-rotate', {})
    await expect
      .poll(async () => (await client.operate('key-status', {})).Entries.map(({ Id }) => Id), {
        timeout: 20_000,
      })
      .toEqual([2])
    expect((await plan(true)).Secrets).toMatchObject([{ Result: 'skipped' }])
    expect((await plan(false)).Secrets).toEqual([{ Name: 'team/a', Result: 'cleared' }])
    // To another backend, the store's own are no source; and back without the backend.
    await client.operate('migrate-secret', move('one', 'two'))
    expect((await copies())[0]).toEqual(['default', 1])
    two.failing = (call) => call.startsWith('two')
    const back = await client.operate('migrate-secret', move('two', 'default'))
    expect(back).toMatchObject({ Result: 'migrated', Reason: expect.stringContaining('waits') })
    expect(await seen(client)).toEqual(before)
    two.failing = () => false
    await client.operate('job-run', { Name: 'backends' })
    expect(leaves(memory.two)).toEqual([])
    // And until someone says otherwise.
    await client.operate('migrate-secret', kept)
    expect(await client.operate('migrate-secret', move('default', 'one'))).toEqual({
      Result: 'cleared',
      Versions: 3,
    })
    expect((await copies())[0]).toEqual(['default', 0])
    expect(await seen(client)).toEqual(before)
  })

  test('R6: what was kept at a backend is counted apart, and its deletion says how it goes', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    await client.operate('migrate-secret', move('default', 'one'))
    await client.operate('migrate-secret', move('one', 'default', { KeepSource: true }))
    const [, one] = await client.operate('backend-list', {})
    expect(one).toMatchObject({ Secrets: 0, Leftovers: 0, Copies: 1 })
    await expect(
      client.operate('backend-delete', { Name: 'one', LeaveValues: false }),
    ).rejects.toMatchObject({
      code: 'backend_in_use',
      message: 'Cannot delete backend "one": it has values of 1 secret kept elsewhere',
    })
    expect(await client.operate('migrate-secret', move('one', 'default'))).toMatchObject({
      Result: 'cleared',
    })
    expect(leaves(memory.one)).toEqual([])
    await client.operate('backend-delete', { Name: 'one', LeaveValues: false })
  })

  for (const [step, failing] of [
    ['while it is read', 'one readLeaf'],
    ['while it is written', 'two writeLeaf'],
    ['while it is read back', 'two readLeaf'],
  ] as const) {
    test(`it stays where it is when a backend fails ${step}, and the next attempt goes on`, async () => {
      await using two = await start()
      const { client, memory, calls } = two
      await fill(client)
      await client.operate('migrate-secret', move('default', 'one'))
      const before = await seen(client)
      let left = 1
      two.failing = (call) => call.startsWith(failing) && left-- <= 0
      await expect(client.operate('migrate-secret', move('one', 'two'))).rejects.toMatchObject({
        code: 'backend_unavailable',
      })
      two.failing = () => false
      expect(leaves(memory.one)).toEqual(three)
      expect(await seen(client)).toEqual(before)
      // What was written waits for the next attempt, and is found then.
      await client.operate('job-run', { Name: 'backends' })
      const written = leaves(memory.two)
      calls.length = 0
      expect(await client.operate('migrate-secret', move('one', 'two'))).toMatchObject({
        Result: 'migrated',
      })
      expect(leaves(memory.two)).toEqual(expect.arrayContaining(written))
      expect([leaves(memory.one), leaves(memory.two)]).toEqual([[], three])
      expect(await seen(client)).toEqual(before)
    })
  }

  test('what cannot be removed at the source is told, and removed later', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    await client.operate('migrate-secret', move('default', 'one'))
    two.failing = (call) => call.includes('removeLeaf')
    expect(await client.operate('migrate-secret', move('one', 'two'))).toEqual({
      Result: 'migrated',
      Versions: 3,
      Reason: expect.stringContaining('one is down'),
    })
    expect(leaves(memory.one)).toEqual(three)
    expect((await homes(client))[1]).toEqual(['one', 0, 3])
    two.failing = () => false
    expect(await client.operate('job-run', { Name: 'backends' })).toMatchObject({
      LastResult: 'ok',
    })
    expect(leaves(memory.one)).toEqual([])
  })

  test('A1: what waits to be removed at the source stays while the destination does not have it', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    const before = await seen(client)
    await client.operate('migrate-secret', move('default', 'one'))
    two.failing = (call) => call.includes('removeLeaf')
    await client.operate('migrate-secret', move('one', 'two'))
    two.failing = () => false
    // As a destination that came back from its own snapshot.
    const had = new Map(memory.two.leaves)
    memory.two.leaves.clear()
    const run = () => client.operate('job-run', { Name: 'backends' })
    await expect.poll(async () => (await run()).LastMessage).toContain('it is gone')
    expect(leaves(memory.one)).toEqual(three)
    for (const [key, leaf] of had) memory.two.leaves.set(key, leaf)
    await expect.poll(async () => (await run()).LastResult).toBe('ok')
    expect([leaves(memory.one), leaves(memory.two)]).toEqual([[], three])
    expect(await seen(client)).toEqual(before)
  })

  test('an orphan with another value is not taken over, and nothing is lost', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    const before = await seen(client)
    await client.operate('migrate-secret', move('default', 'one'))
    const [leaf] = memory.one.leaves.values()
    memory.two.leaves.set('["team/a",7]', {
      ...leaf,
      value: Buffer.from('x'),
    } as typeof leaf & {})
    await expect(client.operate('migrate-secret', move('one', 'two'))).rejects.toMatchObject({
      code: 'conflict',
    })
    expect(await seen(client)).toEqual(before)
  })

  test('a version that is put while the secret moves is not lost', async () => {
    await using two = await start()
    const { client, memory } = two
    await fill(client)
    let put: Promise<number> | undefined
    const { before } = memory.one
    memory.one.before = (method, name) => {
      before(method, name)
      if (method === 'writeLeaf') put ??= client.put('team/a', bytes('nine'))
    }
    await client.operate('migrate-secret', move('default', 'one'))
    expect(await put).toBe(9)
    expect(await client.info('team/a')).toMatchObject({ Versions: [2, 7, 8, 9] })
    expect(Buffer.from((await client.getVersion('team/a', 9)).Value).toString()).toBe('nine')
    expect((await homes(client))[1]).toEqual(['one', 1, 0])
  })
})
