/** What a run hears of its secrets, with a server and a time that the tests move. */
import { describe, expect, test } from 'vitest'
import { follow, type FollowParts } from '../../../cli/handlers/run/follow.ts'
import { RunSource } from '../../../cli/handlers/run/source.ts'
import { isSame, type Values } from '../../../cli/handlers/run/values.ts'
import type { Reference } from '../../../cli/mapping/reference.ts'
import { type ErrorCode, SottoError } from '../../../client/api/errors.ts'
import type { Client } from '../../../client/client.ts'
import { memoryCache } from '../../../client/store/cache.ts'
import { ManualTimers } from '../../audit/fixtures.ts'

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => void setImmediate(resolve))
}

/** A server in memory: the active version of each secret is the last; `fails` stands for one that does not give them. */
class FakeServer {
  readonly server = 'http://fake'
  readonly values = new Map<string, string[]>()
  fails: ErrorCode | undefined
  readonly asked: string[] = []

  put(name: string, value: string): void {
    this.values.set(name, [...(this.values.get(name) ?? []), value])
  }

  async getVersion(name: string, version: number): Promise<{ Value: Uint8Array; Version: number }> {
    this.asked.push(`${name}@${version}`)
    if (this.fails) throw new SottoError(this.fails, `Cannot get "${name}"`)
    const versions = this.values.get(name) ?? []
    const value = versions[(version || versions.length) - 1]
    if (value === undefined) throw new SottoError('not_found', `There is no "${name}"`)
    return { Value: Buffer.from(value), Version: version || versions.length }
  }

  async getIfChanged(name: string, held: number) {
    if (this.fails) throw new SottoError(this.fails, `Cannot get "${name}"`)
    return held === this.values.get(name)?.length ? undefined : this.getVersion(name, 0)
  }
}

const whole = (secret: string, version = 0): Reference => ({ secret, field: [], version })

/** A run with the variables `wanted`, of which those in `optional` may be absent. */
async function started(
  server: FakeServer,
  wanted: Readonly<Record<string, Reference>>,
  options: Partial<FollowParts> & { optional?: string[]; offline?: boolean; deaf?: boolean } = {},
) {
  const timers = new ManualTimers()
  const said: string[] = []
  const heard: Values[] = []
  const { optional = [], offline = false, deaf = false, ...parts } = options
  const clock = options.clock ?? ((): Date => new Date(timers.now()))
  const source = new RunSource(server as unknown as Client, new Set(optional), offline)
  const followed = await follow({
    source,
    wanted: {
      variables: Object.entries(wanted).map(([variable, from]) => ({ variable, from })),
      files: [],
    },
    cache: undefined,
    maxAgeMs: 24 * 3_600_000,
    pollMs: 30_000,
    watch: false,
    signal: new AbortController().signal,
    say: (line) => said.push(line),
    timers,
    random: () => 0.5,
    ...parts,
    clock,
  })
  const listen = (): void => followed.onChange((values) => heard.push(values))
  if (!deaf) listen()
  return {
    followed,
    listen,
    said,
    heard,
    timers,
    variables: () => Object.fromEntries(followed.values().variables),
    pass: async (ms: number) => {
      for (let rest = ms; rest > 0; rest -= 30_000) {
        timers.advance(Math.min(rest, 30_000))
        await settled()
      }
    },
  }
}

