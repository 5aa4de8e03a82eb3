/**
 * What people do with Sotto on a tailnet: the released command line of setec and Sotto's own, on
 * devices of three kinds, get what the policy allows, are refused the rest, and stand in the audit
 * log as who they are.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Principal } from '../../client/api/types.ts'
import { describeWith } from '../support/peers.ts'
import { alice, bob } from './policy.ts'
import { type ClientName, SottoServer } from './sotto.ts'
import { type NodeName, Tailnet } from './tailnet.ts'

const peers = ['ctl', 'headscale', 'tailscaled', 'setec', 'unshare', 'nsenter', 'ip'] as const

const makers: Record<string, () => Promise<Tailnet>> = {
  'a tailnet whose control server issues certificates': () => Tailnet.onControl(),
  'a tailnet on headscale, with certificate files': () => Tailnet.onHeadscale(),
}

/** A command on a device, and what it must come to. */
interface Line {
  readonly from: NodeName
  readonly args: readonly string[]
  readonly input?: string
  /** What it prints; undefined for a refusal. */
  readonly stdout?: string | RegExp
}

const lines: readonly Line[] = [
  { from: 'user', args: ['get', 'dev/db'], stdout: 'dev value' },
  { from: 'user', args: ['get', 'prod/web/key'] },
  { from: 'user', args: ['get', 'prod/other'] },
  { from: 'user', args: ['info', 'dev/db'], stdout: /Active version: 1/ },
  { from: 'user', args: ['list'], stdout: /^NAME +ACTIVE VERSIONS\n(?:dev\/\S+ +1 +1\n)+$/ },
  { from: 'user', args: ['put', 'prod/web/key'], input: 'forged' },
  { from: 'user', args: ['activate', 'prod/other', '1'] },
  { from: 'tagged', args: ['get', 'prod/web/key'], stdout: 'web value' },
  { from: 'tagged', args: ['get', 'dev/db'] },
  { from: 'tagged', args: ['info', 'prod/web/key'] },
  { from: 'tagged', args: ['put', 'prod/web/key'], input: 'forged' },
  { from: 'guest', args: ['get', 'dev/db'] },
  { from: 'guest', args: ['get', 'prod/web/key'] },
  { from: 'guest', args: ['list'], stdout: /^NAME +ACTIVE VERSIONS\n$/ },
  { from: 'guest', args: ['put', 'dev/db'], input: 'forged' },
]

describeWith(peers, 'clients on a tailnet', () => {
  describe.each(Object.entries(makers))('%s', (_, make) => {
    let tailnet: Tailnet
    let server: SottoServer
    beforeAll(async () => {
      tailnet = await make()
      server = await SottoServer.start(tailnet)
      await server.putAll({
        'dev/db': 'dev value',
        'prod/web/key': 'web value',
        'prod/other': 'other value',
      })
    })
    afterAll(() => tailnet?.close())

    describe.each<ClientName>(['setec', 'sotto'])('%s', (client) => {
      test.for(lines.map((line) => [line.from, line.args.join(' '), line] as const))(
        'from the %s device: %s',
        async ([, , { from, args, input, stdout }]) => {
          const ended = await server.run(client, from, args, input)
          const refused = stdout === undefined
          expect(ended.stderr).toMatch(refused ? /denied|not allow/i : /^/)
          expect(ended.stdout).toMatch(stdout ?? /^$/)
          expect(ended.code !== 0).toBe(refused)
        },
      )

      test('a put from the user device is a version of its own', async () => {
        const name = `dev/of-${client}`
        const put = await server.run(client, 'user', ['put', name], `put by ${client}`)
        expect(put, put.stderr).toMatchObject({ code: 0 })
        const got = await server.run(client, 'user', ['get', name])
        expect(got.stdout).toBe(`put by ${client}`)
      })
    })

    test('the audit log names every caller as the control server does', async () => {
      // What guests are refused is summarised, so that some of them have no record of their own.
      const principals = new Map<string, Principal>()
      for (const record of await server.records()) {
        if ('principal' in record && record.principal) {
          principals.set(record.principal.ip, record.principal)
        }
      }
      const expected = await Promise.all(
        (
          [
            ['user', { user: alice }],
            ['tagged', { tags: ['tag:web'] }],
            ['guest', { user: bob }],
            ['admin', { tags: ['tag:admin'] }],
          ] as const
        ).map(async ([name, owner]) => {
          const [ip = ''] = await tailnet.node(name).addresses()
          return [ip, { hostname: `${name}.${tailnet.control.domain}`, ip, ...owner }] as const
        }),
      )
      expect(principals).toStrictEqual(new Map(expected))
    })

    test('the audit log has every value that left, and to whom', async () => {
      const left = (await server.records()).flatMap((record) =>
        record.kind === 'access' && record.action === 'get' && record.result === 'ok'
          ? [`${record.principal.hostname.split('.')[0]} ${record.secret} ${record.secretVersion}`]
          : [],
      )
      expect(left.toSorted()).toStrictEqual(
        [
          'user dev/db 1',
          'user dev/db 1',
          'user dev/of-setec 1',
          'user dev/of-sotto 1',
          'tagged prod/web/key 1',
          'tagged prod/web/key 1',
        ].toSorted(),
      )
    })
  })
})
