/**
 * A store of a program against a real server, Sotto's or setec's: what setec's own tests of its store ask, by their names,
 * and what Sotto adds.
 */
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../../client/api/errors.ts'
import { type Client, ServerError } from '../../../client/client.ts'
import { memoryCache } from '../../../client/store/cache.ts'
import { openKeyring } from '../../../client/store/keyring.ts'
import type { StoreOptions } from '../../../client/store/options.ts'
import type { Source } from '../../../client/store/source.ts'
import { openStore, type Store } from '../../../client/store/store.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import { type Heard, listen } from './listen.ts'
import type { TailnetFile } from '../../../server/identity/development.ts'
import { bytes, everything, fourCallers } from '../../support/service.ts'

const HOUR = 3_600_000

/** A server with the callers of `fourCallers`. */
export interface Server extends AsyncDisposable {
  /** A client that calls from the loopback address `from`. */
  client(from?: string): Client
  /** Writes the tailnet file again. */
  policy(file: TailnetFile): void
}

/** Puts the values, each of a name as a version more, and activates the last. */
async function fill(client: Client, secrets: Readonly<Record<string, string[]>>): Promise<void> {
  for (const [name, values] of Object.entries(secrets)) {
    let version = 0
    for (const value of values) version = await client.put(name, bytes(value))
    await client.activate(name, version)
  }
}

/** Opens a store with events that a test can wait for, and time that the test moves. */
async function openWith(
  source: Source,
  options: Omit<StoreOptions, 'server'>,
): Promise<{ store: Store; timers: ManualTimers } & Heard> {
  const timers = new ManualTimers()
  const heard = listen()
  const store = await openStore({
    server: source,
    timers,
    random: () => 0.5,
    report: heard.report,
    ...options,
  })
  return { store, timers, ...heard }
}

/** What a promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<SottoError> {
  const error = await promise.then(
    () => 'it resolved',
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SottoError)
  return error as SottoError
}

/** A source that counts what it is asked, and can be made to fail. */
function counted(source: Source): Source & { calls: string[]; fault: SottoError | undefined } {
  const asked = {
    server: source.server,
    calls: [] as string[],
    fault: undefined as SottoError | undefined,
    get: async (name: string, options?: object) => {
      asked.calls.push(`get ${name}`)
      if (asked.fault) throw asked.fault
      return source.get(name, options)
    },
    getIfChanged: async (name: string, held: number, options?: object) => {
      asked.calls.push(`getIfChanged ${name} ${held}`)
      if (asked.fault) throw asked.fault
      return source.getIfChanged(name, held, options)
    },
  }
  return asked
}

const down = new SottoError('unreachable', 'Cannot get "a": nothing is listening there')

/** Refreshes a store whose timers a test moves: after the pause that two refreshes have between them. */
async function refreshed(store: Store, timers: ManualTimers): Promise<void> {
  const done = store.refresh()
  timers.advance(1_000)
  await done
}

