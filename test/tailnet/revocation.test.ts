/**
 * Rights that the policy takes away, and nodes that it removes: what is obeyed when, on connections
 * that stay open.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test, onTestFinished } from 'vitest'
import { describeWith } from '../support/peers.ts'
import type { Caller } from './caller.ts'
import type { Control } from './control.ts'
import type { Grant } from './policy.ts'
import { SottoServer } from './sotto.ts'
import { type NodeName, Tailnet } from './tailnet.ts'
import { until } from './until.ts'

const peers = ['ctl', 'tailscaled', 'setec', 'unshare', 'nsenter', 'ip'] as const

const ROUNDS = 1000
/** Connections of other devices that read all the while. */
const LOAD = 16

describeWith(peers, 'revocation', () => {
  let tailnet: Tailnet<Control>
  let server: SottoServer
  const open: Caller[] = []
  beforeAll(async () => {
    tailnet = await Tailnet.onControl()
    server = await SottoServer.start(tailnet)
    await server.putAll({
      'dev/db': 'dev value',
      'dev/other': 'other',
      'prod/web/key': 'web value',
    })
  })
  beforeEach(() => tailnet.control.setGrants(Object.values(tailnet.grants)))
  afterAll(() => tailnet?.close())

  async function connect(name: NodeName): Promise<Caller> {
    const caller = await server.connect(name)
    open.push(caller)
    return caller
  }

  /** Resolves when the server's own tailscaled says of `name` what `isSo` asks for. */
  async function shown(name: NodeName, isSo: (text: string) => boolean): Promise<void> {
    const node = tailnet.node('server')
    const [address = ''] = await tailnet.node(name).addresses()
    await until(
      async () => isSo(JSON.stringify((await node.whois(address))?.CapMap ?? null)),
      `a change of what ${name} may do`,
    )
  }

  describe('of rights, by the packet filter alone', () => {
    /** A grant that leaves the user something when `dev/*` is taken away. */
    const rest = (): Grant => ({
      ...tailnet.grants.user,
      app: { [tailnet.capability]: [{ action: ['get'], secret: ['dev/other'] }] },
    })

    test(`is obeyed at the next request, ${ROUNDS} times under load`, async () => {
      const { network, user, tagged, admin } = tailnet.grants
      const always = [network, tagged, admin, rest()]
      await tailnet.control.setGrants([...always, user])
      await shown('user', (text) => text.includes('dev/other'))
      const stop = new AbortController()
      // The user's own device too: its requests share what is asked of tailscaled.
      const load = await Promise.all(
        Array.from({ length: LOAD }, async (_, index) => {
          const [name, secret] =
            index % 2 === 0
              ? (['tagged', 'prod/web/key'] as const)
              : (['user', 'dev/other'] as const)
          return [await connect(name), secret] as const
        }),
      ).then((readers) => readers.map(([reader, secret]) => readUntil(reader, secret, stop.signal)))
      // What ends this test ends them, and is what is told.
      onTestFinished(() => stop.abort())
      for (const each of load) each.catch(() => {})
      const caller = await connect('user')
      const [address = ''] = await tailnet.node('user').addresses()
      const node = tailnet.node('server')
      /** Without a wait between questions: the next request follows at once. */
      const whenShown = async (has: boolean) => {
        for (const end = performance.now() + 10_000; performance.now() < end; ) {
          const shows = JSON.stringify((await node.whois(address))?.CapMap).includes('dev/*')
          if (shows === has) return
        }
        throw new Error('tailscaled does not show the change')
      }
      const outcomes = { obeyed: 0, disobeyed: 0, kept: 0 }
      for (let round = 0; round < ROUNDS; round++) {
        await tailnet.control.setGrants([...always, user])
        await whenShown(true)
        const before = await caller.call('get', { Name: 'dev/db' })
        await tailnet.control.setGrants(always)
        await whenShown(false)
        const after = await caller.call('get', { Name: 'dev/db' })
        if (before.status === 200 && after.status === 403) outcomes.obeyed++
        else outcomes.disobeyed++
        if (caller.open) outcomes.kept++
      }
      stop.abort()
      const answers = (await Promise.all(load)).reduce((sum, count) => sum + count, 0)
      console.log(`${ROUNDS} revocations while ${answers} other requests were answered`)
      expect(outcomes).toStrictEqual({ obeyed: ROUNDS, disobeyed: 0, kept: ROUNDS })
      expect(answers).toBeGreaterThan(ROUNDS)
    }, 400_000)

    test('of all rights closes the connection with the refusal', async () => {
      const caller = await connect('user')
      expect((await caller.call('get', { Name: 'dev/db' })).status).toBe(200)
      const { network, tagged, admin } = tailnet.grants
      await tailnet.control.setGrants([network, tagged, admin])
      await shown('user', (text) => text === 'null')
      expect((await caller.call('get', { Name: 'dev/db' })).status).toBe(403)
      await caller.closed
      expect(caller.open).toBe(false)
    })
  })

  describe('of nodes', () => {
    test.for([
      [
        'removed by name',
        'tagged',
        async () => tailnet.control.setNode('tagged', { removed: true }),
      ],
      [
        'left out of a whole new map',
        'guest',
        async () => {
          await tailnet.control.setMapsInFull(true)
          await tailnet.control.setNode('guest', { removed: true })
        },
      ],
      ['expired', 'user', async () => tailnet.control.setNode('user', { expired: true })],
    ] as const)(
      'a node that is %s has its idle connections closed within 2 s',
      async ([, name, revoke]) => {
        const callers = await Promise.all(Array.from({ length: 3 }, () => connect(name)))
        for (const caller of callers) await caller.call('list')
        const bystander = await connect('admin')
        expect((await bystander.call('list')).status).toBe(200)
        const began = performance.now()
        await revoke()
        // The node itself may hear of its end first and fall silent: what counts is the server's side.
        await until(async () => (await server.connectionsOf(name)) === 0, 'their end')
        expect(performance.now() - began).toBeLessThan(2000)
        expect((await bystander.call('list')).status).toBe(200)
      },
    )
  })
})

/** Reads one secret again and again until the signal is aborted; resolves with how often. */
async function readUntil(caller: Caller, name: string, signal: AbortSignal): Promise<number> {
  let count = 0
  while (!signal.aborted) {
    const { status, body } = await caller.call('get', { Name: name })
    if (status !== 200) throw new Error(`A reader got ${status}: ${body}`)
    count++
    await turn()
  }
  return count
}
