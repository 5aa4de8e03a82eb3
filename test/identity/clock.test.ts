/** Who callers are, and for how long an old policy counts, does not go by the clock of the day. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { TailscaleIdentity } from '../../server/identity/tailscale/identity.ts'
import { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'
import { addressesIn, recorded, StubLocalApi, withNode } from '../support/local-api.ts'

const START = Date.parse('2026-11-28T12:00:00Z')
const SEQUENCES = depth({ usual: 5, full: 200 })
const STEPS = 40
const [OWN] = addressesIn('whois-self')
const [ALICE] = addressesIn('whois-user')
const [WEB] = addressesIn('whois-tagged')
/** An end that the moves reach, and the clock that is right does not. */
const KEY_ENDS = START + 86_400_000 / 2

let stub: StubLocalApi
let localApi: LocalApi

beforeEach(async () => {
  stub = await StubLocalApi.start()
  stub.whois.set(ALICE, recorded('whois-user'))
  // A bus that says nothing leads to no look at the state, so that each look is a step's.
  stub.bus = (_incoming, outgoing) => outgoing.flushHeaders()
  const KeyExpiry = new Date(KEY_ENDS).toISOString()
  stub.whois.set(WEB, withNode('whois-tagged', { KeyExpiry }))
  localApi = new LocalApi({ path: stub.path })
})

afterEach(async () => {
  await localApi.close()
  await stub[Symbol.asyncDispose]()
  vi.useRealTimers()
})

function online(Online: boolean): void {
  const status = JSON.parse(recorded('status')) as { Self: object }
  stub.status = JSON.stringify({ ...status, Self: { ...status.Self, Online } })
}

/** What came of each step: whether the first caller is named, and whether the one whose key ends is refused too early or late. */
async function history(seed: number, moves: boolean): Promise<unknown[]> {
  vi.useFakeTimers({ toFake: ['Date'], now: START })
  const draw = drawsOf(seed)
  let monotonic = 0
  online(true)
  const identity = await TailscaleIdentity.open({
    localApi,
    staleAfterMs: 60_000,
    monotonic: () => monotonic,
    clock: () => new Date(),
  })
  const ask = (remoteAddress: string): Promise<string> =>
    identity
      .identify({ remoteAddress, remotePort: 40_000, localAddress: OWN, localPort: 443 })
      .then(
        ({ principal }) => principal.hostname,
        (error: Error) => error.message,
      )
  const told: unknown[] = []
  for (let step = 0; step < STEPS; step++) {
    const passes = [0, 1000, 20_000, 50_000][Math.floor(draw() * 4)] ?? 0
    monotonic += passes
    const right = START + monotonic
    const wall = moved(Date.now() + passes, right, draw)
    vi.setSystemTime(moves ? wall : right)
    online(draw() < 0.35)
    await identity.check().catch(() => {})
    const alice = await ask(ALICE)
    const web = await ask(WEB)
    // An end is a date by nature: it is held against the clock as it is at that moment, and at no other.
    const isPlain = alice.includes('user.')
    expect(web.includes('has an expired key')).toBe(isPlain && Date.now() >= KEY_ENDS)
    told.push(alice)
  }
  await identity.close()
  return told
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: a caller is named, and an old policy refused, as with a clock that is right: sequence %i',
  async (seed) => {
    const expected = await history(seed, false)
    expect(expected).toContainEqual(expect.stringContaining('user.'))
    expect(await history(seed, true)).toEqual(expected)
  },
)
