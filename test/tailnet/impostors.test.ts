/** Those who would pass for a node with rights: each gets nothing, and the audit log knows why. */
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditRecord } from '../../audit/record.ts'
import { describeWith } from '../support/peers.ts'
import type { Called } from './caller.ts'
import type { Control } from './control.ts'
import { alice } from './policy.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { until } from './until.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'setpriv', 'unshare', 'nsenter', 'ip'] as const
/** A user of the server's host who has no part in any of this. */
const STRANGER = 65_533

const value = 'dev value'

describeWith(peers, 'impostors beside a tailscaled with a network device', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  let address: string
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({
      devices: ['user', 'guest', 'admin'],
      strangers: ['lan'],
    })
    server = await SottoServer.start(tailnet)
    await server.putAll({ 'dev/db': value })
    address = (await tailnet.node('server').addresses())[0] as string
    // All of the server's rights are for others: even its own node may do nothing here.
    const { grants, capability } = tailnet
    const rules = [{ action: ['get'], secret: ['*'] }]
    const everybody = { src: ['*'], dst: ['tag:secrets'], app: { [capability]: rules } }
    await tailnet.control.setGrants([...Object.values(grants), everybody])
  })
  afterAll(() => tailnet?.close())

  test('a local process on the server host, through the tailnet address', async () => {
    const caller = await server.connect('server', { user: STRANGER })
    const called = await caller.call('get', { Name: 'dev/db' })
    expect(called.status).toBe(500)
    expect(called.body).not.toContain(value)
    const [refused] = await unidentified(server, address)
    expect(refused?.reason).toMatch(/this node's own/)
  })

  test.each(['127.0.0.1', '[::1]', 'the LAN address'])(
    'a caller on the server host at %s finds nobody there',
    async (host) => {
      const lan = tailnet.underlay.addressOf('server')
      const to = `${host.startsWith('the') ? lan : host}:443`
      await expect(tailnet.underlay.connect('server', to)).rejects.toThrow(/refused/)
    },
  )

  test('a LAN caller at the LAN address finds nobody there', async () => {
    const to = `${tailnet.underlay.addressOf('server')}:443`
    await expect(tailnet.underlay.connect('lan', to)).rejects.toThrow(/refused/)
  })

  test('a LAN caller who routes the tailnet address to the server host', async () => {
    const by = tailnet.underlay.addressOf('server')
    await tailnet.underlay.run('lan', ['ip', 'route', 'add', `${address}/32`, 'via', by])
    const caller = await server.connect('lan')
    const called = await caller.call('get', { Name: 'dev/db' })
    expect(called.status).toBe(500)
    expect(called.body).not.toContain(value)
    const [refused] = await unidentified(server, tailnet.underlay.addressOf('lan'))
    expect(refused?.reason).toMatch(/is not an address on a tailnet/)
  })

  test('a LAN caller who takes the address of a node gets no connection', async () => {
    const [user = ''] = await tailnet.node('user').addresses()
    await tailnet.underlay.run('lan', ['ip', 'addr', 'add', `${user}/32`, 'dev', 'eth0'])
    const curl = ['curl', '-sk', '--max-time', '2', '--interface', user, `https://${address}/`]
    const { code } = await tailnet.underlay.run('lan', curl)
    // 28: the answers go to the node whose address it is.
    expect(code).toBe(28)
  })

  test.each([
    { 'Tailscale-User-Login': alice, 'Tailscale-User-Name': 'Alice' },
    { 'X-Forwarded-For': '100.64.0.2' },
    { Forwarded: 'for=100.64.0.2', 'X-Real-IP': '100.64.0.2' },
    {
      'Tailscale-App-Capabilities':
        '{"tailscale.com/cap/secrets":[{"action":["put"],"secret":["*"]}]}',
    },
  ])('a forged identity header %o changes nothing', async (headers) => {
    const caller = await server.connect('guest', { headers })
    const whoami = await caller.call('whoami')
    expect(whoami.status).toBe(200)
    expect(JSON.parse(whoami.body)).toMatchObject({ User: 'bob@example.com' })
    const put = await caller.call('put', { Name: 'dev/db', Value: 'Zm9yZ2Vk' })
    expect(put.status).toBe(403)
  })
})

describeWith(peers, 'impostors beside a tailscaled in userspace mode', () => {
  let tailnet: Tailnet<Control>
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({ devices: ['user', 'admin'], server: { userspace: true } })
  })
  afterAll(() => tailnet?.close())

  test('the server does not start unless it is asked to by name', async () => {
    await expect(SottoServer.start(tailnet)).rejects.toThrow(/userspace/)
  })

  describe('that was asked to', () => {
    let server: SottoServer
    beforeAll(async () => {
      server = await SottoServer.start(tailnet, { state: 'asked', args: ['--userspace'] })
      await server.putAll({ 'dev/db': value })
    })

    test('a caller of the tailnet is served', async () => {
      const caller = await server.connect('user')
      expect((await caller.call('get', { Name: 'dev/db' })).status).toBe(200)
    })

    test.each([
      ['any user', STRANGER],
      ['root', undefined],
    ])('a loopback caller who is %s', async (_, user) => {
      const called = await callOnLoopback(user === undefined ? {} : { user })
      expect(called.status).toBe(500)
      expect(called.body).not.toContain(value)
    })

    test('a reused source port: one that tailscaled has towards another service', async () => {
      const listening = [
        'require("net").createServer((s) => s.on("error", () => {})).listen(8443, "127.0.0.1")',
      ]
      tailnet.underlay.start('server', [process.execPath, '-e', ...listening])
      const port = await portTowards8443()
      // The trick works: tailscaled knows somebody by that port.
      const known = await tailnet.node('server').whois(`127.0.0.1:${port}`)
      expect(known?.Node.StableID).toBe('nuserCNTRL')
      const called = await callOnLoopback({ user: STRANGER, from: port })
      expect(called.status).toBe(500)
      expect(called.body).not.toContain(value)
    })

    async function callOnLoopback(options: { user?: number; from?: number }): Promise<Called> {
      const caller = await server.connect('server', { ...options, address: '127.0.0.1' })
      return caller.call('get', { Name: 'dev/db' })
    }

    /** Has the user connect to port 8443 of the server; resolves with tailscaled's port there. */
    async function portTowards8443(): Promise<number> {
      const [address] = await tailnet.node('server').addresses()
      let socket: Socket | undefined
      let port: number | undefined
      await until(async () => {
        if (!socket) {
          socket = await tailnet.underlay.connect('user', `${address}:8443`)
          socket.write('x')
        }
        const table = await tailnet.underlay.run('server', ['cat', '/proc/net/tcp'])
        // To 127.0.0.1:8443, established.
        port = Number.parseInt(
          /0100007F:([0-9A-F]{4}) 0100007F:20FB 01/.exec(table.stdout)?.[1] ?? '',
          16,
        )
        return port > 0
      }, 'a connection of the user through tailscaled')
      return port as number
    }
  })
})

/** The refusals of `ip` on the audit log. */
async function unidentified(server: SottoServer, ip: string) {
  const isTheirs = (record: AuditRecord) => record.kind === 'unidentified' && record.ip === ip
  return (await server.records()).filter(isTheirs) as (AuditRecord & { kind: 'unidentified' })[]
}
