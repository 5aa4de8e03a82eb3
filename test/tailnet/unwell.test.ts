/**
 * A tailscaled that is not well: nobody is let in, within a bounded time, the operator is told which
 * part it is, and service comes back by itself.
 */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../support/peers.ts'
import type { Caller } from './caller.ts'
import type { Control } from './control.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { until } from './until.ts'
import { type Ailment, UnwellDaemon } from './unwell-daemon.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'unshare', 'nsenter', 'ip'] as const

/**
 * How long a request may wait: 2 s for an answer to somebody else, 2 s for one of its own, and then
 * some for a machine that is busy.
 */
const BOUND_MS = 5000
/** A device whose peer began again may hold on to the session before for a while. */
const SESSION_MS = 30_000

describeWith(peers, 'a tailscaled that is not well', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  let daemon: UnwellDaemon
  let socket: string
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({ devices: ['user', 'admin'] })
    socket = join(tailnet.underlay.directory, 'unwell.sock')
    daemon = await UnwellDaemon.start(socket, tailnet.node('server').socket)
    server = await SottoServer.start(tailnet, { socket })
    await server.putAll({ 'dev/db': 'dev value' })
  })
  afterEach(() => daemon.fallIll('none'))
  afterAll(async () => {
    await tailnet?.close()
    await daemon?.close()
  })

  async function get(caller: Caller): Promise<number> {
    return (await caller.call('get', { Name: 'dev/db' })).status
  }

  /** Resolves when the last that the operator was told of the daemon itself has `text` in it. */
  async function told(text: string): Promise<void> {
    const isTold = () => {
      const words = server
        .log()
        .match(/^.*(?:asked for status|asked for the bus|answers again).*$/gm)
      return words?.at(-1)?.includes(text) === true
    }
    await until(isTold, text, () => server.log())
  }

  async function servesAgain(): Promise<void> {
    await until(
      async () => (await get(await server.connect('user'))) === 200,
      'service',
      () => server.log(),
      SESSION_MS,
    )
  }

  test.for<Ailment>(['garbage', 'other-shape', 'error', 'endless', 'hang-up', 'silence'])(
    'it answers with %s',
    async (ailment) => {
      const caller = await server.connect('user')
      expect(await get(caller)).toBe(200)
      const before = server.log().length
      daemon.fallIll(ailment)

      const began = performance.now()
      const { status, body } = await (await server.connect('user')).call('get', { Name: 'dev/db' })
      expect(performance.now() - began).toBeLessThan(BOUND_MS)
      expect({ status, body: body.trim() }).toStrictEqual({
        status: 500,
        body: 'unable to identify caller',
      })
      // The log says the same thing a few times a minute only; the audit log has every reason.
      const reasons = (await server.records()).flatMap((record) =>
        record.kind === 'unidentified' ? [record.reason] : [],
      )
      expect(`${reasons.at(-1)}${server.log().slice(before)}`).toContain(socket)

      const asked = performance.now()
      const ready = await (await server.connect('user')).send('GET', '/readyz')
      expect(performance.now() - asked).toBeLessThan(BOUND_MS)
      expect(ready.status).toBe(503)
      expect(JSON.parse(ready.body)).toMatchObject({ identity: 'failed', store: 'ok', audit: 'ok' })

      daemon.fallIll('none')
      await servesAgain()
      const well = await (await server.connect('user')).send('GET', '/readyz')
      expect(well.status).toBe(200)
    },
  )

  test('it is slow, and within the bound: requests are served', async () => {
    daemon.fallIll('slowness')
    const caller = await server.connect('user')
    const began = performance.now()
    expect(await get(caller)).toBe(200)
    expect(performance.now() - began).toBeGreaterThan(700)
  })

  test('its answer is late: a request that came after the question gets an answer of its own', async () => {
    const { control, grants } = tailnet
    const [early, late] = await Promise.all([server.connect('user'), server.connect('user')])
    expect([await get(early), await get(late)]).toStrictEqual([200, 200])
    daemon.fallIll('lateness')
    const answered = daemon.answered
    const before = get(early)
    await until(() => daemon.answered > answered, 'the early answer')
    await control.setGrants([grants.network, grants.admin])
    const [ip = ''] = await tailnet.node('user').addresses()
    await until(async () => (await tailnet.node('server').whois(ip))?.CapMap === null, 'the change')
    const after = get(late)
    expect([await before, await after]).toStrictEqual([200, 403])
    await control.setGrants(Object.values(grants))
  })

  test.for<NodeJS.Signals>(['SIGTERM', 'SIGKILL'])(
    'it ends by %s and is started again',
    async (signal) => {
      const node = tailnet.node('server')
      const caller = await server.connect('user')
      expect(await get(caller)).toBe(200)
      await node.stop(signal)
      await told(socket)
      node.start()
      await node.awaitPeers(2)
      await servesAgain()
      await told('answers again')
    },
  )
})

describeWith(peers, 'a tailscaled in userspace mode that stops', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({ devices: ['user', 'admin'], server: { userspace: true } })
    server = await SottoServer.start(tailnet, { args: ['--userspace'] })
    await server.putAll({ 'dev/db': 'dev value' })
  })
  afterAll(() => tailnet?.close())

  test('readyz says so on loopback, which does not go away', async () => {
    const node = tailnet.node('server')
    const readyz = async () => {
      const caller = await server.connect('server', { address: '127.0.0.1' })
      return (await caller.send('GET', '/readyz')).status
    }
    expect(await readyz()).toBe(200)
    await node.stop()
    const began = performance.now()
    expect(await readyz()).toBe(503)
    expect(performance.now() - began).toBeLessThan(BOUND_MS)
    node.start()
    await node.awaitPeers(2)
    await until(async () => (await readyz()) === 200, 'readiness')
    const caller = await server.connect('user')
    expect((await caller.call('get', { Name: 'dev/db' })).status).toBe(200)
  })
})

describeWith(peers, 'a tailscaled out of touch with its control server', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({ devices: ['user', 'admin'] })
    server = await SottoServer.start(tailnet, { args: ['--stale-after', '2s'] })
    await server.putAll({ 'dev/db': 'dev value' })
  })
  afterAll(() => tailnet?.close())

  test('is trusted for as long as the setting says', async () => {
    const caller = await server.connect('user')
    tailnet.control.signal('SIGKILL')
    const began = performance.now()
    expect((await caller.call('get', { Name: 'dev/db' })).status).toBe(200)
    await until(async () => {
      const { status } = await (await server.connect('user')).call('get', { Name: 'dev/db' })
      return status === 500
    }, 'the refusal')
    expect(performance.now() - began).toBeGreaterThan(1000)
    expect(performance.now() - began).toBeLessThan(6000)
    const ready = await (await server.connect('user')).send('GET', '/readyz')
    expect(ready.status).toBe(503)
  })
})
