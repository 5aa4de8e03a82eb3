/** A store that is told of changes: what it does with what it is told, and when it is not told any more. */
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../../client/api/errors.ts'
import { ServerError } from '../../../client/client.ts'
import { memoryCache } from '../../../client/store/cache.ts'
import type { StoreOptions } from '../../../client/store/options.ts'
import { openStore, type Store } from '../../../client/store/store.ts'
import type { Change, WatchEvent } from '../../../client/watch.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import { type Heard, listen } from './listen.ts'
import { lost, TellingSource } from './telling-source.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

interface Opened extends Heard, AsyncDisposable {
  readonly source: TellingSource
  readonly store: Store
  readonly timers: ManualTimers
}

/** A server with the secret `a` at version 1, and a store of it that was told of everything. */
async function opened(
  options: Partial<StoreOptions> = {},
  source: TellingSource = new TellingSource(),
): Promise<Opened> {
  if (source.versions('a') === 0) source.put('a', 'first')
  const timers = new ManualTimers()
  const heard = listen()
  const store = await openStore({
    server: source,
    secrets: ['a'],
    timers,
    random: () => 0.5,
    report: heard.report,
    ...options,
  })
  await settled()
  return { source, store, timers, ...heard, [Symbol.asyncDispose]: () => store.close() }
}

/** Without the values that the questions name. */
function watches(source: TellingSource): number {
  return source.asked.filter((each) => each.startsWith('watch')).length
}

test('it is live, has a change when it is told of it, and asks for that secret alone', async () => {
  const source = new TellingSource()
  source.put('b', 'other')
  await using all = await opened({ secrets: ['a', 'b'] }, source)
  const { store, next } = all
  expect(store.health()).toMatchObject({ state: 'live', error: undefined })
  expect(source.asked).toEqual(['get a', 'get b', 'watch a 1,b 1'])
  const changed = next('changed')
  source.put('a', 'second')
  expect(await changed).toEqual({ kind: 'changed', name: 'a', version: 2 })
  expect(store.secret('a').text()).toBe('second')
  expect(source.asked.slice(3)).toEqual(['getMany a 1'])
  // Polls go on.
  all.timers.advance(HOUR)
  await settled()
  expect(source.asked.at(-1)).toBe('getMany a 2,b 1')
  expect(store.health()).toMatchObject({ state: 'live', polls: 1 })
})

test('it is not asked to tell where the program does not want it', async () => {
  await using all = await opened({ watch: false })
  expect(watches(all.source)).toBe(0)
  expect(all.store.health().state).toBe('polling')
})

test('what happened before the watch was open is told as well', async () => {
  const source = new TellingSource()
  source.put('a', 'first')
  const get = source.get.bind(source)
  source.get = async (...args) => {
    const value = await get(...args)
    source.put('a', 'second')
    return value
  }
  await using all = await opened({}, source)
  expect(all.store.secret('a').text()).toBe('second')
})

test('what is looked up is watched within a second, with what else is held', async () => {
  await using all = await opened({ secrets: [], lookup: true })
  const { source, store, timers } = all
  expect(source.streams.size).toBe(0)
  expect(store.health().state).toBe('polling')
  source.put('b', 'of b')
  await Promise.all([store.lookup('a'), store.lookup('b')])
  timers.advance(1_000)
  await settled()
  expect(source.asked.at(-1)).toBe('watch a 1,b 1')
  source.put('c', 'of c')
  await store.lookup('c')
  source.put('a', 'second')
  await settled()
  expect(store.secret('a').text()).toBe('second')
  timers.advance(1_000)
  await settled()
  expect(source.asked.at(-1)).toBe('watch a 2,b 1,c 1')
  expect(source.streams.size).toBe(1)
  expect(store.health()).toMatchObject({ state: 'live', error: undefined })
})

test('it is closed with the store, and so is what waits', async () => {
  const { source, store } = await opened()
  const waiting = store.changes('a').next()
  await store.close()
  expect(source.streams.size).toBe(0)
  expect(await waiting).toEqual({ done: true, value: undefined })
  source.put('a', 'second')
  await settled()
  expect(store.secret('a').text()).toBe('first')
})