describe('changes', () => {
  test('a new version is told half a second after it came, several at once', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    server.put('b', 'one')
    await using run = await started(server, { A: whole('a'), B: whole('b') }).then(closing)
    server.put('a', 'two')
    server.put('b', 'two')
    await run.pass(30_000)
    expect(run.heard).toEqual([])
    await run.pass(500)
    expect(run.heard.map(({ variables }) => Object.fromEntries(variables))).toEqual([
      { A: 'two', B: 'two' },
    ])
  })

  test('one that comes before anybody listens is told then', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    await using run = await started(server, { A: whole('a') }, { deaf: true }).then(closing)
    server.put('a', 'two')
    await run.pass(31_000)
    run.listen()
    await run.pass(500)
    expect(run.heard.map(({ variables }) => variables.get('A'))).toEqual(['two'])
  })

  test('another field of the same JSON is no change for the program, nor is a version with the same value', async () => {
    const server = new FakeServer()
    server.put('a', '{"x":"one","y":1}')
    await using run = await started(server, { A: { secret: 'a', field: ['x'], version: 0 } }).then(
      closing,
    )
    const before = run.followed.values()
    server.put('a', '{"x":"one","y":2}')
    await run.pass(31_000)
    expect(run.heard.map((each) => isSame(before, each))).toEqual([true])
    server.put('a', '{"x":"two","y":2}')
    await run.pass(31_000)
    expect(run.heard.map((each) => isSame(before, each))).toEqual([true, false])
  })

  test('values that the program cannot have are said, and not told', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    await using run = await started(server, { A: whole('a') }).then(closing)
    server.put('a', 'canary\0canary')
    await run.pass(31_000)
    expect(run.heard).toEqual([])
    expect(run.said).toEqual([
      'Cannot set "A": the value of "a" has a NUL, which no variable can have: the program keeps what it has',
    ])
  })

  test('a given version is asked for once; what may be absent is told when it comes', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    server.put('a', 'two')
    await using run = await started(
      server,
      { A: whole('a', 1), B: whole('b') },
      { optional: ['b'] },
    ).then(closing)
    expect(run.variables()).toEqual({ A: 'one' })
    await run.pass(60_000)
    expect(server.asked.filter((each) => each === 'a@1')).toHaveLength(1)
    server.put('b', 'there')
    await run.pass(31_000)
    expect(run.variables()).toEqual({ A: 'one', B: 'there' })
    expect(run.heard).toHaveLength(1)
  })

  test('what is not there and not optional is a failure', async () => {
    const server = new FakeServer()
    const failure = started(server, { A: whole('a') })
    await expect(failure).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('the server is away for an hour', () => {
  test('nothing changes, and the age is said from time to time', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    await using run = await started(server, { A: whole('a') }).then(closing)
    await run.pass(60_000)
    server.fails = 'unreachable'
    await run.pass(3_600_000)
    expect(run.heard).toEqual([])
    expect(run.variables()).toEqual({ A: 'one' })
    const ages = run.said.map((line) => /which the server confirmed (.*) ago$/.exec(line)?.[1])
    expect(ages.length).toBeGreaterThan(3)
    expect(ages.length).toBeLessThanOrEqual(7)
    expect(ages[0]).toBe('30 s')
    expect(ages.at(-1)).toMatch(/^\d\d min$/)
    server.fails = undefined
    server.put('a', 'two')
    await run.pass(601_000)
    expect(run.said.at(-1)).toBe('The server answers again')
    expect(run.heard.map(({ variables }) => variables.get('A'))).toEqual(['two'])
  })
})

describe('a revoked right', () => {
  test('while the program runs it is said, and the program keeps what it has', async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    await using run = await started(server, { A: whole('a') }).then(closing)
    server.fails = 'denied'
    await run.pass(90_000)
    expect(run.said).toEqual(['Cannot get "a": the program keeps what it has'])
    expect(run.heard).toEqual([])
    server.fails = undefined
    await run.pass(31_000)
    expect(run.said.at(-1)).toBe('The server gives "a" again')
  })

  test.each(['denied', 'not_found'] as const)(
    'at the start a cache does not stand in for %s, also of a given version',
    async (code) => {
      const server = new FakeServer()
      server.put('a', 'one')
      const cache = memoryCache()
      const first = await started(server, { A: whole('a'), B: whole('a', 1) }, { cache })
      await first.followed[Symbol.asyncDispose]()
      server.fails = code
      await expect(started(server, { A: whole('a') }, { cache })).rejects.toMatchObject({ code })
      await expect(started(server, { B: whole('a', 1) }, { cache })).rejects.toMatchObject({ code })
    },
  )
})

describe('a cache', () => {
  const cached = async () => {
    const server = new FakeServer()
    server.put('a', 'one')
    const cache = memoryCache()
    const first = await started(
      server,
      { A: whole('a'), B: whole('b') },
      { cache, optional: ['b'] },
    )
    await first.followed[Symbol.asyncDispose]()
    return { server, cache, later: (ms: number) => () => new Date(ms) }
  }

  test('stands in for a server that does not answer, and its age is said', async () => {
    const { server, cache, later } = await cached()
    server.fails = 'unreachable'
    await using run = await started(
      server,
      { A: whole('a') },
      { cache, clock: later(7_200_000) },
    ).then(closing)
    expect(run.variables()).toEqual({ A: 'one' })
    expect(run.said).toEqual([
      'Cannot get "a": the values are from the cache, which the server confirmed 2 h ago',
    ])
  })

  test('does not where it is older than --max-age', async () => {
    const { server, cache, later } = await cached()
    server.fails = 'unreachable'
    const signal = AbortSignal.abort()
    const run = started(server, { A: whole('a') }, { cache, signal, clock: later(25 * 3_600_000) })
    await expect(run).rejects.toMatchObject({ code: 'unreachable' })
  })

  test('--offline: the server is not asked, and what the cache does not have is a failure', async () => {
    const { server, cache, later } = await cached()
    server.put('a', 'two')
    const before = server.asked.length
    const clock = later(60_000)
    await using run = await started(
      server,
      { A: whole('a'), B: whole('b') },
      { cache, offline: true, optional: ['b'], clock },
    ).then(closing)
    expect(run.variables()).toEqual({ A: 'one' })
    expect(run.said).toEqual(['the values are from the cache, which the server confirmed 60 s ago'])
    expect(server.asked).toHaveLength(before)
    const other = started(server, { C: whole('c') }, { cache, offline: true })
    await expect(other).rejects.toMatchObject({ code: 'not_found' })
  })

  test('where the server answers, its values are taken', async () => {
    const { server, cache } = await cached()
    server.put('a', 'two')
    await using run = await started(server, { A: whole('a') }, { cache }).then(closing)
    expect(run.variables()).toEqual({ A: 'two' })
    expect(run.said).toEqual([])
  })
})

test('a program that went back to older values is seen to have those, after each question', async () => {
  const server = new FakeServer()
  server.put('a', 'one')
  await using run = await started(server, { A: whole('a') }).then(closing)
  const before = run.followed.values()
  server.put('a', 'two')
  await run.pass(31_000)
  run.followed.keep(before.versions)
  await settled()
  run.timers.advance(1_000)
  await settled()
  expect(server.asked.at(-1)).toBe('a@1')
  server.asked.length = 0
  await run.pass(60_000)
  expect(server.asked).toEqual(expect.arrayContaining(['a@1']))
  run.followed.keep(undefined)
  await run.pass(2_000)
  server.asked.length = 0
  await run.pass(60_000)
  expect(server.asked).toEqual([])
})

/** The run, which is closed at the end of the scope. */
function closing<T extends { readonly followed: AsyncDisposable }>(run: T): T & AsyncDisposable {
  return Object.assign(run, { [Symbol.asyncDispose]: () => run.followed[Symbol.asyncDispose]() })
}
