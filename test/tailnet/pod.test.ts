/**
 * A server and its tailscaled as in the pod of docs/deploy/kubernetes: the server is a user without rights, tailscaled is root
 * with the capabilities of the sidecar alone, has no network device, and serves what the manifest says.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { container, manifests, serveConfig, settings } from '../support/manifests.ts'
import { describeWith } from '../support/peers.ts'
import type { Control } from './control.ts'
import { alice } from './policy.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { asUser } from './underlay.ts'
import { until } from './until.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'setpriv', 'unshare', 'nsenter', 'ip', 'curl'] as const
const { runAsUser } = manifests.StatefulSet.spec.template.spec.securityContext
const { capabilities } = container(manifests.StatefulSet, 'tailscale').securityContext

describeWith(peers, 'a pod', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  /** Has the user of the server try what root did. */
  let reconfigure: () => Promise<string>
  beforeAll(async () => {
    const kept = capabilities.add?.map((name) => name.toLowerCase()) ?? []
    tailnet = await Tailnet.onControl({ server: { userspace: true, capabilities: kept } })
    const { underlay, serverName } = tailnet
    const socket = join(underlay.directoryOf(runAsUser), 'private/sotto.sock')
    server = await SottoServer.start(tailnet, { user: runAsUser, args: ['--serve-socket', socket] })
    // As the container of Tailscale does it.
    const config = serveConfig
      .replaceAll(/\$\{TS_CERT_DOMAIN\}/g, serverName)
      .replaceAll(settings['SOTTO_SERVE_SOCKET'] ?? '', socket)
    const daemon = ['--unix-socket', tailnet.node('server').socket]
    const url = 'http://local-tailscaled.sock/localapi/v0/serve-config'
    const post = ['curl', '-sS', '--fail-with-body', ...daemon, '--data', config, url]
    const applied = await underlay.run('server', post)
    reconfigure = async () => (await underlay.run('server', asUser(runAsUser, post))).stdout
    if (applied.code !== 0) throw new Error(`${applied.stdout}${applied.stderr}`)
    await until(
      async () => (await server.run('setec', 'admin', ['list'])).code === 0,
      'the proxy of tailscale serve',
    )
    await server.putAll({ 'dev/db': 'dev value', 'prod/web/key': 'web value' })
  })
  afterAll(() => tailnet?.close())

  test('serves by the name of the node, and knows who calls', async () => {
    const caller = await server.connect('user')
    expect(await caller.call('get', { Name: 'dev/db' })).toMatchObject({ status: 200 })
    expect(await caller.call('get', { Name: 'prod/web/key' })).toMatchObject({ status: 403 })
    expect(JSON.parse((await caller.call('whoami')).body)).toMatchObject({ User: alice })
    const other = await server.connect('tagged')
    expect(await other.call('get', { Name: 'prod/web/key' })).toMatchObject({ status: 200 })
    expect(await other.call('get', { Name: 'dev/db' })).toMatchObject({ status: 403 })
  })

  test('the server can ask tailscaled, and not change the node', async () => {
    expect(await reconfigure()).toContain('serve config denied')
  })

  test('stops when it is asked to', async () => {
    expect(await server.stop()).toBe(0)
  })
})
