/** Watches without a server: what is told, in which order, and when one is let go of, by a clock that a test moves. */
import { expect, test } from 'vitest'
import { SottoError } from '../../../client/api/errors.ts'
import type { Caller } from '../../../server/access.ts'
import { RecentQueries } from '../../../server/http/watch/recent.ts'
import { WatchQuery } from '../../../server/http/watch/query.ts'
import { WatchStream } from '../../../server/http/watch/stream.ts'
import { Watched } from '../../../server/http/watch/watched.ts'
import { type WatchLimits, watchLimits, Watchers } from '../../../server/http/watch/watchers.ts'
import { ActiveVersions } from '../../../server/secrets/active-versions.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'

const caller: Caller = { principal: { hostname: 'app', ip: '127.0.0.2' }, rules: [] }

/** Secrets and watches of them. */
function world(limits: Partial<WatchLimits> = {}) {
  const timers = new ManualTimers()
  const watchers = new Watchers({
    limits: { ...watchLimits, ...limits },
    timers,
    random: () => 0,
  })
  const secrets = new Map<string, number>()
  const denied = new Set<string>()
  let revision = 0
  let named = 0
  let failure: SottoError | undefined
  const faults: SottoError[] = []
  const reported: string[] = []

  const watched = (held: Record<string, number>): Watched =>
    new Watched(new Map(Object.entries(held)), (name) => !denied.has(name), {
      activeOf: async (name) => secrets.get(name) ?? 0,
      position: () => ({ text: `b.${revision}`, revision }),
      identify: async () => {
        named++
        if (failure) throw failure
        return caller
      },
      allowing: () => {
        const now = new Set(denied)
        return (name) => !now.has(name)
      },
      failed: (error) => faults.push(error),
    })
  const report = () => ({
    ended: (byClient: boolean) => void reported.push(byClient ? 'left' : 'ended'),
  })

  /** A stream whose writes are taken at once, or when `take` is called. */
  const stream = (held: Record<string, number>, { slow = false, node = 'n' } = {}) => {
    const written: string[] = []
    const waiting: (() => void)[] = []
    let state = 'open'
    const made = new WatchStream({
      node,
      watched: watched(held),
      watchers,
      report,
      timers,
      random: () => 0,
      output: {
        write: (text, taken) => {
          written.push(text.toString())
          if (slow) waiting.push(taken)
          else taken()
        },
        end: (text) => {
          written.push(text)
          state = 'ended'
        },
        destroy: () => (state = 'destroyed'),
      },
    })
    watchers.enter(made)
    made.begin()
    return {
      stream: made,
      written,
      state: () => state,
      take: async () => {
        for (const taken of waiting.splice(0)) taken()
        await settled()
      },
      /** What was written since the last time, without ids. */
      told: () =>
        written
          .splice(0)
          .join('')
          .replaceAll(/id: .*\n/g, ''),
    }
  }

  return {
    timers,
    watchers,
    stream,
    query: (held: Record<string, number>) => {
      const made = new WatchQuery({ node: 'n', watched: watched(held), watchers, timers })
      watchers.enter(made)
      return made
    },
    commit: (name: string, version: number) => {
      secrets.set(name, version)
      revision++
      watchers.committed({ secret: name })
    },
    set: (name: string, version: number) => void secrets.set(name, version),
    deny: (...names: string[]) => {
      denied.clear()
      for (const name of names) denied.add(name)
    },
    fail: (error: SottoError | undefined) => (failure = error),
    named: () => named,
    reported,
    /** Lets time pass second by second. */
    pass: async (seconds: number) => {
      for (let count = 0; count < seconds; count++) {
        timers.advance(1000)
        await settled()
      }
    },
  }
}

const change = (name: string, what: string, revision: number): string =>
  `event: change\ndata: {"Name":"${name}",${what},"Revision":${revision}}\n\n`
const synced = (revision: number): string => `event: synced\ndata: {"Revision":${revision}}\n\n`

