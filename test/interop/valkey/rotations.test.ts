/** Rotations of a user of a real Valkey: nobody is refused, on no replica, after no restart; and nothing shows a password. */
import { connect } from 'node:net'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { rotationConfig } from '../../../client/api/rotations.ts'
import { Client } from '../../../client/client.ts'
import type { Kind, RunValues } from '../../../server/rotation/kinds/contract.ts'
import { kindsOn } from '../../../server/rotation/kinds/kinds.ts'
import { Targets } from '../../../server/rotation/targets.ts'
import { rotationKind } from '../../contract/rotation-kind.ts'
import { reaches } from '../../rotation/support.ts'
import { depth } from '../../support/depth.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes, startService } from '../../support/service.ts'
import { ROOT, send, startValkey, type Valkey } from '../../support/valkey.ts'

const FIRST = 'the first'
const first = JSON.stringify({ username: 'app', password: FIRST })
const previous = Buffer.from(first)
const secrets = { 'rotation/admin': ROOT }

const configOf = (servers: readonly Pick<Valkey, 'server'>[], more: object = {}) =>
  rotationConfig.parse({
    kind: 'valkey-acl',
    secret: 'prod/cache',
    servers: servers.map(({ server }) => server),
    admin: { user: 'default', secret: 'rotation/admin' },
    user: 'app',
    ...more,
  })

function kindOn(servers: readonly Pick<Valkey, 'server'>[], more: object = {}): Kind {
  const config = configOf(servers, more)
  const allowed = servers.map(({ server }) => server)
  return kindsOn(new Targets({ allowed }))(config)
}

const valuesOf = (candidate: Uint8Array): RunValues => ({
  candidate: async () => Buffer.from(candidate),
  previous: async () => Buffer.from(previous),
  secret: async () => Buffer.from(ROOT),
})
const none = valuesOf(Buffer.alloc(0))
const passwordIn = (value: Uint8Array): string =>
  (JSON.parse(Buffer.from(value).toString()) as { password: string }).password

const reset = (valkey: Valkey): Promise<string> =>
  valkey.command('default', ROOT, [
    'ACL',
    'SETUSER',
    'app',
    'reset',
    'on',
    `>${FIRST}`,
    '~app:*',
    '+@read',
    '+@write',
  ])

/** Logs in as a program does. Rejects where it is refused. */
async function logIn({ port }: Valkey, password: string): Promise<void> {
  const answer = await send(port, [['AUTH', 'app', password], ['QUIT']])
  if (!answer.startsWith('+OK')) throw new Error(answer)
}

