/** The certificate of the tailnet: renewed in time, and what becomes of a server that gets none. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../support/peers.ts'
import type { Control } from './control.ts'
import { SottoServer } from './sotto.ts'
import { Tailnet } from './tailnet.ts'
import { until } from './until.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'unshare', 'nsenter', 'ip'] as const

/** Renewed when a third of its life is left: a few seconds after it was issued a minute late. */
const validity = '36s'

describeWith(peers, 'the certificate of the tailnet', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  beforeAll(async () => {
    tailnet = await Tailnet.onControl({ devices: ['user', 'admin'] })
  })
  afterAll(() => tailnet?.close())

  test('a server that gets none does not start, and says why', async () => {
    await tailnet.control.setIssuer({ refusal: 'rejectedIdentifier' })
    await expect(SottoServer.start(tailnet, { state: 'refused' })).rejects.toThrow(
      /certificate.*tailscaled|tailscaled.*certificate/i,
    )
  })

  test('a new one is shown to new connections, and drops none', async () => {
    await tailnet.control.setIssuer({ validity })
    server = await SottoServer.start(tailnet, { hasty: true })
    await server.putAll({ 'dev/db': 'dev value' })
    const early = await server.connect('user')
    await until(async () => (await ends()) > early.certificateEnds, 'a new certificate')
    expect(await early.call('get', { Name: 'dev/db' })).toMatchObject({ status: 200 })
    expect(early.open).toBe(true)
  })

  test('an issuer that refuses: the old one serves on, and readyz tells until when', async () => {
    await tailnet.control.setIssuer({ validity, refusal: 'rateLimited' })
    await until(
      () => /serves on until/.test(server.log()),
      'a refusal',
      () => server.log(),
    )
    expect(server.log()).toMatch(/rateLimited.*; the present certificate serves on until/)
    const caller = await server.connect('user')
    expect(await caller.call('get', { Name: 'dev/db' })).toMatchObject({ status: 200 })
    const ready = await caller.send('GET', '/readyz')
    expect(ready.status).toBe(200)
    const { certificate, certificateEnds } = JSON.parse(ready.body) as Record<string, string>
    expect(certificate).toBe('ok')
    expect(new Date(certificateEnds ?? '')).toStrictEqual(caller.certificateEnds)
    const { stdout } = await server.doctor()
    expect(stdout).toContain(`ends at ${certificateEnds}`)
  })

  test('an issuer that is slow: the old one serves on meanwhile', async () => {
    const present = await ends()
    // In one step from the refusal of the test before, so that no order is taken at once in between.
    await tailnet.control.setIssuer({ validity, delay: '4s' })
    const began = performance.now()
    let served = 0
    await until(async () => {
      const caller = await server.connect('user')
      const asked = performance.now()
      const { status } = await caller.call('get', { Name: 'dev/db' })
      if (status === 200 && performance.now() - asked < 1000) served++
      const isNew = caller.certificateEnds > present
      caller.close()
      return isNew
    }, 'a new certificate')
    expect(performance.now() - began).toBeGreaterThan(3000)
    expect(served).toBeGreaterThan(10)
  })

  async function ends(): Promise<Date> {
    const caller = await server.connect('user')
    const { certificateEnds } = caller
    caller.close()
    return certificateEnds
  }
})