test('what differs is told, then synced; a change that leaves the active version is not', async () => {
  const { stream, set, commit } = world()
  set('a', 2)
  set('b', 1)
  const one = stream({ a: 1, b: 1 })
  await settled()
  expect(one.told()).toBe(change('a', '"Version":2', 0) + synced(0))
  commit('b', 1)
  await settled()
  expect(one.told()).toBe('')
  commit('b', 5)
  await settled()
  expect(one.told()).toBe(change('b', '"Version":5', 2) + synced(2))
})

test('a thousand changes of one name cost a slow reader one event, and nothing is kept for it', async () => {
  const { stream, set, commit } = world()
  set('a', 1)
  const one = stream({ a: 0 }, { slow: true })
  await settled()
  expect(one.told()).toBe(change('a', '"Version":1', 0) + synced(0))
  for (let version = 2; version <= 1000; version++) commit('a', version)
  await settled()
  expect(one.written).toEqual([])
  await one.take()
  expect(one.told()).toBe(change('a', '"Version":1000', 999) + synced(999))
})

test('no more is written ahead of a reader than a piece, however many names there are', async () => {
  const { stream } = world()
  const held = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`name-${at}`, 1]))
  const one = stream(held, { slow: true })
  await settled()
  let pieces = 0
  let whole = ''
  for (; one.written.length > 0; pieces++) {
    expect(one.written.join('').length).toBeLessThan(32 * 1024)
    whole += one.told()
    await one.take()
  }
  expect(pieces).toBeGreaterThan(3)
  expect(whole.match(/event: change/g)).toHaveLength(1000)
  expect(whole.match(/event: synced/g)).toHaveLength(1)
  expect(whole.endsWith(synced(0))).toBe(true)
})

test('rights are asked for again before each event, and a denied name is told once, until it is allowed', async () => {
  const { stream, set, commit, deny, named } = world()
  set('a', 1)
  const one = stream({ a: 1, b: 0 })
  await settled()
  expect([one.told(), named()]).toEqual([synced(0), 0])
  deny('a')
  commit('a', 2)
  await settled()
  expect([one.told(), named()]).toEqual([change('a', '"Denied":true', 1) + synced(1), 1])
  commit('a', 3)
  await settled()
  // Nobody is asked for the sake of what is denied.
  expect([one.told(), named()]).toEqual(['', 1])
  deny()
  commit('b', 1)
  await settled()
  const [first = '', second = ''] = one.told().split(/(?<=\n\n)/)
  expect([first, second].toSorted()).toEqual([
    change('a', '"Version":3', 3),
    change('b', '"Version":1', 3),
  ])
})

test('who may know none of the names is told no revision', async () => {
  const { stream, commit, deny } = world()
  deny('a')
  commit('z', 1)
  const one = stream({ a: 1 })
  await settled()
  expect(one.written.join('')).toBe(change('a', '"Denied":true', 0) + synced(0))
})

test('a heartbeat comes at least every 15 s, and rights are asked for at least every 30 s', async () => {
  const { stream, pass, named } = world()
  const one = stream({ a: 0 })
  await settled()
  one.told()
  await pass(45)
  expect(one.told()).toMatch(/^(?::\n\n){3,4}$/)
  const before = named()
  await pass(30)
  expect(named() - before).toBeGreaterThanOrEqual(1)
})

test('what a reader does not take for 30 s ends its stream; one that takes it in time stays', async () => {
  const { stream, pass } = world()
  const idle = stream({ a: 1 }, { slow: true })
  const late = stream({ a: 1 }, { slow: true })
  await settled()
  await pass(25)
  await late.take()
  await pass(6)
  expect([idle.state(), late.state()]).toEqual(['ended', 'open'])
  expect(idle.told()).toMatch(/event: bye\ndata: \{"Reason":"lag"\}\n\n$/)
})