/** The tests, each with a server of its own. `watch`: whether that is asked to tell of changes. */
export function describeStore(start: () => Promise<Server>, watch: boolean): void {
  const opened: typeof openWith = (source, options) => openWith(source, { watch, ...options })

  describe('TestStore', () => {
    test('NewStore_missingURL, NewStore_emptySecrets, NewStore_emptyName: refused at once', async () => {
      expect((await failure(openStore({ server: '', secrets: ['a'] }))).code).toBe('usage')
      const server = 'http://127.0.0.1:1'
      expect((await failure(openStore({ server }))).message).toContain('no secret is declared')
      const empty = await failure(openStore({ server, secrets: ['a', ''], lookup: true }))
      expect(empty.message).toContain('is empty')
      const poll = await failure(openStore({ server, secrets: ['a'], pollMs: -1 }))
      expect(poll.message).toContain('-1')
    })

    test('NewStore_missingSecret: waits until the signal, and says what was missing', async () => {
      await using service = await start()
      const { next, report } = listen()
      const abort = new AbortController()
      const opening = openStore({
        server: service.client(),
        secrets: ['nonesuch'],
        signal: abort.signal,
        report,
      })
      await next('failed')
      abort.abort()
      expect(await failure(opening)).toMatchObject({
        code: 'not_found',
        message: expect.stringContaining('"nonesuch"'),
      })
    })

    test('a signal that ends it before any answer gives its own reason', async () => {
      const signal = AbortSignal.abort(new Error('enough'))
      const opening = openStore({ server: 'http://127.0.0.1:1', secrets: ['a'], signal })
      await expect(opening).rejects.toThrow('enough')
    })

    test('NewStoreOK, NewStore_noLookup, NewStore_dupName', async () => {
      await using service = await start()
      await fill(service.client(), { alpha: ['ok'], bravo: ['yes', 'no'] })
      const source = counted(service.client())
      const { store } = await opened(source, { secrets: ['alpha', 'bravo', 'alpha'] })
      await using _ = store
      expect(store.secret('alpha').text()).toBe('ok')
      expect(store.secret('bravo')).toMatchObject({ name: 'bravo', version: 2 })
      expect(source.calls).toEqual(['get alpha', 'get bravo'])
      expect(() => store.secret('nonesuch')).toThrow('does not hold "nonesuch"')
      expect((await failure(store.lookup('charlie'))).code).toBe('usage')
      expect((await store.lookup('alpha')).text()).toBe('ok')
    })

    test('a value is copied: what the program does with it changes nothing', async () => {
      await using service = await start()
      await fill(service.client(), { alpha: ['ok'] })
      await using store = await openStore({ server: service.client(), secrets: ['alpha'] })
      store.secret('alpha').bytes().fill(0)
      expect(store.secret('alpha').text()).toBe('ok')
    })

    test('a secret that the server refuses is told at once, and not waited for', async () => {
      await using service = await start()
      await fill(service.client(), { 'team/a': ['x'] })
      const opening = openStore({ server: service.client('127.0.0.2'), secrets: ['team/a'] })
      expect((await failure(opening)).code).toBe('denied')
    })
  })

  test('TestSlowInit: waits for each secret that is declared, asking later each time', async () => {
    await using service = await start()
    const timers = new ManualTimers()
    const { next, report } = listen()
    const opening = openStore({
      server: service.client(),
      secrets: ['minsc', 'boo'],
      timers,
      random: () => 0.999,
      report,
    })
    await next('failed')
    await service.client().put('boo', bytes('go for the eyes'))
    const again = next('failed')
    timers.advance(100)
    expect(await again).toMatchObject({ error: { code: 'not_found' } })
    await service.client().put('dynaheir', bytes('my spell has no effect'))
    await service.client().put('minsc', bytes('full plate and packing steel'))
    timers.advance(200)
    await using store = await opening
    expect(store.secret('minsc').text()).toBe('full plate and packing steel')
    expect(store.secret('boo').text()).toBe('go for the eyes')
  })

  describe('TestCachedStore', () => {
    const old = '{"alpha":{"secret":{"Value":"Zm9vYmFy","Version":1},"lastAccess":"0"}}'

    test('opens without a server, then takes what it says, and keeps that', async () => {
      await using service = await start()
      await fill(service.client(), { alpha: ['foobar', 'bazquux'] })
      const cache = memoryCache(old)
      const heard = listen()
      const changed = heard.next('changed')
      await using store = await openStore({
        server: service.client(),
        secrets: ['alpha'],
        cache,
        clock: () => new Date(1000),
        report: heard.report,
      })
      const alpha = store.secret('alpha')
      expect(alpha).toMatchObject({ version: 1 })
      expect(alpha.text()).toBe('foobar')
      expect(await changed).toEqual({ kind: 'changed', name: 'alpha', version: 2 })
      expect(alpha.text()).toBe('bazquux')
      await store.close()
      expect(JSON.parse(cache.text())).toMatchObject({
        alpha: { secret: { Value: 'YmF6cXV1eA==', Version: 2 }, lastAccess: '1', checked: '1' },
      })
      expect(store.health().failedPolls).toBe(0)
    })

    test('a server that is down is stale, and waited for', async () => {
      const heard = listen()
      const failed = heard.next('failed')
      await using store = await openStore({
        server: 'http://127.0.0.1:1',
        secrets: ['alpha'],
        cache: memoryCache(old),
        report: heard.report,
      })
      expect(store.secret('alpha').text()).toBe('foobar')
      await failed
      expect(store.health()).toMatchObject({ state: 'stale', confirmed: undefined })
    })

    test('what the server said too long ago is not used', async () => {
      const checked = Math.floor(Date.now() / 1000) - 7200
      const text = old.replace('"lastAccess"', `"checked":"${checked}","lastAccess"`)
      const options = { server: 'http://127.0.0.1:1', secrets: ['alpha'] }
      const ahead = text.replace(String(checked), String(checked + 7 * 3600))
      // The second has no word of when the server was asked; of the third, a clock was wrong.
      for (const [kept, maxStaleMs] of [
        [text, HOUR],
        [old, 9 * HOUR],
        [ahead, 9 * HOUR],
      ] as const) {
        const { next, report } = listen()
        const abort = new AbortController()
        void next('failed').then(() => abort.abort())
        const cache = memoryCache(kept)
        const opening = openStore({ ...options, cache, maxStaleMs, report, signal: abort.signal })
        expect((await failure(opening)).code).toBe('unreachable')
      }
      await using store = await openStore({
        ...options,
        cache: memoryCache(text),
        maxStaleMs: 3 * HOUR,
      })
      expect(store.secret('alpha').text()).toBe('foobar')
    })
  })

  test.each([
    ['ReadFailed', undefined],
    ['DecodeFailed', '{"bad":JSON*#$&(@'],
    ['InvalidCache', '{"alpha":{"Value":"blah", "Version":100}}'],
    ['not base64', '{"alpha":{"secret":{"Value":"Zm9v*","Version":1}}}'],
  ])('TestBadCache %s: the server is asked', async (...[, text]) => {
    await using service = await start()
    await fill(service.client(), { alpha: ['foobar'] })
    const cache = memoryCache(text)
    if (text === undefined)
      cache.read = () => Promise.reject(new SottoError('local', 'read failed'))
    const { store, events } = await opened(service.client(), { secrets: ['alpha'], cache })
    await using _ = store
    expect(store.secret('alpha').text()).toBe('foobar')
    await settled()
    expect(events.filter(({ kind }) => kind === 'cache')).toHaveLength(1)
  })

  test('one damaged entry of a cache loses that entry alone', async () => {
    const text =
      '{"alpha":{"secret":{"Value":"Zm9vYmFy","Version":1}},"bravo":{"secret":{"Value":"x"}},"":{}}'
    await using service = await start()
    await fill(service.client(), { bravo: ['of the server'] })
    const source = counted(service.client())
    const { store, events } = await opened(source, {
      secrets: ['alpha', 'bravo'],
      cache: memoryCache(text),
    })
    await using _ = store
    expect(source.calls[0]).toBe('get bravo')
    expect(store.secret('alpha').text()).toBe('foobar')
    expect(events.map((event) => ('message' in event ? event.message : ''))).toEqual(
      expect.arrayContaining([expect.stringContaining('"bravo" is damaged')]),
    )
  })

  describe('TestLookup', () => {
    test('holds what is looked up from then on; asks once; tells what is not there', async () => {
      await using service = await start()
      await fill(service.client(), { red: ['badge'], green: ['eggs'], blue: ['dolphins'] })
      const source = counted(service.client())
      const { store } = await opened(source, { secrets: ['red'], lookup: true })
      await using _ = store
      expect(() => store.secret('green')).toThrow(
        expect.objectContaining({ hint: expect.stringContaining('Use `lookup`') }),
      )
      expect((await store.lookup('green')).text()).toBe('eggs')
      expect(store.secret('green').text()).toBe('eggs')
      await store.refresh()
      const asked = ['get red', 'get green', 'getIfChanged red 1', 'getIfChanged green 1']
      expect(source.calls).toEqual(asked)
    })

    test('callers share one question, and each may give up alone', async () => {
      await using service = await start()
      await fill(service.client(), { green: ['eggs and ham'] })
      const source = counted(service.client())
      const { store } = await opened(source, { lookup: true })
      await using _ = store
      const abort = new AbortController()
      const given = store.lookup('green', { signal: abort.signal })
      const [one, other] = [store.lookup('green'), store.lookup('green')]
      abort.abort(new Error('enough'))
      await expect(given).rejects.toThrow('enough')
      expect((await one).text()).toBe('eggs and ham')
      expect(await other).toBe(await one)
      expect(source.calls).toEqual(['get green'])
      expect((await failure(store.lookup('orange'))).code).toBe('not_found')
      // It may be there the next time.
      await fill(service.client(), { orange: ['juice'] })
      expect((await store.lookup('orange')).text()).toBe('juice')
    })
  })

  describe('TestVersionedSecret', () => {
    test('gets and creates given versions beside the active one, and forgets what was deleted', async () => {
      await using service = await start()
      const client = service.client()
      await client.createVersion('old', 2, bytes('blue'))
      const { store, timers } = await opened(client, { secrets: ['old'], lookup: true })
      await using _ = store
      const versions = store.versionedSecret('color')
      expect((await failure(versions.create(0, bytes('red')))).code).toBe('invalid_version')
      await versions.create(1, bytes('red'))
      expect(await versions.get(1)).toEqual(bytes('red'))
      const active = store.secret('color')
      expect(active.text()).toBe('red')
      await versions.create(2, bytes('green'))
      expect((await failure(versions.create(2, bytes('orange')))).code).toBe('version_taken')
      expect(await versions.get(2)).toEqual(bytes('green'))
      expect(active).toMatchObject({ version: 2 })
      expect(active.text()).toBe('green')
      expect(await versions.get(1)).toEqual(bytes('red'))

      await client.activate('color', 1)
      await refreshed(store, timers)
      expect(active.text()).toBe('red')
      await client.deleteVersion('color', 2)
      await refreshed(store, timers)
      expect((await failure(versions.get(2))).code).toBe('not_found')
      await client.createVersion('color', 3, bytes('lime'))
      await refreshed(store, timers)
      expect(await versions.get(3)).toEqual(bytes('lime'))
      expect(active.text()).toBe('lime')
      await client.delete('color')
      expect(await versions.get(1)).toEqual(bytes('red'))
      expect((await failure(refreshed(store, timers))).code).toBe('not_found')
      expect((await failure(versions.get(1))).code).toBe('not_found')
      expect(store.secret('old').text()).toBe('blue')
    })

    test('asks for a version once, gives copies, and each caller may give up alone', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1', '2'] })
      const asked: number[] = []
      const source = service.client()
      const { store } = await opened(
        {
          server: source.server,
          get: (...args) => source.get(...args),
          getIfChanged: (...args) => source.getIfChanged(...args),
          info: (...args) => source.info(...args),
          createVersion: (...args) => source.createVersion(...args),
          getVersion: (name, version, options) => {
            asked.push(version)
            return source.getVersion(name, version, options)
          },
        },
        { lookup: true },
      )
      await using _ = store
      const versions = store.versionedSecret('a')
      const abort = new AbortController()
      const given = versions.get(1, { signal: abort.signal })
      const others = [versions.get(1), versions.get(1)]
      abort.abort(new Error('enough'))
      await expect(given).rejects.toThrow('enough')
      const [one] = await Promise.all(others)
      one?.fill(0)
      expect(await versions.get(1)).toEqual(bytes('1'))
      expect(asked).toEqual([1])
      expect((await failure(versions.get(0))).code).toBe('usage')
      expect((await failure(versions.get(9))).code).toBe('not_found')
      expect(asked).toEqual([1, 9])
    })

    test('without the right to know which there are, none outlives a poll', async () => {
      await using service = await start()
      await fill(service.client(), { 'prod/a': ['1', '2'] })
      const node = { ...fourCallers.nodes['127.0.0.2'], name: 'app-1' }
      const rules = [{ action: ['get'], secret: ['prod/*'] }]
      service.policy({ nodes: { ...fourCallers.nodes, '127.0.0.2': { ...node, rules } } })
      const { store, timers } = await opened(service.client('127.0.0.2'), { lookup: true })
      await using _ = store
      const versions = store.versionedSecret('prod/a')
      expect(await versions.get(1)).toEqual(bytes('1'))
      await service.client().deleteVersion('prod/a', 1)
      expect(await versions.get(1)).toEqual(bytes('1'))
      await refreshed(store, timers)
      expect((await failure(versions.get(1))).code).toBe('not_found')
    })
  })

  test('TestCacheExpiry: what nobody declared or used is forgotten', async () => {
    await using service = await start()
    const client = service.client()
    await fill(client, { apple: ['a'], pear: ['b'], plum: ['c'], cherry: ['d'] })
    const cache = memoryCache()
    let now = 1_000
    const clock = (): Date => new Date(now)
    {
      const { store } = await opened(client, {
        secrets: ['apple', 'pear'],
        lookup: true,
        cache,
        clock,
      })
      await using _ = store
      now += 25_000
      await store.lookup('plum')
      now += 25_000
      await store.lookup('cherry')
    }
    now += 20_000
    const { store, events, timers } = await opened(client, {
      secrets: ['apple'],
      lookup: true,
      cache,
      clock,
      expireMs: 30_000,
    })
    await using _ = store
    await refreshed(store, timers)
    const gone = events.flatMap((event) => (event.kind === 'expired' ? [event.name] : []))
    expect(gone.toSorted()).toEqual(['pear', 'plum'])
    expect(store.secret('apple').text()).toBe('a')
    expect(store.secret('cherry').text()).toBe('d')
    expect(() => store.secret('plum')).toThrow('does not hold')
    // In use, it stays.
    now += 100_000
    await refreshed(store, timers)
    expect(store.secret('cherry').text()).toBe('d')
  })

  test('TestPartialRefresh: what could be had is held, and the rest is told', async () => {
    await using service = await start()
    const client = service.client()
    await fill(client, { small: ['1'], large: ['500'] })
    const { store, events } = await opened(client, { secrets: ['small', 'large'] })
    await using _ = store
    await fill(client, { small: ['2'] })
    await client.delete('large')
    expect((await failure(store.refresh())).code).toBe('not_found')
    expect(store.secret('small').text()).toBe('2')
    expect(store.secret('large').text()).toBe('500')
    expect(store.health()).toMatchObject({ error: undefined, missing: ['large'], denied: [] })
    await settled()
    expect(events).toContainEqual({ kind: 'changed', name: 'small', version: 2 })
  })

  describe('polling', () => {
    test('TestPollDisabled: asks only when told to', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      const source = counted(service.client())
      const { store, timers } = await opened(source, { secrets: ['a'], pollMs: 0 })
      await using _ = store
      timers.advance(100 * HOUR)
      expect(source.calls).toEqual(['get a'])
      await refreshed(store, timers)
      expect(source.calls).toEqual(['get a', 'getIfChanged a 1'])
    })

    test('every hour, give or take a tenth', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      const source = counted(service.client())
      const { store, timers, next } = await opened(source, { secrets: ['a'], random: () => 0 })
      await using _ = store
      await fill(service.client(), { a: ['2'] })
      timers.advance(0.9 * HOUR - 1)
      expect(source.calls).toHaveLength(1)
      const changed = next('changed')
      timers.advance(1)
      await changed
      expect(store.secret('a').text()).toBe('2')
    })

    test('after failures later each time, up to five minutes, and as the server asks; then as before', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      const source = counted(service.client())
      let random = 0.999
      const { store, timers, next } = await opened(source, {
        secrets: ['a'],
        random: () => random,
      })
      await using _ = store
      source.fault = down
      timers.advance(1.1 * HOUR)
      for (let ms = 1000, tried = 2; tried < 14; tried++) {
        await settled()
        expect(source.calls).toHaveLength(tried)
        timers.advance(0.99 * ms)
        expect(source.calls).toHaveLength(tried)
        timers.advance(0.01 * ms)
        ms = Math.min(2 * ms, 300_000)
      }
      expect(store.health().state).toBe('stale')
      const answer = { status: 503, requestId: undefined, retryAfterMs: 200_000 }
      source.fault = new ServerError('overloaded', 'Cannot get "a": too many requests', answer)
      random = 0
      await settled()
      const asked = source.calls.length
      timers.advance(300_000)
      await settled()
      expect(source.calls).toHaveLength(asked + 1)
      timers.advance(199_999)
      expect(source.calls).toHaveLength(asked + 1)
      timers.advance(1)
      await settled()
      expect(source.calls).toHaveLength(asked + 2)
      const recovered = next('recovered')
      source.fault = undefined
      await settled()
      timers.advance(300_000)
      await recovered
      expect(store.health()).toMatchObject({ state: 'polling', error: undefined })
    })

    test('a server that is down is asked for one secret of many', async () => {
      await using service = await start()
      const names = Array.from({ length: 50 }, (_, at) => `s${at}`)
      await fill(service.client(), Object.fromEntries(names.map((name) => [name, [name]])))
      const source = counted(service.client())
      const { store } = await opened(source, { secrets: names })
      await using _ = store
      source.calls.length = 0
      source.fault = down
      expect((await failure(store.refresh())).code).toBe('unreachable')
      // As many as are asked at once.
      expect(source.calls.length).toBeLessThanOrEqual(8)
    })

    test('refreshes at the same time share one poll; the next is a second later', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      const source = counted(service.client())
      const { store, timers } = await opened(source, { secrets: ['a'] })
      await using _ = store
      await Promise.all([store.refresh(), store.refresh()])
      expect(source.calls).toHaveLength(2)
      const next = [store.refresh(), store.refresh()]
      timers.advance(999)
      await settled()
      expect(source.calls).toHaveLength(2)
      timers.advance(1)
      await Promise.all(next)
      expect(source.calls).toHaveLength(3)
    })

    test('a refresh that is waited for ends with its signal, and with the store', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      const { store } = await opened(service.client(), { secrets: ['a'] })
      await store.refresh()
      const signal = AbortSignal.abort(new Error('enough'))
      await expect(store.refresh({ signal })).rejects.toThrow('enough')
      const waiting = store.refresh()
      await store.close()
      expect((await failure(waiting)).message).toBe('The store is closed')
      expect((await failure(store.refresh())).message).toBe('The store is closed')
      // Handles keep what they have.
      expect(store.secret('a').text()).toBe('1')
    })
  })

  describe('rights that are taken away', () => {
    const all = { ...fourCallers.nodes['127.0.0.2'], name: 'app-1', rules: [everything] }
    const some = { ...all, rules: [{ action: ['get'], secret: ['b'] }] }
    const policy = (service: Server, node: typeof all | typeof some): void =>
      service.policy({ nodes: { ...fourCallers.nodes, '127.0.0.2': node } })

    test('a declared secret keeps its value, is told, and leaves the cache; and comes back', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'], b: ['1'] })
      policy(service, all)
      const cache = memoryCache()
      const { store, events, timers } = await opened(service.client('127.0.0.2'), {
        secrets: ['a', 'b'],
        cache,
      })
      await using _ = store
      expect(Object.keys(JSON.parse(cache.text())).toSorted()).toEqual(['a', 'b'])
      policy(service, some)
      expect((await failure(store.refresh())).code).toBe('denied')
      expect(store.secret('a').text()).toBe('1')
      expect(store.health()).toMatchObject({ error: undefined, denied: ['a'] })
      await settled()
      expect(Object.keys(JSON.parse(cache.text()))).toEqual(['b'])
      expect(events).toContainEqual(expect.objectContaining({ kind: 'denied', name: 'a' }))
      policy(service, all)
      await refreshed(store, timers)
      await settled()
      expect(events.at(-1)).toEqual({ kind: 'allowed', name: 'a' })
      expect(Object.keys(JSON.parse(cache.text())).toSorted()).toEqual(['a', 'b'])
    })

    test('one that was looked up is not given any more', async () => {
      await using service = await start()
      await fill(service.client(), { a: ['1'] })
      policy(service, all)
      const { store } = await opened(service.client('127.0.0.2'), { lookup: true })
      await using _ = store
      const handle = await store.lookup('a')
      const following = store.changes('a').next()
      policy(service, some)
      await store.refresh()
      expect(() => handle.bytes()).toThrow('denied')
      expect((await failure(following)).code).toBe('denied')
      expect((await failure(store.lookup('a'))).code).toBe('denied')
    })
  })

  describe('TestWatcher', () => {
    test('gives each version as it is held, the latest to one who is slow, and ends', async () => {
      await using service = await start()
      const client = service.client()
      await fill(client, { green: ['1'] })
      const { store, timers } = await opened(client, { secrets: ['green'] })
      expect(() => store.changes('nonesuch')).toThrow('does not hold')
      const changes = store.changes('green')
      const first = changes.next()
      await fill(client, { green: ['2'] })
      await store.refresh()
      expect(await first).toEqual({ done: false, value: { Value: bytes('2'), Version: 2 } })
      for (const value of ['3', '4']) {
        await fill(client, { green: [value] })
        await refreshed(store, timers)
      }
      expect((await changes.next()).value).toMatchObject({ Version: 4 })
      const stopped = new AbortController()
      const aborted = store.changes('green', { signal: stopped.signal }).next()
      stopped.abort()
      expect(await aborted).toEqual({ done: true, value: undefined })
      const last = changes.next()
      await store.close()
      expect(await last).toEqual({ done: true, value: undefined })
    })
  })

  test('what a listener throws is its own, and the store goes on', async () => {
    await using service = await start()
    await fill(service.client(), { a: ['1'] })
    const thrown = Promise.withResolvers<unknown>()
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => {
      for (const other of others) process.on('uncaughtException', other)
      thrown.resolve(error)
    })
    const report = (): void => {
      throw new Error('of the program')
    }
    await using store = await openStore({ server: service.client(), secrets: ['a'], report })
    await fill(service.client(), { a: ['2'] })
    await store.refresh()
    expect(store.secret('a').text()).toBe('2')
    expect(await thrown.promise).toMatchObject({ message: 'of the program' })
  })

  test('TestKeyring: has all versions, and the active one apart, as of the last update', async () => {
    await using server = await start()
    const client = server.client()
    await fill(client, { apple: ['a1', 'a2', 'a3'] })
    const ring = await openKeyring(client, 'apple')
    expect(ring.active()).toEqual({ Value: bytes('a3'), Version: 3 })
    expect(ring.versions()).toEqual([1, 2, 3])
    expect(ring.get(1)).toEqual(bytes('a1'))
    expect(ring.get(999)).toBeUndefined()
    ring.get(1)?.fill(0)
    expect(ring.get(1)).toEqual(bytes('a1'))
    await client.put('apple', bytes('a4'))
    expect(ring.get(4)).toBeUndefined()
    await ring.update()
    expect(ring.get(4)).toEqual(bytes('a4'))
    expect(ring.active().Version).toBe(3)
    await client.activate('apple', 4)
    await client.deleteVersion('apple', 1)
    await ring.update()
    expect(ring.active().Version).toBe(4)
    expect(ring.versions()).toEqual([2, 3, 4])
    await client.delete('apple')
    expect((await failure(ring.update())).code).toBe('not_found')
    expect(ring.active()).toEqual({ Value: bytes('a4'), Version: 4 })
  })
}
