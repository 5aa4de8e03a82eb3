/** What every source of identity must do, whatever network is behind it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Rule } from '../../client/api/types.ts'
import type { Peer, Identity, TcpPeer } from '../../server/identity/identity.ts'

/** What the suite needs of the kind of identity under test. */
export interface IdentityFixture extends AsyncDisposable {
  readonly identity: Identity
  /** Where two callers call from. */
  readonly callers: readonly [TcpPeer, TcpPeer]
  /** An address of the right kind that nobody calls from. */
  readonly stranger: TcpPeer
  /** Gives the first caller these rules, and keeps the second as it is. */
  grant(rules: readonly Rule[]): Promise<void>
  /** Takes the source of identity away, and brings it back. */
  fail(): Promise<void>
  recover(): Promise<void>
}

/** Runs the suite on what `make` gives, which is made anew for each test. */
export function identityContract(name: string, make: () => Promise<IdentityFixture>): void {
  describe(`${name} as a source of identity`, () => {
    const rules = [{ action: ['get'], secret: ['a/*'] }]
    let fixture: IdentityFixture

    beforeEach(async () => {
      fixture = await make()
      await fixture.grant(rules)
    })

    afterEach(() => fixture[Symbol.asyncDispose]())

    /** Expects that the connection is refused, whatever the reason. */
    async function expectRefused(peer: Peer): Promise<void> {
      await expect(fixture.identity.identify(peer)).rejects.toMatchObject({
        name: 'SottoError',
        code: 'unidentified',
      })
    }

    test('names callers apart, by where they call from', async () => {
      const [one, two] = await Promise.all(
        fixture.callers.map((connection) => fixture.identity.identify(connection)),
      )
      expect(one?.rules).toEqual(rules)
      expect(two?.rules).not.toEqual(rules)
      for (const caller of [one, two]) {
        const { hostname = '', user, tags } = caller?.principal ?? {}
        expect(hostname).not.toBe('')
        expect((user === undefined) !== (tags === undefined)).toBe(true)
      }
      expect(one?.principal).not.toEqual(two?.principal)
    })

    test('names them the same in IPv6’s clothes', async () => {
      const [plain] = fixture.callers
      const mapped = {
        ...plain,
        remoteAddress: `::ffff:${plain.remoteAddress}`,
        localAddress: `::ffff:${plain.localAddress}`,
      }
      expect(await fixture.identity.identify(mapped)).toEqual(
        await fixture.identity.identify(plain),
      )
    })

    test('gives each of many requests at once the caller of its own', async () => {
      const asked = Array.from({ length: 200 }, async (_, at) => {
        const caller = await fixture.identity.identify(fixture.callers[at % 2] as TcpPeer)
        return caller.principal.ip
      })
      const ips = await Promise.all(asked)
      expect(new Set(ips.filter((_, at) => at % 2 === 0)).size).toBe(1)
      expect(new Set(ips).size).toBe(2)
    })

    test('gives rights as they are at the request', async () => {
      const [connection] = fixture.callers
      expect((await fixture.identity.identify(connection)).rules).toEqual(rules)
      await fixture.grant([])
      expect((await fixture.identity.identify(connection)).rules).toEqual([])
    })

    test('refuses strangers, the LAN, what is no address, and a unix socket without a name', async () => {
      await expectRefused(fixture.stranger)
      const [known] = fixture.callers
      for (const remoteAddress of [
        '192.168.1.7',
        '10.0.0.1',
        '8.8.8.8',
        'fe80::1',
        '::',
        '',
        'x',
      ]) {
        await expectRefused({ ...known, remoteAddress })
      }
      await expectRefused({ unix: true, forwardedFor: undefined })
      await expectRefused({ unix: true, forwardedFor: '127.0.0.1' })
    })

    test('refuses everybody while its source is away, says so, and comes back', async () => {
      await fixture.identity.check()
      await fixture.fail()
      for (const connection of fixture.callers) await expectRefused(connection)
      await expect(fixture.identity.check()).rejects.toMatchObject({ name: 'SottoError' })
      await fixture.recover()
      await fixture.identity.check()
      expect((await fixture.identity.identify(fixture.callers[0])).rules).toEqual(rules)
    })
  })
}
