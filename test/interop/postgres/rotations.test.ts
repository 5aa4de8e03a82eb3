/** Rotations of two logins on a real PostgreSQL: nobody is refused, and no log has a password. */
import { createConnection, createServer } from 'node:net'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import pg from 'pg'
import { Client } from '../../../client/client.ts'
import { LONG, reaches, round, type Spec, statusOf } from '../../rotation/support.ts'
import { depth } from '../../support/depth.ts'
import { describeWith } from '../../support/peers.ts'
import { logIn, type Postgres, startPostgres } from '../../support/postgres.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { ADMIN, FIRST, first, pairConfig, setUpPair, singleConfig } from './setup.ts'

interface World {
  readonly postgres: Postgres
  readonly service: Service
  readonly run: () => Promise<unknown>
  readonly login: (client?: Client) => Promise<{ username: string; password: string }>
}

/** A server with a rotation of `prod/db` at a PostgreSQL. */
async function openWorld(
  undo: AsyncDisposableStack,
  make: (postgres: Postgres) => object = pairConfig,
  through: readonly string[] = [],
): Promise<World> {
  const postgres = undo.use(await startPostgres())
  await setUpPair(postgres)
  const rotationTargets = [postgres.server, ...through]
  const service = undo.use(await startService({}, { rotations: { rotationTargets } }))
  const client = service.client()
  await client.put('prod/db', bytes(first))
  await client.put('rotation/admin', bytes(ADMIN))
  await client.operate('rotation-create', { Name: 'db', Config: make(postgres) as Spec['Config'] })
  return {
    postgres,
    service,
    run: () => client.operate('rotation-run', { Name: 'db' }),
    login: async (by = new Client({ server: service.url, label: 'test' })) => {
      const { Value } = await by.get('prod/db')
      return JSON.parse(Buffer.from(Value).toString()) as { username: string; password: string }
    },
  }
}

const rotations = depth({ usual: 10, full: 100 })