describe('the end of a watch', () => {
  test('a server that stops is asked again after up to five seconds, and has not failed', async () => {
    await using all = await opened()
    const { source, store, timers, events } = all
    source.bye('stopping')
    await settled()
    expect(store.health()).toMatchObject({ state: 'polling', error: undefined })
    timers.advance(2_499)
    await settled()
    expect(watches(source)).toBe(1)
    source.put('a', 'meanwhile')
    timers.advance(1)
    await settled()
    expect(store.health().state).toBe('live')
    expect(store.secret('a').text()).toBe('meanwhile')
    expect(events.map(({ kind }) => kind)).toEqual(['changed'])
  })

  test('of age: it is opened again at once, or later where it was young', async () => {
    await using all = await opened()
    const { source, timers, events } = all
    source.bye('age')
    await settled()
    expect(watches(source)).toBe(1)
    timers.advance(500)
    await settled()
    expect(watches(source)).toBe(2)
    timers.advance(2 * MINUTE)
    source.bye('age')
    await settled()
    expect(watches(source)).toBe(3)
    expect(events).toEqual([])
  })

  test('one that broke off is tried again later each time, up to five minutes', async () => {
    await using all = await opened({ random: () => 0.999, pollMs: 0 })
    const { source, store, timers, events } = all
    source.isDown = true
    source.cut()
    await settled()
    expect(store.health()).toMatchObject({ state: 'stale', error: { code: 'unreachable' } })
    const { since } = store.health()
    for (let ms = 1_000, tried = 1; tried < 12; tried++) {
      timers.advance(0.99 * ms)
      await settled()
      expect(watches(source)).toBe(tried)
      timers.advance(0.01 * ms)
      await settled()
      expect(watches(source)).toBe(tried + 1)
      ms = Math.min(2 * ms, 300_000)
    }
    expect(store.health().since).toBe(since)
    // Handles never wait.
    expect(store.secret('a').text()).toBe('first')
    source.isDown = false
    source.put('a', 'second')
    timers.advance(300_000)
    await settled()
    expect(store.secret('a').text()).toBe('second')
    expect(store.health()).toMatchObject({ state: 'live', error: undefined })
    expect(events.at(-1)).toEqual({ kind: 'recovered' })
    // Not well for two minutes: what failed before still counts.
    source.cut()
    await settled()
    const before = watches(source)
    timers.advance(200_000)
    await settled()
    expect(watches(source)).toBe(before)
    timers.advance(100_000)
    await settled()
    timers.advance(2 * MINUTE)
    source.cut()
    await settled()
    timers.advance(1_000)
    await settled()
    expect(watches(source)).toBe(before + 2)
  })

  test('a server that asks for time has it', async () => {
    const source = new TellingSource()
    const answer = { status: 503, requestId: undefined, retryAfterMs: 100_000 }
    source.watchFault = new ServerError('overloaded', 'Cannot watch: too many requests', answer)
    await using all = await opened({}, source)
    const { store, timers } = all
    expect(watches(source)).toBe(1)
    // It answers otherwise.
    expect(store.health()).toMatchObject({
      state: 'polling',
      error: { code: 'overloaded' },
      polls: 0,
    })
    timers.advance(99_999)
    await settled()
    expect(watches(source)).toBe(1)
    source.watchFault = undefined
    timers.advance(1)
    await settled()
    expect(store.health()).toMatchObject({ state: 'live', error: undefined })
  })

  const without: readonly (readonly [string, SottoError])[] = [
    ['has none', new SottoError('no_such_method', 'Cannot watch: invalid method')],
    ...[404, 405, 501].map((status) => {
      const answer = { status, requestId: undefined }
      return [`answers ${status}`, new ServerError('bad_answer', 'Cannot watch', answer)] as const
    }),
  ]
  test.each(without)(
    'a server that %s is polled, and asked again after an hour',
    async (...[, fault]) => {
      const source = new TellingSource()
      source.watchFault = fault
      const cache = memoryCache('{"a":{"secret":{"Value":"Zg==","Version":1},"lastAccess":"0"}}')
      source.put('a', 'first')
      source.put('a', 'second')
      await using all = await opened({ cache, pollMs: 10 * HOUR }, source)
      const { store, timers, events } = all
      // What the cache had is looked at once.
      expect(store.secret('a').text()).toBe('second')
      expect(store.health()).toMatchObject({ state: 'polling', error: undefined, polls: 1 })
      timers.advance(HOUR - 1)
      await settled()
      expect(watches(source)).toBe(1)
      source.watchFault = undefined
      timers.advance(1)
      await settled()
      expect(store.health()).toMatchObject({ state: 'live', polls: 1 })
      expect(events.filter(({ kind }) => kind === 'failed')).toEqual([])
    },
  )

  test.each(['denied', 'internal'] as const)(
    '%s is a failure, not the lack of a watch',
    async (code) => {
      await using all = await opened()
      const { source, store, timers, events } = all
      source.watchFault = new ServerError(code, 'Cannot watch', {
        status: 500,
        requestId: undefined,
      })
      source.cut(source.watchFault)
      await settled()
      // It is polled at once, and once.
      expect(store.health()).toMatchObject({ state: 'polling', error: { code }, polls: 1 })
      for (let tried = 0; tried < 5; tried++) {
        timers.advance(5 * MINUTE)
        await settled()
      }
      expect(watches(source)).toBe(6)
      expect(store.health()).toMatchObject({ state: 'polling', polls: 1, failedPolls: 0 })
      expect(events.filter(({ kind }) => kind === 'failed')).toHaveLength(6)
    },
  )

  test('more than a thousand secrets are polled', async () => {
    const source = new TellingSource()
    const secrets = Array.from({ length: 1_001 }, (_, at) => `s${at}`)
    for (const name of secrets) source.put(name, name)
    await using all = await opened({ secrets }, source)
    expect(watches(source)).toBe(0)
    expect(all.store.health()).toMatchObject({ state: 'polling', error: undefined })
    all.timers.advance(HOUR)
    await settled()
    expect(source.asked.filter((each) => each.startsWith('getMany'))).toHaveLength(4)
  })

  test('a proxy that holds streams back: the server is asked for each change', async () => {
    const source = new TellingSource()
    const streams: PromiseWithResolvers<never>[] = []
    source.watch = async function* heldBack(held) {
      source.asked.push(`watch ${held.size}`)
      const silent = Promise.withResolvers<never>()
      streams.push(silent)
      yield await silent.promise
    }
    const told: PromiseWithResolvers<Change[]>[] = []
    source.watchOnce = async (held, { revision } = {}) => {
      source.asked.push(`watchOnce ${[...held].join()}`)
      const answer = Promise.withResolvers<Change[]>()
      told.push(answer)
      const changes = await answer.promise
      revision?.(`${source.branch}.${source.revision}`)
      return changes
    }
    await using all = await opened({}, source)
    const { store, timers, next } = all
    timers.advance(40_000)
    streams[0]?.reject(lost)
    await settled()
    timers.advance(1_000)
    await settled()
    expect(source.asked.at(-1)).toBe('watchOnce a,1')
    told[0]?.resolve([])
    await settled()
    expect(store.health().state).toBe('live')
    const changed = next('changed')
    source.put('a', 'second')
    told[1]?.resolve([{ Name: 'a', Version: 2, Revision: source.revision }])
    await changed
    await settled()
    expect(source.asked.at(-1)).toBe('watchOnce a,2')
    // What is denied is said each time: the next question waits.
    told[2]?.resolve([{ Name: 'a', Denied: true, Revision: source.revision }])
    await settled()
    expect(store.health().denied).toEqual(['a'])
    expect(told).toHaveLength(3)
    timers.advance(25_000)
    await settled()
    expect(source.asked.at(-1)).toBe('watchOnce a,0')
    told[3]?.resolve([{ Name: 'a', Version: 2, Revision: source.revision }])
    await settled()
    expect(store.health().denied).toEqual([])
    // Where that breaks, streams are tried again.
    told[4]?.reject(lost)
    await settled()
    timers.advance(2_000)
    await settled()
    expect(source.asked.at(-1)).toBe('watch 1')
    streams[1]?.reject(lost)
    told[5]?.resolve([])
  })
})