test('a stream ends after five to ten minutes', async () => {
  const { stream, pass, reported } = world()
  const one = stream({ a: 0 })
  await pass(299)
  expect(one.state()).toBe('open')
  await pass(20)
  expect(one.state()).toBe('ended')
  expect(one.told()).toMatch(/event: bye\ndata: \{"Reason":"age"\}\n\n$/)
  expect(reported).toEqual(['ended'])
})

test('a caller that cannot be named any more is cut off, without a word', async () => {
  const { stream, fail, watchers, reported } = world()
  const one = stream({ a: 0 })
  await settled()
  one.told()
  fail(new SottoError('unidentified', 'gone'))
  watchers.gone({ nodes: ['other'] })
  await settled()
  expect(one.state()).toBe('open')
  watchers.gone({ nodes: ['n'] })
  await settled()
  expect([one.state(), one.told()]).toEqual(['destroyed', ''])
  expect(reported).toEqual(['ended'])
})

test('where too many are being named it is tried again a second later, and nothing is told before', async () => {
  const { stream, fail, commit, pass } = world()
  const one = stream({ a: 0 })
  await settled()
  one.told()
  fail(new SottoError('overloaded', 'busy'))
  commit('a', 1)
  await pass(3)
  expect([one.state(), one.told()]).toEqual(['open', ':\n\n'])
  fail(undefined)
  await pass(1)
  expect(one.told()).toBe(change('a', '"Version":1', 1) + synced(1))
})

test('limits are of all, and of each node; a stop ends all and takes no more', async () => {
  const { stream, watchers } = world({ watchers: 4, perNode: 2 })
  const refused = (node: string): unknown => {
    try {
      stream({ a: 0 }, { node })
      return 'entered'
    } catch (error) {
      return (error as SottoError).code
    }
  }
  const first = stream({ a: 0 }, { node: 'x' })
  expect(['x', 'x', 'y', 'z', 'z'].map(refused)).toEqual([
    'entered',
    'overloaded',
    'entered',
    'entered',
    'overloaded',
  ])
  first.stream.close()
  expect(refused('x')).toBe('entered')
  watchers.stop()
  expect(refused('y')).toBe('shutting_down')
})

test('a stop says bye to a thousand, in slices', async () => {
  const { stream, watchers } = world({ perNode: 2000 })
  const all = Array.from({ length: 1001 }, () => stream({ a: 0 }))
  await settled()
  watchers.stop()
  await settled()
  expect(new Set(all.map((each) => each.state()))).toEqual(new Set(['ended']))
  expect(all.at(-1)?.told()).toMatch(/"stopping"\}\n\n$/)
})

test('names of all watches together are bounded, and given back', () => {
  const { stream, watchers } = world({ names: 5 })
  const [first] = [stream({ a: 0, b: 0, c: 0 }), stream({ a: 0, b: 0 })]
  expect(() => stream({ a: 0 })).toThrow('5 names are watched')
  first.stream.close()
  expect(stream({ x: 0, y: 0, z: 0 }).state()).toBe('open')
  watchers.stop()
})

test('callers who may know none of their names have a sixteenth, and leave the rest to others', () => {
  const { stream, deny, watchers } = world({ watchers: 64, perNode: 3, names: 160 })
  const open = (node: string, ...names: string[]) =>
    stream(Object.fromEntries(names.map((name) => [name, 0])), { node })
  deny('a', 'b', 'c', 'd', 'e', 'f')
  const strangers = ['n1', 'n1', 'n2', 'n3'].map((node) => open(node, 'a', 'b'))
  expect(() => open('n4', 'a')).toThrow('4 watches are open of callers who may know none')
  // One name is enough to be none of them.
  for (let node = 10; node < 70; node++) open(`n${node}`, 'a', 'x')
  expect(() => open('n70', 'x')).toThrow('64 watches are open')
  watchers.stop()
  expect(new Set(strangers.map((each) => each.state()))).toEqual(new Set(['ended']))
})