describeWith(['postgres', 'initdb'], 'rotations on a PostgreSQL', () => {
  test(`${rotations} rotations of two logins: no login is refused, and no log has a password`, async () => {
    await using undo = new AsyncDisposableStack()
    const { postgres, service, run, login } = await openWorld(undo)
    const { port } = postgres
    const refused: string[] = []
    const count = { asked: 0, cached: 0 }
    const over = new AbortController()
    const isOn = (): boolean => !over.signal.aborted
    const attempt = async (who: keyof typeof count, user: string, password: string) => {
      await logIn(port, user, password).catch((error: unknown) =>
        refused.push(`${who} as ${user}: ${String(error)}`),
      )
      count[who]++
    }
    const program = (label: string): Client =>
      new Client({ server: service.url, localAddress: '127.0.0.2', label })
    const asking = async (): Promise<void> => {
      const client = program('asking')
      while (isOn()) {
        const { username, password } = await login(client)
        await attempt('asked', username, password)
      }
    }
    /** Uses what it has, and asks again after some logins. */
    const caching = async (): Promise<void> => {
      const client = program('caching')
      let found = await client.get('prod/db')
      while (isOn()) {
        const { username, password } = JSON.parse(Buffer.from(found.Value).toString())
        for (let times = 0; times < 8 && isOn(); times++) {
          await attempt('cached', username, password)
        }
        found = (await client.getIfChanged('prod/db', found.Version)) ?? found
      }
    }
    const programs = [asking(), caching()]
    for (let at = 1; at <= rotations; at++) {
      await run()
      await reaches(service, 'db', 'done', at)
    }
    over.abort()
    await Promise.all(programs)
    expect(refused).toEqual([])
    expect(Math.min(count.asked, count.cached)).toBeGreaterThan(rotations)

    const client = service.client()
    const { Versions } = await client.info('prod/db')
    expect(Versions).toHaveLength(rotations + 1)
    const passwords: string[] = []
    const works: unknown[] = []
    for (const version of Versions) {
      const { Value } = await client.getVersion('prod/db', version)
      const { username, password } = JSON.parse(Buffer.from(Value).toString())
      passwords.push(password)
      works.push(await logIn(port, username, password).catch(() => 'refused'))
    }
    expect(works).toEqual([...Array.from({ length: rotations }, () => 'refused'), 'app'])
    const logs = {
      postgres: postgres.log(),
      server: service.said.join('\n'),
      audit: auditText(service.state),
      status: JSON.stringify(await statusOf(service, 'db')),
    }
    expect(logs.postgres.match(/statement: ALTER ROLE "app_[ab]" WITH LOGIN/g)).toHaveLength(
      rotations,
    )
    expect(new Set(passwords).size).toBe(rotations + 1)
    for (const password of [...passwords.slice(1), ADMIN]) {
      for (const [name, log] of Object.entries(logs)) {
        expect([name, log.includes(password)]).toEqual([name, false])
      }
    }
  }, 900_000)

  test('takes over from a login that is in use, and leaves that to whoever made it', async () => {
    await using undo = new AsyncDisposableStack()
    const { postgres, service, run, login } = await openWorld(undo)
    const { port } = postgres
    await postgres.query("ALTER ROLE app LOGIN PASSWORD 'in use'; ALTER ROLE app_a NOLOGIN")
    const client = service.client()
    await client.put('prod/db', bytes('{"username":"app","password":"in use"}'))
    await client.activate('prod/db', 2)
    const old = { host: '127.0.0.1', port, user: 'app', password: 'in use', database: 'app' }
    const program = new pg.Client(old)
    await program.connect()
    try {
      await run()
      await reaches(service, 'db', 'converging')
      const { username, password } = await login()
      expect([username, await logIn(port, username, password)]).toEqual(['app_a', 'app'])
      const waits = async () => {
        await round(service)
        return (await statusOf(service, 'db')).Waits
      }
      await expect.poll(waits, LONG).toMatchObject({ Behind: 0, Unknown: 0, Sessions: 1 })
    } finally {
      await program.end()
    }
    await reaches(service, 'db', 'done')
    expect(await logIn(port, 'app', 'in use')).toBe('app')
    await run()
    await reaches(service, 'db', 'converging', 2)
    // The test is a holder, too.
    expect((await login()).username).toBe('app_b')
    await reaches(service, 'db', 'done', 2)
  })

  test('waits for a session of the old login that no holder tells of', async () => {
    await using undo = new AsyncDisposableStack()
    const { postgres, service, run, login } = await openWorld(undo)
    const { port } = postgres
    const old = new pg.Client({
      host: '127.0.0.1',
      port,
      user: 'app_a',
      password: FIRST,
      database: 'app',
    })
    await old.connect()
    try {
      await run()
      await reaches(service, 'db', 'converging')
      const waits = async () => {
        await round(service)
        return (await statusOf(service, 'db')).Waits
      }
      await expect.poll(waits, LONG).toMatchObject({ Behind: 0, Unknown: 0, Sessions: 1 })
      const { Step, Next } = await statusOf(service, 'db')
      expect([Step, Next]).toEqual([
        'converging',
        expect.stringContaining('1 sessions of the old one'),
      ])
      expect((await old.query('SELECT 1')).rowCount).toBe(1)
    } finally {
      await old.end()
    }
    await reaches(service, 'db', 'done')
    const { username, password } = await login()
    expect([username, await logIn(port, username, password)]).toEqual(['app_b', 'app'])
  })

  test('is not begun on a login in use, says so, and goes on when that is over', async () => {
    await using undo = new AsyncDisposableStack()
    const { postgres, service, run } = await openWorld(undo)
    await postgres.query("ALTER ROLE app_b LOGIN PASSWORD 'by hand'")
    const { port } = postgres
    const used = { host: '127.0.0.1', port, user: 'app_b', password: 'by hand', database: 'app' }
    const held = new pg.Client(used)
    await held.connect()
    try {
      await run()
      const found = async () => {
        await round(service)
        return statusOf(service, 'db')
      }
      await expect.poll(found, LONG).toMatchObject({ Step: 'planned', Error: 'rotation_refused' })
      expect((await service.client().info('prod/db')).Versions).toEqual([1])
      expect((await held.query('SELECT 1')).rowCount).toBe(1)
      expect(await logIn(port, 'app_b', 'by hand')).toBe('app')
    } finally {
      await held.end()
    }
    await reaches(service, 'db', 'done')
  })

  test('whose answer to the change is lost goes on with the same candidate', async () => {
    await using undo = new AsyncDisposableStack()
    let isCut = false
    const proxy = createServer((near) => {
      const far = createConnection({ host: '127.0.0.1', port: behind })
      for (const socket of [near, far]) socket.on('error', () => {})
      far.on('close', () => near.destroy())
      near.on('close', () => far.end())
      let isCutting = false
      near.on('data', (chunk: Buffer) => {
        isCutting = !isCut && chunk.includes('ALTER ROLE')
        far.write(chunk)
      })
      far.on('data', (chunk: Buffer) => {
        if (!isCutting) {
          near.write(chunk)
          return
        }
        // Done over there, and nobody hears of it.
        isCut = true
        near.destroy()
      })
    }).listen(0, '127.0.0.1')
    undo.defer(() => void proxy.close())
    await once(proxy, 'listening')
    const server = `postgres://127.0.0.1:${(proxy.address() as { port: number }).port}`
    let behind = 0
    const world = await openWorld(
      undo,
      (postgres) => {
        behind = postgres.port
        return pairConfig({ server })
      },
      [server],
    )
    const { service, run, postgres, login } = world
    await run()
    await reaches(service, 'db', 'done')
    expect(isCut).toBe(true)
    expect((await service.client().info('prod/db')).Versions).toEqual([1, 2])
    expect(postgres.log().match(/statement: ALTER ROLE "app_b" WITH LOGIN/g)).toHaveLength(1)
    const { username, password } = await login()
    expect(await logIn(postgres.port, username, password)).toBe('app')
  })

  test('of one login is done at once, and aborted it works as before', async () => {
    await using undo = new AsyncDisposableStack()
    const { postgres, service, run, login } = await openWorld(undo, (at) =>
      singleConfig(at, { converge: 'manual' }),
    )
    const works = async () => {
      const { username, password } = await login()
      return [username, await logIn(postgres.port, username, password)]
    }
    await run()
    await reaches(service, 'db', 'converging')
    expect(await works()).toEqual(['app_a', 'app'])
    await expect(logIn(postgres.port, 'app_a', FIRST)).rejects.toThrow('app_a')
    await service.client().operate('rotation-abort', { Name: 'db' })
    await reaches(service, 'db', 'aborted')
    expect((await login()).password).toBe(FIRST)
    expect(await works()).toEqual(['app_a', 'app'])
  })
})

function auditText(state: string): string {
  const directory = join(state, 'audit')
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('')
}