describeWith(['valkey-server'], 'rotations on a Valkey', () => {
  let valkey: Valkey

  beforeAll(async () => {
    valkey = await startValkey()
  })

  beforeEach(() => reset(valkey))

  afterAll(() => valkey[Symbol.asyncDispose]())

  for (const shape of ['json', 'url', 'password']) {
    const before = {
      json: () => first,
      url: () => valkey.server.replace('valkey://', 'redis://app:the%20first@'),
      password: () => FIRST,
    }[shape] as () => string
    rotationKind(`valkey-acl ${shape}`, async () => {
      const kind = kindOn([valkey], { template: { shape } })
      await reset(valkey)
      const candidate = await kind.generate(Buffer.from(before()), none)
      return { kind, candidate, previous: Buffer.from(before()), secrets }
    })
  }

  test.each(['file', 'configuration'] as const)(
    'both passwords outlive a restart, by the %s, and so does that the old one is gone',
    async (users) => {
      await using server = await startValkey({ users })
      await reset(server)
      const kind = kindOn([server])
      const candidate = await kind.generate(previous, none)
      const restarted = async (): Promise<void> => {
        await server.kill()
        await server.start()
      }
      await kind.apply(valuesOf(candidate))
      await restarted()
      for (const password of [FIRST, passwordIn(candidate)]) await logIn(server, password)
      await kind.retire(valuesOf(candidate))
      await restarted()
      await logIn(server, passwordIn(candidate))
      await expect(logIn(server, FIRST)).rejects.toThrow('WRONGPASS')
    },
  )

  test('what would not outlive a restart, or leave a replica out, is not done', async () => {
    await using memory = await startValkey({ users: 'nowhere' })
    await reset(memory)
    const candidate = Buffer.from(JSON.stringify({ username: 'app', password: 'another' }))
    await expect(kindOn([memory]).apply(valuesOf(candidate))).rejects.toMatchObject({
      code: 'rotation_refused',
      message: expect.stringContaining('would not outlive a restart'),
    })
    await using replica = await startValkey({ replicaOf: valkey.port })
    await reset(replica)
    const role = (): Promise<string> => valkey.command('default', ROOT, ['ROLE'])
    await expect.poll(role, { timeout: 60_000 }).toContain(String(replica.port))
    await expect(kindOn([valkey]).generate(previous, none)).rejects.toMatchObject({
      code: 'rotation_refused',
      message: expect.stringContaining('1 replicas'),
    })
    const both = kindOn([valkey, replica])
    const made = await both.generate(previous, none)
    await both.apply(valuesOf(made))
    for (const server of [valkey, replica]) await logIn(server, passwordIn(made))
    await both.retire(valuesOf(made))
    for (const server of [valkey, replica]) {
      await expect(logIn(server, FIRST)).rejects.toThrow('WRONGPASS')
    }
  })

  test.each([
    ['another password', ['>one more'], /2 passwords/],
    ['no password', ['nopass'], /needs no password/],
    ['no way in', ['off'], /is off/],
    ['no such user', [], /There is no user/],
  ])('a user with %s is not begun with', async (what, rules, found) => {
    const words = rules.length > 0 ? ['SETUSER', 'app', ...rules] : ['DELUSER', 'app']
    await valkey.command('default', ROOT, ['ACL', ...words])
    const refused = kindOn([valkey]).generate(previous, none)
    await expect(refused, what).rejects.toMatchObject({
      code: 'rotation_refused',
      message: expect.stringMatching(found),
    })
  })

  const rotations = depth({ usual: 10, full: 100 })

  test(`${rotations} rotations: no login is refused, and nothing shows a password`, async () => {
    const monitor = connect({ host: '127.0.0.1', port: valkey.port })
    const seen: Buffer[] = []
    monitor.on('data', (chunk: Buffer) => seen.push(chunk))
    monitor.write(`AUTH default ${ROOT}\r\nMONITOR\r\n`)
    await using service = await startService(
      {},
      { rotations: { rotationTargets: [valkey.server] } },
    )
    const client = service.client()
    await client.put('prod/cache', bytes(first))
    await client.put('rotation/admin', bytes(ROOT))
    const Config = configOf([valkey])
    await client.operate('rotation-create', { Name: 'cache', Config })
    const over = new AbortController()
    const isOn = (): boolean => !over.signal.aborted
    const refused: string[] = []
    let logins = 0
    const attempt = async (value: string): Promise<void> => {
      await logIn(valkey, passwordIn(Buffer.from(value, 'base64'))).catch((error: unknown) =>
        refused.push(String(error)),
      )
      logins++
    }
    /** Asks again after so many logins. */
    const program = async (label: string, times: number): Promise<void> => {
      const own = new Client({ server: service.url, localAddress: '127.0.0.2', label })
      let found = await own.get('prod/cache')
      while (isOn()) {
        const value = Buffer.from(found.Value).toString('base64')
        for (let at = 0; at < times && isOn(); at++) await attempt(value)
        found = (await own.getIfChanged('prod/cache', found.Version)) ?? found
      }
    }
    const programs = [program('asking', 1), program('caching', 20)]
    for (let at = 1; at <= rotations; at++) {
      await client.operate('rotation-run', { Name: 'cache' })
      await reaches(service, 'cache', 'done', at)
    }
    over.abort()
    await Promise.all(programs)
    monitor.destroy()
    expect(refused).toEqual([])
    expect(logins).toBeGreaterThan(rotations)
    const audit = join(service.state, 'audit')
    const logs = {
      monitor: Buffer.concat(seen).toString(),
      valkey: valkey.log(),
      server: service.said.join('\n'),
      audit: readdirSync(audit)
        .map((name) => readFileSync(join(audit, name), 'utf8'))
        .join(''),
    }
    expect(logs.monitor).toContain('"ROLE"')
    const { Versions } = await client.info('prod/cache')
    expect(Versions).toHaveLength(rotations + 1)
    for (const version of Versions.slice(1)) {
      const password = passwordIn((await client.getVersion('prod/cache', version)).Value)
      for (const [name, log] of Object.entries(logs)) {
        expect([name, log.includes(password)]).toEqual([name, false])
      }
    }
  }, 900_000)
})
