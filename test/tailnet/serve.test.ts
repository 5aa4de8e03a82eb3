/** Behind `tailscale serve`: tailscaled has the name and the certificate, Sotto a private unix socket. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import type { Control } from './control.ts'
import { alice, bob } from './policy.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { asUser } from './underlay.ts'
import { until } from './until.ts'

const peers = [
  'ctl',
  'tailscale',
  'tailscaled',
  'setec',
  'setpriv',
  'unshare',
  'nsenter',
  'ip',
] as const
/** A user of the server's host who has no part in any of this. */
const STRANGER = 65_533

const modes = [
  ['with a network device', false],
  ['in userspace mode', true],
] as const

describeWith(peers, 'a server behind tailscale serve', () => {
  describe.each(modes)('of a tailscaled %s', (_, userspace) => {
    let tailnet: Tailnet<Control>
    let server: SottoServer
    let socket: string
    beforeAll(async () => {
      tailnet = await Tailnet.onControl({ server: { userspace } })
      const { underlay } = tailnet
      const directory = join(underlay.directory, 'private')
      await underlay.run('server', ['mkdir', '-m', '0700', directory])
      socket = join(directory, 'sotto.sock')
      server = await SottoServer.start(tailnet, { args: ['--serve-socket', socket] })
      const daemon = tailnet.node('server').socket
      const serve = ['serve', '--bg', '--https=443', `unix:${socket}`]
      const served = await underlay.run('server', [
        requirePeer('tailscale'),
        '--socket',
        daemon,
        ...serve,
      ])
      if (served.code !== 0) throw new Error(`tailscale serve: ${served.stderr}`)
      await until(
        async () => (await server.run('setec', 'admin', ['list'])).code === 0,
        'the proxy of tailscale serve',
      )
      await server.putAll({ 'dev/db': 'dev value', 'prod/web/key': 'web value' })
    })
    afterAll(() => tailnet?.close())

    test.each([
      ['user', 'dev/db', 'prod/web/key', { User: alice }],
      ['tagged', 'prod/web/key', 'dev/db', { Tags: ['tag:web'] }],
    ] as const)('the %s device gets %s and not %s', async (name, allowed, refused, owner) => {
      const caller = await server.connect(name)
      expect(await caller.call('get', { Name: allowed })).toMatchObject({ status: 200 })
      expect(await caller.call('get', { Name: refused })).toMatchObject({ status: 403 })
      expect(JSON.parse((await caller.call('whoami')).body)).toMatchObject(owner)
    })

    test('a stream of changes is passed on as it is written', async () => {
      const caller = await server.connect('user')
      const stream = await caller.stream('watch', { Secrets: [{ Name: 'dev/db', Version: 1 }] })
      let text = ''
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      const told = (what: string): Promise<void> =>
        until(
          async () => text.includes(what),
          what,
          () => text,
        )
      await told('event: synced')
      await server.putAll({ 'dev/db': 'dev value 2' })
      const activated = await server.run('setec', 'admin', ['activate', 'dev/db', '2'])
      expect(activated).toMatchObject({ code: 0 })
      await told('"Version":2')
      // The server ends it after five minutes at the earliest: what came, came while it was open.
      expect(stream.complete).toBe(false)
      caller.close()
    })

    test('a forged X-Forwarded-For changes nothing', async () => {
      const [ip = ''] = await tailnet.node('user').addresses()
      const caller = await server.connect('guest', { headers: { 'X-Forwarded-For': ip } })
      expect(await caller.call('get', { Name: 'dev/db' })).toMatchObject({ status: 403 })
      expect(JSON.parse((await caller.call('whoami')).body)).toMatchObject({ User: bob })
    })

    test('rights that were taken away are gone at the next request', async () => {
      const caller = await server.connect('user')
      expect(await caller.call('get', { Name: 'dev/db' })).toMatchObject({ status: 200 })
      const { network, tagged, admin } = tailnet.grants
      await tailnet.control.setGrants([network, tagged, admin])
      const [ip = ''] = await tailnet.node('user').addresses()
      const node = tailnet.node('server')
      await until(async () => (await node.whois(ip))?.CapMap === null, 'the change')
      expect(await caller.call('get', { Name: 'dev/db' })).toMatchObject({ status: 403 })
    })

    test('a local process cannot reach the socket', async () => {
      const curl = ['curl', '-s', '--unix-socket', socket, 'http://sotto/healthz']
      const { code, stdout } = await tailnet.underlay.run('server', asUser(STRANGER, curl))
      expect({ code, stdout }).toStrictEqual({ code: 7, stdout: '' })
    })
  })
})
