import { chmodSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Gone, TcpPeer } from '../../server/identity/identity.ts'
import { TailscaleIdentity, type TailscaleTerms } from '../../server/identity/tailscale/identity.ts'
import { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { identityContract } from '../contract/identity.ts'
import {
  addressesIn,
  type Answer,
  recorded,
  StubLocalApi,
  withFields,
  withNode,
} from '../support/local-api.ts'
import { recordingLogger } from '../support/logger.ts'

/** A wait that a test can afford to see end. */
const SHORT_MS = 500
/** At the start, for the version before the bus is watched, and at its first line. */
const LOOKS_AT_FIRST = 3
const [OWN, OWN6] = addressesIn('whois-self')
const [ALICE, ALICE6] = addressesIn('whois-user')
const [WEB] = addressesIn('whois-tagged')

/** A connection to the server’s own address. */
function from(remoteAddress: string, fields: Partial<TcpPeer> = {}): TcpPeer {
  return { remoteAddress, remotePort: 40_000, localAddress: OWN, localPort: 443, ...fields }
}

/** A stub of tailscaled, and the identity that asks it. */
class World implements AsyncDisposable {
  readonly stub: StubLocalApi
  readonly api: LocalApi
  readonly identity: TailscaleIdentity
  readonly said: string[]
  readonly gone: Gone[] = []

  private constructor(
    stub: StubLocalApi,
    api: LocalApi,
    identity: TailscaleIdentity,
    said: string[],
  ) {
    this.stub = stub
    this.api = api
    this.identity = identity
    this.said = said
    identity.watch((who) => this.gone.push(who))
  }

  static async make(
    terms: Partial<TailscaleTerms> = {},
    prepare: (stub: StubLocalApi) => void = () => {},
    answer = 10_000,
  ): Promise<World> {
    const stub = await StubLocalApi.start()
    stub.whois.set(ALICE, recorded('whois-user'))
    stub.whois.set(ALICE6, recorded('whois-user'))
    stub.whois.set(WEB, recorded('whois-tagged'))
    stub.whois.set(OWN, recorded('whois-self'))
    prepare(stub)
    const localApi = new LocalApi({ path: stub.path, times: { answer } })
    const said: string[] = []
    try {
      const identity = await TailscaleIdentity.open({
        localApi,
        logger: recordingLogger(said),
        startMs: SHORT_MS,
        ...terms,
      })
      const made = new World(stub, localApi, identity, said)
      await made.settled()
      return made
    } catch (error) {
      await localApi.close()
      await stub[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Resolves when the bus is followed, and what its first line leads to was asked. */
  async settled(): Promise<void> {
    const looks = () => this.stub.asked.filter((url) => url.includes('/status')).length
    const isFollowed = () => this.stub.watchers === 1 && looks() >= LOOKS_AT_FIRST
    await vi.waitUntil(isFollowed, { interval: 5, timeout: 15_000 })
    // The last of them may still be under way; this joins it.
    await this.identity.check().catch(() => {})
  }

  /** The reason for which a connection is refused. */
  async refusal(connection: Parameters<TailscaleIdentity['identify']>[0]): Promise<string> {
    return this.identity.identify(connection).then(
      ({ principal }) => `accepted ${principal.hostname}`,
      (error: Error & { code: string }) => `${error.code}: ${error.message}`,
    )
  }

  /** Questions to whois so far. */
  get questions(): string[] {
    return this.stub.asked.filter((url) => url.includes('/whois'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.identity.close()
    await this.api.close()
    await this.stub[Symbol.asyncDispose]()
  }
}

identityContract('tailscaled', async () => {
  const world = await World.make()
  return {
    identity: world.identity,
    callers: [from(ALICE), from(WEB)],
    stranger: from('100.99.9.9'),
    grant: async (rules) => {
      const CapMap = rules.length === 0 ? null : { 'tailscale.com/cap/secrets': rules }
      world.stub.whois.set(ALICE, withFields('whois-user', { CapMap }))
    },
    fail: () => world.stub.stop(),
    recover: () => world.stub.start(),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
})

let world: World

beforeEach(async () => {
  world = await World.make()
})

afterEach(() => world[Symbol.asyncDispose]())

describe('a caller', () => {
  test('is named with its node, by IPv4 and IPv6', async () => {
    const alice = await world.identity.identify(from(ALICE))
    expect(alice).toMatchObject({
      principal: { hostname: 'user.tail-test.ts.net', ip: ALICE, user: 'alice@example.com' },
      node: 'nuserCNTRL',
    })
    const six = { localAddress: OWN6 }
    const again = await world.identity.identify(from(ALICE6, six))
    expect(again.node).toBe(alice.node)
    expect(again.principal.ip).toBe(ALICE6)
    expect(world.questions).toEqual([
      `GET /localapi/v0/whois?addr=${ALICE}`,
      `GET /localapi/v0/whois?addr=${encodeURIComponent(ALICE6)}`,
    ])
  })

  test('is asked about at every request: nothing is kept', async () => {
    for (let at = 0; at < 3; at++) await world.identity.identify(from(ALICE))
    expect(world.questions.length).toBe(3)
  })

  test('whose requests wait at the same time shares questions', async () => {
    const asked = Array.from({ length: 64 }, (_, at) =>
      world.identity.identify(from(ALICE, { remotePort: 40_000 + at })),
    )
    await Promise.all(asked)
    expect(world.questions.length).toBe(2)
  })

  test('is refused when its node is another than the one at its address', async () => {
    world.stub.whois.set(ALICE, recorded('whois-tagged'))
    expect(await world.refusal(from(ALICE))).toMatch(/a node that has another address/)
  })

  test('is refused when one value of the capability is no rule, and the log says which', async () => {
    const CapMap = { 'tailscale.com/cap/secrets': [{ action: ['get'], secret: ['*'] }, 'x'] }
    world.stub.whois.set(ALICE, withFields('whois-user', { CapMap }))
    expect(await world.refusal(from(ALICE))).toMatch(
      /^unidentified: .*100\.64\.0\.2 port 40000.*no rule at tailscale\.com\/cap\/secrets\[1\]/,
    )
  })
})

describe('never taken for a caller:', () => {
  test('a program on this host that calls the own address of the node', async () => {
    for (const own of [OWN, OWN6, `::ffff:${OWN}`]) {
      expect(await world.refusal(from(own))).toMatch(/this node's own/)
    }
    expect(world.questions).toEqual([])
  })

  test('a program that calls an address from itself, which is not known as our own yet', async () => {
    await using own = await World.make({ services: ['100.100.1.1'] })
    const unknown = from('100.100.1.1', { localAddress: '100.100.1.1' })
    expect(await own.refusal(unknown)).toMatch(/this node's own/)
    expect(own.questions).toEqual([])
  })

  test('the server’s own node, also by an address that is not known as its own yet', async () => {
    const Addresses = ['100.64.0.9/32']
    world.stub.whois.set('100.64.0.9', withNode('whois-self', { Addresses }))
    expect(await world.refusal(from('100.64.0.9'))).toMatch(/is the server itself/)
  })

  test('a loopback caller', async () => {
    for (const loopback of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) {
      expect(await world.refusal(from(loopback, { localAddress: loopback }))).toMatch(
        /^unidentified: .*a program on this host/,
      )
    }
    expect(world.questions).toEqual([])
  })

  test('a loopback caller, where userspace mode is allowed and tailscaled is not in it', async () => {
    await using own = await World.make({ userspace: process.platform === 'linux' })
    own.stub.whois.set('127.0.0.1:40000', recorded('whois-user'))
    const local = from('127.0.0.1', { localAddress: '127.0.0.1' })
    expect(await own.refusal(local)).toMatch(/a program on this host/)
    expect(own.questions).toEqual([])
  })

  test('a LAN caller: tailscaled is not even asked', async () => {
    for (const lan of [
      '192.168.1.7',
      '10.0.0.1',
      '172.17.0.2',
      '100.115.92.9',
      'fe80::1',
      '2001:db8::1',
    ]) {
      expect(await world.refusal(from(lan))).toMatch(/is not an address on a tailnet/)
    }
    expect(world.questions).toEqual([])
  })

  test('a tailnet address that came to another address than ours', async () => {
    expect(await world.refusal(from(ALICE, { localAddress: '192.168.1.2' }))).toMatch(
      /called 192\.168\.1\.2, which is not an address of this node/,
    )
    expect(world.questions).toEqual([])
  })

  test('an expired node, though tailscaled tells its capabilities', async () => {
    world.stub.whois.set(ALICE, recorded('whois-expired'))
    expect(await world.refusal(from(ALICE))).toMatch(/has an expired key/)
  })

  test('a removed node', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.whois.delete(ALICE)
    expect(await world.refusal(from(ALICE))).toMatch(/knows no node there/)
  })
})

describe('behind `tailscale serve`', () => {
  test('a caller is who tailscaled says is at the one forwarded address', async () => {
    const caller = await world.identity.identify({ unix: true, forwardedFor: ALICE })
    expect(caller.principal.user).toBe('alice@example.com')
  })

  test.each([
    ['none or several', undefined],
    ['several in one', `${ALICE}, ${WEB}`],
    ['a name', 'node-c'],
    ['one with a port', `${ALICE}:80`],
    ['our own', OWN],
    ['one of the internet, as funnel gives', '203.0.113.9'],
    ['loopback', '127.0.0.1'],
    ['that of nobody', '100.99.9.9'],
  ])('a forged or odd X-Forwarded-For is refused: %s', async (_, forwardedFor) => {
    expect(await world.refusal({ unix: true, forwardedFor })).toMatch(/^unidentified/)
  })
})

describe('a Service', () => {
  const service = '100.100.1.1'

  test('has rights towards its own address', async () => {
    await using own = await World.make({ services: [service] })
    await own.identity.identify(from(ALICE, { localAddress: service }))
    await own.identity.identify(from(ALICE))
    expect(own.questions).toEqual([
      `GET /localapi/v0/whois?addr=${ALICE}&dst_ip=100.100.1.1`,
      `GET /localapi/v0/whois?addr=${ALICE}`,
    ])
  })

  test('on a daemon that does not know of rights towards an address is refused', async () => {
    await using own = await World.make({ services: [service] })
    own.stub.capability = '138'
    expect(await own.refusal(from(ALICE, { localAddress: service }))).toMatch(/older than 1\.100/)
    await own.identity.identify(from(ALICE))
  })
})

describe('userspace mode', () => {
  const userspace = (stub: StubLocalApi): void => {
    stub.status = withFields('status', { TUN: false })
  }

  test('is refused unless asked for', async () => {
    await expect(World.make({}, userspace)).rejects.toMatchObject({
      code: 'unsafe',
      message: expect.stringContaining('could pose as any node') as string,
    })
  })

  test('that begins while we serve refuses everybody', async () => {
    userspace(world.stub)
    await expect(world.identity.check()).rejects.toMatchObject({ code: 'unsafe' })
    expect(await world.refusal(from(ALICE))).toMatch(/could pose as any node/)
    expect(world.identity.addresses).toEqual([])
  })

  test('behind serve takes callers on the unix socket, and none on TCP', async () => {
    await using served = await World.make({ served: true }, userspace)
    expect(served.identity.addresses).toEqual([])
    await served.identity.identify({ unix: true, forwardedFor: ALICE })
    const local = from('127.0.0.1', { localAddress: '127.0.0.1' })
    expect(await served.refusal(local)).toMatch(/could pose as any node/)
  })

  test.runIf(process.platform === 'linux')(
    'refuses a program that reuses a source port of tailscaled’s, by asking the kernel',
    async () => {
      await using own = await World.make({ userspace: true }, userspace)
      expect(own.identity.addresses).toEqual(['127.0.0.1'])
      own.stub.whois.set('127.0.0.1:40000', recorded('whois-user'))
      // No connection of tailscaled's has these ports, whatever whois says of one of them.
      const local = from('127.0.0.1', { localAddress: '127.0.0.1' })
      expect(await own.refusal(local)).toMatch(/the other end of its connection is gone/)
      expect(own.questions).toEqual([])
    },
  )
})

describe('tailscaled', () => {
  test('that is stopped is told, refuses, and serves again by itself', async () => {
    await world.stub.stop()
    expect(await world.refusal(from(ALICE))).toMatch(
      /^unidentified: .*tailscaled is not running: there is no socket ".*tailscaled\.sock"/,
    )
    await expect(world.identity.check()).rejects.toMatchObject({ code: 'tailscaled_unavailable' })
    await expect.poll(() => world.gone).toEqual(['everybody'])
    await world.stub.start()
    expect(await world.refusal(from(ALICE))).toMatch(/^accepted/)
    await expect.poll(() => world.stub.watchers).toBe(1)
    await expect.poll(() => world.said.at(-1)).toBe('info: tailscaled answers again')
    expect(world.gone).toEqual(['everybody'])
  })

  test.each<[string, Answer, RegExp]>([
    ['answering garbage', 'garbage', /is not JSON/],
    ['answering another shape', '{"Node":{}}', /is wrong at "Node/],
    ['refusing', { status: 500, text: 'boom' }, /refused whois 100\.64\.0\.2 with 500: "boom"/],
    ['closing', (_, outgoing) => void outgoing.socket?.destroy(), /closed the connection/],
  ])('that is %s refuses within the bound, and serves again', async (_, answer, message) => {
    world.stub.whois.set(ALICE, answer)
    const refusals = await Promise.all(Array.from({ length: 20 }, () => world.refusal(from(ALICE))))
    expect(new Set(refusals).size).toBe(1)
    expect(refusals[0]).toMatch(message)
    expect(await world.refusal(from(WEB))).toMatch(/^accepted/)
    world.stub.whois.set(ALICE, recorded('whois-user'))
    expect(await world.refusal(from(ALICE))).toMatch(/^accepted/)
  })

  test('that is slow refuses within the bound, keeps nobody else waiting, and serves again', async () => {
    await using own = await World.make({}, () => {}, SHORT_MS)
    own.stub.whois.set(ALICE, () => {})
    const asking = Array.from({ length: 20 }, () => own.refusal(from(ALICE)))
    expect(await own.refusal(from(WEB))).toMatch(/^accepted/)
    const refusals = await Promise.all(asking)
    expect(new Set(refusals).size).toBe(1)
    expect(refusals[0]).toMatch(/did not answer within 500 ms/)
    // One question, and one more for all who came while it was under way.
    expect(own.questions.filter((url) => url.includes(ALICE)).length).toBe(2)
    own.stub.whois.set(ALICE, recorded('whois-user'))
    expect(await own.refusal(from(ALICE))).toMatch(/^accepted/)
  })

  test('that is frozen keeps a bounded number of callers waiting, each a bounded time', async () => {
    await using own = await World.make({}, () => {}, SHORT_MS)
    const silent: Answer = () => {}
    const addresses = Array.from(
      { length: 1100 },
      (_, at) => `100.64.${100 + (at >> 8)}.${at & 255}`,
    )
    for (const address of addresses) own.stub.whois.set(address, silent)
    const refusals = await Promise.all(addresses.map((address) => own.refusal(from(address))))
    const codes = Map.groupBy(refusals, (text) => text.split(':')[0])
    expect([...codes].map(([code, each]) => [code, each.length])).toEqual([
      ['unidentified', 1024],
      ['overloaded', 76],
    ])
    expect(await own.refusal(from(ALICE))).toMatch(/^accepted/)
  })

  test('whose bus alone blinks costs nobody a connection', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.endBus()
    await expect.poll(() => world.stub.watchers).toBe(0)
    await expect.poll(() => world.stub.watchers).toBe(1)
    expect(world.gone).toEqual([])
  })

  test('that does not tell its state once costs nobody a connection', async () => {
    let failed = 0
    world.stub.status = (_, outgoing) => {
      if (failed++ === 0) outgoing.writeHead(503).end()
      else outgoing.end(recorded('status'))
    }
    world.stub.endBus()
    await expect.poll(() => world.said.at(-1)).toBe('info: tailscaled answers again')
    expect(world.gone).toEqual([])
  })

  test.each([
    ['NeedsLogin', 'tailscale up'],
    ['Stopped', 'tailscale up'],
    ['Starting', 'wait'],
  ])('in state %s is not begun with', async (BackendState, hint) => {
    const prepare = (stub: StubLocalApi): void => {
      stub.status = withFields('status', { BackendState })
    }
    await expect(World.make({}, prepare)).rejects.toMatchObject({
      code: 'tailscaled_unavailable',
      message: `tailscaled is in state "${BackendState}"`,
      hint: expect.stringContaining(hint) as string,
    })
  })

  test('that is starting is waited for', async () => {
    let looks = 0
    const prepare = (stub: StubLocalApi): void => {
      stub.status = (_, outgoing) => {
        const BackendState = ++looks < 2 ? 'Starting' : 'Running'
        outgoing.end(withFields('status', { BackendState }))
      }
    }
    await using own = await World.make({ startMs: 5000 }, prepare)
    expect(own.identity.addresses).toEqual([OWN, OWN6])
  })

  test('whose socket others could replace is not asked', async () => {
    const directory = dirname(world.stub.path)
    const { mode } = statSync(directory)
    chmodSync(directory, 0o777)
    await expect(TailscaleIdentity.open({ localApi: world.api })).rejects.toMatchObject({
      code: 'unsafe',
    })
    chmodSync(directory, mode)
  })
})

describe('the bus', () => {
  test('tells of a removed node that called', async () => {
    await world.identity.identify(from(ALICE))
    await world.identity.identify(from(WEB))
    world.stub.whois.delete(ALICE)
    // An id that a JSON number does not hold: it is never read.
    world.stub.notify('{"PeersRemoved":[9007199254740993]}\n')
    await expect.poll(() => world.gone).toEqual([{ nodes: ['nuserCNTRL'] }])
  })

  test('tells of an expired node', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.whois.set(ALICE, recorded('whois-expired'))
    world.stub.notify({ PeersChanged: [{ StableID: 'nuserCNTRL', Expired: true }] })
    await expect.poll(() => world.gone).toEqual([{ nodes: ['nuserCNTRL'] }])
  })

  test('tells that an address has become another node’s', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.whois.set(ALICE, withNode('whois-user', { StableID: 'nOther' }))
    world.stub.notify({ SelfChange: {} })
    await expect.poll(() => world.gone).toEqual([{ nodes: ['nuserCNTRL'] }])
  })

  test('is no source of rights: who lost them all is still named', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.whois.set(ALICE, withFields('whois-user', { CapMap: null }))
    const before = world.questions.length
    world.stub.notify({ SelfChange: {} })
    await expect.poll(() => world.questions.length).toBeGreaterThan(before)
    expect((await world.identity.identify(from(ALICE))).rules).toEqual([])
    expect(world.gone).toEqual([])
  })

  test('tells that the node is down: everybody has gone', async () => {
    world.stub.status = withFields('status', { BackendState: 'Stopped' })
    world.stub.notify({ State: 4 })
    await expect.poll(() => world.gone).toEqual(['everybody'])
    await expect.poll(() => world.refusal(from(ALICE))).toMatch(/is in state "Stopped"/)
    expect(world.said).toEqual([
      expect.stringMatching(/^error: .*in state "Stopped"\. Connect it with/),
    ])
    world.stub.status = recorded('status')
    world.stub.notify({ State: 6 })
    await expect.poll(() => world.said.slice(1)).toEqual(['info: callers are named again'])
    await world.identity.identify(from(ALICE))
  })

  test('missed while it was away is made up for', async () => {
    await world.identity.identify(from(ALICE))
    world.stub.whois.delete(ALICE)
    world.stub.endBus()
    await expect.poll(() => world.gone).toEqual([{ nodes: ['nuserCNTRL'] }])
  })

  test('tells of new addresses', async () => {
    const addresses: (readonly string[])[] = []
    world.identity.onChange(() => addresses.push(world.identity.addresses))
    const { Self } = JSON.parse(recorded('status')) as { Self: object }
    const changed = { Self: { ...Self, TailscaleIPs: ['100.64.0.77'] } }
    world.stub.status = withFields('status', changed)
    world.stub.notify({ SelfChange: {} })
    await expect.poll(() => addresses).toEqual([['100.64.0.77']])
    expect(await world.refusal(from(ALICE))).toMatch(
      /called 100\.64\.0\.1, which is not an address/,
    )
    await world.identity.identify(from(ALICE, { localAddress: '100.64.0.77' }))
  })
})

describe('a tailscaled out of touch with control', () => {
  const { Self } = JSON.parse(recorded('status')) as { Self: object }
  const offline = withFields('status', { Self: { ...Self, Online: false } })

  test('is served under unless told otherwise', async () => {
    world.stub.status = offline
    await world.identity.check()
    expect(await world.refusal(from(ALICE))).toMatch(/^accepted/)
  })

  test('for longer than is allowed refuses everybody, until it is in touch again', async () => {
    let now = 0
    await using own = await World.make({ staleAfterMs: 60_000, monotonic: () => now })
    own.stub.status = offline
    now = 60_000
    await own.identity.check()
    expect(await own.refusal(from(ALICE))).toMatch(/^accepted/)
    now = 60_001
    expect(await own.refusal(from(ALICE))).toMatch(/out of touch .* for more than 60000 ms/)
    await expect(own.identity.check()).rejects.toMatchObject({ code: 'tailscaled_unavailable' })
    own.stub.status = recorded('status')
    await own.identity.check()
    expect(await own.refusal(from(ALICE))).toMatch(/^accepted/)
  })
})