describe('rights that are taken away', () => {
  test('a declared secret keeps its value, is told, and leaves the cache at once; and comes back', async () => {
    const cache = memoryCache()
    await using all = await opened({ cache })
    const { source, store, events } = all
    expect(cache.text()).toContain('"a"')
    source.allow('a', false)
    await settled()
    expect(cache.text()).toBe('{}')
    expect(store.secret('a').text()).toBe('first')
    expect(store.health()).toMatchObject({ state: 'live', denied: ['a'] })
    expect(events).toEqual([expect.objectContaining({ kind: 'denied', name: 'a' })])
    source.put('a', 'second')
    await settled()
    expect(source.asked.filter((each) => each.startsWith('get'))).toEqual(['get a'])
    source.allow('a', true)
    await settled()
    expect(store.secret('a').text()).toBe('second')
    expect(store.health().denied).toEqual([])
    expect(events.map(({ kind }) => kind)).toEqual(['denied', 'allowed', 'changed'])
    expect(cache.text()).toContain('"Version":2')
  })

  test('what a poll found denied is told when it is not any more, though nothing else changed', async () => {
    await using all = await opened()
    const { source, store, timers } = all
    source.tellsAtOnce = false
    source.allow('a', false)
    await expect(store.refresh()).rejects.toMatchObject({ code: 'denied' })
    source.allow('a', true)
    source.tellsAtOnce = true
    timers.advance(1_000)
    await settled()
    expect(source.asked.at(-1)).toBe('watch a 0')
    expect(store.health().denied).toEqual([])
  })

  test('allowed again at the same version, it is as before', async () => {
    await using all = await opened()
    const { source, store, events } = all
    source.allow('a', false)
    await settled()
    source.allow('a', true)
    await settled()
    expect(store.health().denied).toEqual([])
    expect(events.map(({ kind }) => kind)).toEqual(['denied', 'allowed'])
    expect(source.asked).toEqual(['get a', 'watch a 1'])
  })

  test('one that was looked up is not given any more, and leaves the cache', async () => {
    const cache = memoryCache()
    await using all = await opened({ secrets: [], lookup: true, cache })
    const { source, store, timers } = all
    const handle = await store.lookup('a')
    timers.advance(1_000)
    await settled()
    source.allow('a', false)
    await settled()
    expect(() => handle.text()).toThrow('access denied')
    expect(() => store.secret('a')).toThrow('does not hold')
    expect(cache.text()).toBe('{}')
  })

  test('a secret that is deleted keeps its value and is told as missing, until there is one again', async () => {
    await using all = await opened()
    const { source, store, events } = all
    source.delete('a')
    await settled()
    expect(store.health()).toMatchObject({ state: 'live', missing: ['a'] })
    expect(store.secret('a').text()).toBe('first')
    source.put('a', 'second')
    await settled()
    expect(store.secret('a').text()).toBe('second')
    expect(events.map(({ kind }) => kind)).toEqual(['missing', 'allowed', 'changed'])
  })
})

