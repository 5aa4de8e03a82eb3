/** Secrets move between backends, on a whole server: whole, once, and only for those who may. */
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import type { Backend } from '../../server/backends/contract.ts'
import type { World } from '../../server/start/server.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, everything, type Service, startService } from '../support/service.ts'

const ORIGIN = 'https://bao.example.com:8200'

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
  const openBackend: World['openBackend'] = ({ pathPrefix }, { storeId }): Backend =>
    new MemoryBackend(storeId, memory[pathPrefix as 'one' | 'two'])
  const rules = [
    { action: ['migrate'], secret: ['*'] },
    { action: ['get'], secret: ['team/*'] },
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
    await client.operate('backend-create', {
      Name: name,
      Type: 'openbao',
      Description: '',
      Default: false,
      Config: {
        url: ORIGIN,
        mount: 'secret',
        pathPrefix: name,
        tokenSecretRef: { name: 'backends/token' },
      },
    })
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
      app.operate('migrate-plan', { From: 'default', To: 'one', Names: [] }),
    ).rejects.toMatchObject(denied)
    const prod = move('default', 'one', { Name: 'prod/a' })
    await expect(desk.operate('migrate-secret', prod)).rejects.toMatchObject(denied)
    expect(calls).toEqual([])
    const plan = { From: 'default', To: 'one', Names: [] }
    expect(await desk.operate('migrate-plan', plan)).toEqual({
      Names: ['team/a'],
      There: 0,
      Hidden: 2,
    })
  })

  test('a plan shows what matches, and how much is there already', async () => {
    await using two = await start()
    const { client } = two
    for (const name of ['team/a', 'team/b', 'prod/a']) await client.put(name, bytes('one'))
    await client.operate('migrate-secret', move('default', 'one'))
    const plan = (Names: string[], From = 'default', To = 'one'): Promise<unknown> =>
      client.operate('migrate-plan', { From, To, Names })
    expect(await plan([])).toEqual({
      Names: ['backends/token', 'prod/a', 'team/b'],
      There: 1,
      Hidden: 0,
    })
    expect(await plan(['team/*'])).toEqual({ Names: ['team/b'], There: 1, Hidden: 0 })
    expect(await plan(['team/b', '*/a'])).toEqual({
      Names: ['prod/a', 'team/b'],
      There: 1,
      Hidden: 0,
    })
    expect(await plan(['none'])).toEqual({ Names: [], There: 0, Hidden: 0 })
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
    await expect(
      client.operate('migrate-secret', move('default', 'two', { KeepSource: true })),
    ).rejects.toMatchObject({ code: 'bad_request' })
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
      await expect
        .poll(() => seen(client).catch(() => undefined), { timeout: 5000 })
        .toEqual(before)
      // What was written waits for the next attempt, and is found then.
      await client.operate('job-run', { Name: 'backends' })
      const written = leaves(memory.two)
      calls.length = 0
      const again = () => client.operate('migrate-secret', move('one', 'two'))
      await expect
        .poll(() => again().catch(() => undefined), { timeout: 5000 })
        .toMatchObject({ Result: 'migrated' })
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
    await expect
      .poll(async () => (await client.operate('job-run', { Name: 'backends' })).LastResult, {
        timeout: 5000,
      })
      .toBe('ok')
    expect(leaves(memory.one)).toEqual([])
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
