import { describe, expect, test } from 'vitest'
import { whoIsAnswer } from '../../server/identity/tailscale/answers.ts'
import { callerOf, type NodeCaller } from '../../server/identity/tailscale/caller.ts'
import { defaultCapabilities, rulesIn } from '../../server/identity/tailscale/rules.ts'
import { recorded, withNode } from '../support/local-api.ts'

const cap = 'tailscale.com/cap/secrets'
const getAll = { action: ['get'], secret: ['*'] }

/** The caller of an answer, at a moment. */
function caller(answer: string, now = '2026-11-22T12:00:00Z'): NodeCaller {
  return callerOf(whoIsAnswer.parse(JSON.parse(answer)), {
    address: '100.64.0.3',
    self: 'nSelf',
    capabilities: defaultCapabilities,
    now: new Date(now),
  })
}

function withCaps(CapMap: unknown): string {
  return JSON.stringify({ ...(JSON.parse(recorded('whois-user')) as object), CapMap })
}

describe('a principal', () => {
  test('of a person’s device is its user', () => {
    const { principal, rules } = caller(recorded('whois-user'))
    expect(principal).toEqual({
      hostname: 'user.tail-test.ts.net',
      ip: '100.64.0.3',
      user: 'alice@example.com',
    })
    expect(rules.length).toBeGreaterThan(0)
  })

  test('of a tagged device is its tags, whoever it belongs to', () => {
    const { principal } = caller(recorded('whois-tagged'))
    expect(principal).toEqual({
      hostname: 'tagged.tail-test.ts.net',
      ip: '100.64.0.3',
      tags: ['tag:web'],
    })
    const owned = caller(withNode('whois-user', { Tags: ['tag:web'] }))
    expect(owned.principal).not.toHaveProperty('user')
  })

  test('is nobody without tags and login name', () => {
    const nobody = JSON.parse(recorded('whois-user')) as object
    for (const LoginName of ['', 'tagged-devices']) {
      const answer = JSON.stringify({ ...nobody, UserProfile: { LoginName } })
      expect(() => caller(answer)).toThrow(/has neither tags nor a login name|has no tags/)
    }
  })
})

describe('a node is refused', () => {
  test.each([
    ['flagged as expired', { Expired: true }, /has an expired key/],
    ['whose key expired by our clock', { KeyExpiry: '2026-11-22T12:00:00Z' }, /has an expired key/],
    ['that is jailed', { IsJailed: true }, /is jailed/],
    ['that tailnet lock has not signed', { UnsignedPeerAPIOnly: true }, /not signed/],
    ['that is the server itself', { StableID: 'nSelf' }, /is the server itself/],
  ])('%s', (_, fields, message) => {
    expect(() => caller(withNode('whois-user', fields))).toThrow(message)
    expect(() => caller(withNode('whois-tagged', fields))).toThrow(message)
  })

  test('as tailscaled tells of an expired one', () => {
    expect(() => caller(recorded('whois-expired'))).toThrow(/has an expired key/)
  })

  test('only from the moment on that its key expires', () => {
    const soon = withNode('whois-user', { KeyExpiry: '2026-11-22T12:00:00.000000001Z' })
    expect(caller(soon, '2026-11-22T11:59:59.999Z').node).toBeDefined()
    const never = withNode('whois-user', { KeyExpiry: '0001-01-01T00:00:00Z' })
    expect(caller(never).node).toBeDefined()
  })
})

describe('rules', () => {
  test('are those of the capability, and not those of the node’s own attributes', () => {
    const own = { CapMap: { [cap]: [getAll] } }
    expect(caller(withNode('whois-no-capabilities', own)).rules).toEqual([])
    expect(caller(withCaps(undefined)).rules).toEqual([])
  })

  test('add up, with unknown actions and fields', () => {
    const odd = { action: ['get', 'fly'], secret: ['a'], note: 1 }
    expect(rulesIn({ [cap]: [odd, getAll] }, defaultCapabilities)).toEqual([
      { action: ['get', 'fly'], secret: ['a'] },
      getAll,
    ])
  })

  test('come from the older name only when the newer one gives none', () => {
    const older = { action: ['info'], secret: ['*'] }
    const both = { [cap]: [getAll], [`https://${cap}`]: [older] }
    expect(rulesIn(both, defaultCapabilities)).toEqual([getAll])
    for (const none of [null, []]) {
      expect(rulesIn({ ...both, [cap]: none }, defaultCapabilities)).toEqual([older])
    }
    expect(rulesIn(both, ['example.com/cap/secrets'])).toEqual([])
  })

  test('are read as Go reads them: fields in any case, null for nothing', () => {
    const values = [{ Action: ['get'], SECRET: ['*'] }, null, { action: null }, { secret: [null] }]
    expect(rulesIn({ [cap]: values }, [cap])).toEqual([
      getAll,
      { action: [], secret: [] },
      { action: [], secret: [] },
      { action: [], secret: [''] },
    ])
  })

  test.each([
    ['a word', '"get"'],
    ['a number', '1'],
    ['a list', '[{"action":["get"],"secret":["*"]}]'],
    ['an action that is no list', '{"action":"get","secret":["*"]}'],
    ['an action that is a number', '{"action":[1],"secret":["*"]}'],
    ['a pattern that is an object', '{"action":["get"],"secret":[{}]}'],
    ['JSON in a string', '"{\\"action\\":[\\"get\\"],\\"secret\\":[\\"*\\"]}"'],
  ])('that hold %s refuse the whole identity', (_, bad) => {
    for (const values of [`[${bad}]`, `[{"action":["get"],"secret":["*"]},${bad}]`]) {
      const answer = withCaps({ [cap]: JSON.parse(values) as unknown })
      expect(() => caller(answer)).toThrow(/gives it no rule at tailscale\.com\/cap\/secrets\[/)
    }
  })

  test('of a name that objects have by themselves are none', () => {
    expect(rulesIn({}, ['constructor', '__proto__'])).toEqual([])
  })
})