test('and a sixteenth of the names; what they had is given back at their end, whatever they may know by then', async () => {
  const { stream, deny, pass } = world({ names: 160 })
  const open = (...names: string[]) => stream(Object.fromEntries(names.map((name) => [name, 0])))
  const many = Array.from({ length: 9 }, (_, at) => `${at}`)
  deny('a', 'b', ...many)
  const first = open(...many)
  expect(() => open('a', 'b')).toThrow('1 watches are open of callers who may know none')
  expect(open('a').state()).toBe('open')
  expect(open('a', 'x').state()).toBe('open')
  deny('a')
  await pass(30)
  first.stream.close()
  deny('a', 'b', ...many)
  expect(open(...many).state()).toBe('open')
  expect(() => open('b')).toThrow('callers who may know none')
})

test('B8: a long name counts as several, and no node has more than its part of them', () => {
  const { stream, watchers } = world({ names: 10, namesOfNode: 6 })
  const long = 'x'.repeat(65 * 4 - 4)
  expect(stream({ [long]: 0 }).state()).toBe('open')
  const [second] = [stream({ a: 0, b: 0 })]
  expect(() => stream({ c: 0 })).toThrow('this node watches 6 names')
  expect(stream({ [long]: 0 }, { node: 'other' }).state()).toBe('open')
  expect(() => stream({ a: 0 }, { node: 'third' })).toThrow('10 names are watched')
  second.stream.close()
  expect(stream({ a: 0, c: 0 }, { node: 'third' }).state()).toBe('open')
  watchers.stop()
})

test('a query answers with the first change, with nothing at its end, and fails with its caller', async () => {
  const { query, commit, fail, timers, deny } = world()
  const first = query({ a: 0, b: 0 }).answer(5000)
  await settled()
  commit('b', 1)
  expect(await first).toEqual({
    differences: [{ name: 'b', version: 1 }],
    at: 'b.1',
    revision: 1,
  })
  const second = query({ a: 0 }).answer(5000)
  await settled()
  timers.advance(5000)
  expect(await second).toMatchObject({ differences: [] })
  const third = query({ a: 0 }).answer(50_000)
  await settled()
  deny('a')
  for (let count = 0; count < 28; count++) {
    timers.advance(1000)
    await settled()
  }
  expect(await third).toMatchObject({ differences: [{ name: 'a' }], at: undefined, revision: 0 })
  deny()
  const fourth = query({ a: 0 }).answer(5000)
  fail(new SottoError('unidentified', 'gone'))
  await settled()
  commit('a', 2)
  await expect(fourth).rejects.toMatchObject({ code: 'unidentified' })
})

test('look-ups of one name at the same time are one, but none that a change overtook', async () => {
  let reads = 0
  let active = 1
  const row = async () => {
    reads++
    const found = active
    await settled()
    return { active: found } as never
  }
  const versions = new ActiveVersions({ row })
  const before = [versions.of('a'), versions.of('a')]
  active = 2
  versions.changed('a')
  expect(await versions.of('a')).toBe(2)
  expect(await Promise.all(before)).toEqual([1, 1])
  expect(reads).toBe(2)
})

test('a query is recorded once an hour for its names and rights, and so many are remembered', () => {
  let now = 0
  const recent = new RecentQueries(() => now)
  const known = (node: string, names: string[], isAllowed = true): boolean =>
    recent.isKnown(node, names, () => isAllowed)
  expect([known('n', ['a', 'b']), known('n', ['b', 'a'])]).toEqual([false, true])
  expect([known('m', ['a', 'b']), known('n', ['a'])]).toEqual([false, false])
  expect(known('n', ['a', 'b'], false)).toBe(false)
  now = 3_600_000
  expect([known('n', ['a', 'b']), known('n', ['a', 'b'])]).toEqual([false, true])
  for (let count = 0; count < 10_001; count++) known('n', [`x${count}`])
  expect(known('n', ['a', 'b'])).toBe(false)
})
