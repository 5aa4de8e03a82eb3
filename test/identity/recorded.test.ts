import { createPrivateKey, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { statusAnswer, whoIsAnswer } from '../../server/identity/tailscale/answers.ts'
import { type BusLine, Lines } from '../../server/identity/tailscale/bus.ts'
import { callerOf, type NodeCaller } from '../../server/identity/tailscale/caller.ts'
import { type OwnNode, ownNode } from '../../server/identity/tailscale/own-node.ts'
import { splitPair } from '../../server/identity/tailscale/pair.ts'
import { defaultCapabilities } from '../../server/identity/tailscale/rules.ts'
import { recorded } from '../support/local-api.ts'

/** The caller that a recorded answer makes, for a server that is `self`. */
function caller(
  name: string,
  self = 'nserverCNTRL',
  capabilities = defaultCapabilities,
): NodeCaller {
  const answer = whoIsAnswer.parse(JSON.parse(recorded(name)))
  return callerOf(answer, { address: '100.64.0.2', self, capabilities, now: new Date() })
}

function own(name: string): OwnNode {
  return ownNode(statusAnswer.parse(JSON.parse(recorded(name))))
}

/** What the lines of a recorded bus tell, after those that every bus begins with. */
function told(name: string): BusLine[] {
  const lines: BusLine[] = []
  new Lines((line) => lines.push(line)).add(Buffer.from(recorded(name)))
  return lines
}

describe('what a released tailscaled said', () => {
  test('of a user’s, a tagged and a rightless device', () => {
    expect(caller('whois-user')).toEqual({
      principal: { hostname: 'user.tail-test.ts.net', ip: '100.64.0.2', user: 'alice@example.com' },
      rules: [{ action: ['get', 'info', 'put', 'activate'], secret: ['dev/*'] }],
      node: 'nuserCNTRL',
    })
    expect(caller('whois-tagged')).toMatchObject({
      principal: { hostname: 'tagged.tail-test.ts.net', tags: ['tag:web'] },
      rules: [{ action: ['get'], secret: ['prod/web/*'] }],
    })
    expect(caller('whois-no-capabilities').rules).toEqual([])
    expect(caller('whois-capability-without-values').rules).toEqual([])
  })

  test('of an expired device, of the server itself, and of a policy with a fault', () => {
    expect(() => caller('whois-expired')).toThrow(/has an expired key/)
    expect(() => caller('whois-self')).toThrow(/is the server itself/)
    expect(() => caller('whois-malformed-capability')).toThrow(/no rule at .*\[1\]/)
  })

  test('of its own node, in touch with control and not, with a device and without', () => {
    expect(own('status')).toMatchObject({
      id: 'nserverCNTRL',
      name: 'server.tail-test.ts.net',
      domains: ['server.tail-test.ts.net'],
      userspace: false,
    })
    expect(own('status-control-lost')).toEqual(own('status'))
    expect(own('status-userspace')).toEqual({ ...own('status'), userspace: true })
    const online = (name: string) => statusAnswer.parse(JSON.parse(recorded(name))).Self?.Online
    expect([online('status'), online('status-control-lost')]).toEqual([true, false])
  })

  test('under headscale', () => {
    const node = own('headscale-status')
    expect(node).toMatchObject({ name: 'server.tail-test.internal', domains: [] })
    const user = caller('headscale-whois-user', node.id, ['example.com/cap/secrets'])
    expect(user).toMatchObject({ principal: { user: 'alice@example.com' }, node: '2' })
    expect(user.rules.length).toBe(1)
    expect(caller('headscale-whois-tagged', node.id).principal.tags).toEqual(['tag:web'])
  })

  test('on the bus', () => {
    expect(told('bus-peer-removed').map(({ peers }) => peers)).toEqual([false, false, true, true])
    expect(told('bus-peer-expired').at(-1)).toEqual({ self: true, peers: true })
    expect(told('bus-peer-left-out').at(-1)).toEqual({ self: true, peers: true })
    expect(told('bus-daemon-stopped')[0]).toEqual({ running: true, self: false, peers: false })
  })

  test('of a certificate', () => {
    const { key = '', certificate = '' } = splitPair(recorded('certificate')) ?? {}
    expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))).toBe(true)
    expect(certificate.match(/BEGIN/g)?.length).toBe(2)
  })
})
