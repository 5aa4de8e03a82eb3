/** A server that runs as a user of its own, as the deployment guide has it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../support/peers.ts'
import type { Control } from './control.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'setpriv', 'unshare', 'nsenter', 'ip'] as const
const USER = 65_532
const OTHER = 65_531

describeWith(peers, 'a server that is not root', () => {
  let tailnet: Tailnet<Control>
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({
      devices: ['user', 'admin'],
      server: { env: { TS_PERMIT_CERT_UID: `${USER}` } },
    })
  })
  afterAll(() => tailnet?.close())

  test('whom tailscaled gives no certificate does not start, and is told which setting does', async () => {
    const started = SottoServer.start(tailnet, { user: OTHER })
    await expect(started).rejects.toThrow(/TS_PERMIT_CERT_UID/)
  })

  test('has the certificate, names callers and serves, by that one setting', async () => {
    const server = await SottoServer.start(tailnet, { user: USER })
    await server.putAll({ 'dev/db': 'dev value' })
    const got = await server.run('sotto', 'user', ['get', 'dev/db'])
    expect(got).toMatchObject({ code: 0, stdout: 'dev value' })
    const [ip = ''] = await tailnet.node('user').addresses()
    const { code, stdout, stderr } = await server.doctor('--peer', ip)
    expect(stdout, stderr).toMatch(/^ok +certificate /m)
    expect(stdout).toMatch(/^ok +peer .*alice@example\.com/m)
    expect(stdout).not.toMatch(/^failed /m)
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
  })
})