describe('answers from before', () => {
  test('one that is older than what was told is not taken: the server is asked again', async () => {
    await using all = await opened()
    const { source, store, timers, next } = all
    // A second server of the same store, which is not as far yet.
    source.lag = 1
    const changed = next('changed')
    source.put('a', 'second')
    await settled()
    expect(store.secret('a').text()).toBe('first')
    source.lag = 0
    timers.advance(50)
    await changed
    expect(store.secret('a').text()).toBe('second')
    expect(store.health()).toMatchObject({ state: 'live', error: undefined })
  })

  test('where all answers are, that is told, and nothing is taken', async () => {
    await using all = await opened()
    const { source, store, timers } = all
    source.lag = 1
    source.put('a', 'second')
    for (let tried = 0; tried < 5; tried++) {
      await settled()
      timers.advance(2_000)
    }
    await settled()
    expect(store.secret('a').text()).toBe('first')
    expect(store.health()).toMatchObject({ state: 'stale', error: { code: 'rolled_back' } })
  })

  test('a poll whose answer comes late takes back nothing', async () => {
    await using all = await opened()
    const { source, store } = all
    const late = Promise.withResolvers<void>()
    source.gate = late.promise
    const polled = store.refresh()
    await settled()
    source.gate = Promise.resolve()
    source.put('a', 'second')
    await settled()
    late.resolve()
    await polled
    await settled()
    expect(store.secret('a').text()).toBe('second')
    expect(store.health()).toMatchObject({ state: 'live', error: undefined })
  })

  test('a server that was replaced by an older copy is told, and not believed until it is as far', async () => {
    await using all = await opened()
    const { source, store, timers, events } = all
    source.put('a', 'second')
    await settled()
    source.cut()
    source.revision -= 1
    await settled()
    timers.advance(500)
    await settled()
    expect(store.health()).toMatchObject({ state: 'stale', error: { code: 'rolled_back' } })
    expect(store.secret('a').text()).toBe('second')
    source.put('a', 'third')
    source.put('a', 'fourth')
    timers.advance(5_000)
    await settled()
    expect(store.secret('a').text()).toBe('fourth')
    expect(store.health().state).toBe('live')
    expect(events.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['failed', 'recovered', 'changed']),
    )
  })

  test('a version that the program creates while another is told is not taken for the newest', async () => {
    const source = new TellingSource()
    source.put('a', 'first')
    const created = Promise.withResolvers<void>()
    Object.assign(source, {
      info: () => Promise.reject(new Error('not asked for')),
      getVersion: () => Promise.reject(new Error('not asked for')),
      createVersion: async () => {
        source.put('a', 'created')
        source.put('a', 'of another')
        await created.promise
      },
    })
    await using all = await opened({ lookup: true }, source)
    const creating = all.store.versionedSecret('a').create(2, Buffer.from('created'))
    await settled()
    created.resolve()
    await creating
    expect(all.store.secret('a').text()).toBe('of another')
  })
})

describe('another branch of the store', () => {
  test('is taken and reported, also where a number has another value there', async () => {
    await using all = await opened()
    const { source, store, timers, events } = all
    source.cut()
    const before = source.branch
    source.restore('a', 'restored')
    await settled()
    timers.advance(500)
    await settled()
    expect(store.secret('a').text()).toBe('restored')
    expect(store.health().state).toBe('live')
    expect(events).toContainEqual({ kind: 'branch', before, branch: source.branch })
    expect(source.asked.at(-1)).toBe('getMany a 0')
  })

  test('a cache of the other branch is not taken for the server’s', async () => {
    const cache = memoryCache()
    const first = await opened({ cache })
    await first.store.close()
    const { source } = first
    source.restore('a', 'restored')
    for (const watch of [true, false]) {
      await using all = await opened({ cache: memoryCache(cache.text()), watch }, source)
      expect(all.store.secret('a').text()).toBe('restored')
      expect(all.events.filter(({ kind }) => kind === 'branch')).toHaveLength(1)
    }
    // Of the same branch, a value is not asked for again.
    source.asked.length = 0
    source.branch = 'b'.repeat(16)
    await using again = await opened({ cache: memoryCache(cache.text()) }, source)
    expect(again.events).toEqual([])
    expect(source.asked).toEqual(['watch a 1'])
  })
})

test('a clock that jumps changes nothing', async () => {
  let now = 1_000_000 * HOUR
  await using all = await opened({ clock: () => new Date(now) })
  const { source, store, timers, events } = all
  for (const days of [1, -2, 1]) {
    now += days * 24 * HOUR
    source.put('a', `after ${days}`)
    await settled()
    expect(store.secret('a').text()).toBe(`after ${days}`)
  }
  timers.advance(2 * MINUTE)
  expect(store.health().state).toBe('live')
  expect(events.map(({ kind }) => kind)).toEqual(['changed', 'changed', 'changed'])
})

test('a process that was paused for an hour takes up where it was', async () => {
  await using all = await opened()
  const { source, store, timers } = all
  source.tellsAtOnce = false
  source.put('a', 'second')
  source.cut()
  timers.advance(HOUR)
  await settled()
  timers.advance(5_000)
  await settled()
  expect(store.secret('a').text()).toBe('second')
  expect(store.health().state).toBe('live')
})

test('what cannot be had ends the watch, and is had with the next', async () => {
  await using all = await opened()
  const { source, store, timers, events } = all
  const getMany = source.getMany.bind(source)
  source.getMany = async (wanted) =>
    wanted.map(({ Name }) => ({ Name, Error: 'internal' as const }))
  source.put('a', 'second')
  await settled()
  expect(store.secret('a').text()).toBe('first')
  expect(store.health()).toMatchObject({ state: 'stale', error: { code: 'internal' } })
  source.getMany = getMany
  timers.advance(1_000)
  await settled()
  expect(store.secret('a').text()).toBe('second')
  expect(store.health().state).toBe('live')
  expect(events.filter(({ kind }) => kind === 'failed')).not.toEqual([])
})

test('a value that an answer for many has no room for is asked for alone', async () => {
  await using all = await opened()
  const { source, store } = all
  source.getMany = async (wanted) =>
    wanted.map(({ Name }) => ({ Name, Error: 'too_large' as const }))
  source.put('a', 'second')
  await settled()
  expect(store.secret('a').text()).toBe('second')
})

test('a server that tells, and takes no question for many, is asked for each', async () => {
  await using all = await opened()
  const { source, store } = all
  source.getMany = () => Promise.reject(new SottoError('no_such_method', 'invalid method'))
  source.put('a', 'second')
  await settled()
  expect(store.secret('a').text()).toBe('second')
  expect(source.asked.at(-1)).toBe('getIfChanged a 1')
})

test('no event has a value', async () => {
  const canary = 'canary-of-the-watch'
  await using all = await opened()
  const told: WatchEvent[] = []
  const watch = all.source.watch.bind(all.source)
  all.source.watch = async function* noted(...args) {
    for await (const event of watch(...args)) {
      told.push(event)
      yield event
    }
  }
  all.source.cut()
  await settled()
  all.timers.advance(1_000)
  await settled()
  all.source.put('a', canary)
  await settled()
  expect(all.store.secret('a').text()).toBe(canary)
  expect(told.length).toBeGreaterThan(1)
  expect(JSON.stringify([told, all.events])).not.toContain(canary)
})
