/** The reflector against what API servers do that one cannot be made to do at will. */
import { expect, test } from 'vitest'
import { ApiFailure } from '../../../cli/handlers/kubernetes/api.ts'
import { Reflector, type Resource } from '../../../cli/handlers/kubernetes/reflector.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'

/** A page of a list, or what it fails with. */
type Page = { readonly names: readonly string[]; readonly more?: string } | ApiFailure

/** Lines of a watch; then it ends, fails, or says nothing any more. */
interface Watch {
  readonly lines?: readonly object[]
  readonly end?: 'silent' | ApiFailure
}

function failure(status: number, retryAfterMs = 0): ApiFailure {
  return new ApiFailure('try', { status, reason: `status ${status}`, retryAfterMs })
}

function resource(name: string, resourceVersion = '1'): Resource {
  return { metadata: { name, uid: name, resourceVersion } }
}

/** A reflector of a server that answers with `pages` and `watches`, in turn, and then is silent. */
function reflect(pages: Page[], watches: Watch[]) {
  const timers = new ManualTimers()
  const asked: string[] = []
  const seen: string[] = []
  const failed: number[] = []
  const ends = new AbortController()
  const reflector = new Reflector<Resource>({
    api: {
      async get<T>(_path: string, query: Readonly<Record<string, string>> = {}) {
        asked.push(`list ${query['continue'] ?? ''}`.trim())
        const page = pages.shift() ?? failure(500)
        if (page instanceof ApiFailure) throw page
        const metadata = { resourceVersion: '10', continue: page.more ?? '' }
        return { metadata, items: page.names.map((name) => resource(name)) } as T
      },
      async *watch(_path, query, { signal, alive }) {
        asked.push(`watch ${query['resourceVersion']}`)
        const { lines = [], end = 'silent' } = watches.shift() ?? {}
        for (const line of lines) {
          alive()
          yield line
        }
        if (end instanceof ApiFailure) throw end
        const { promise, reject } = Promise.withResolvers<never>()
        signal.addEventListener('abort', () => reject(failure(0)))
        await promise
      },
    },
    path: '/things',
    seen: {
      replace: (all) => void seen.push(`all ${all.map(({ metadata }) => metadata.name).join(' ')}`),
      set: ({ metadata }) => void seen.push(`set ${metadata.name}`),
      remove: ({ metadata }) => void seen.push(`remove ${metadata.name}`),
    },
    failed: ({ status }) => void failed.push(status),
    timers,
    // The longest pause that there may be.
    random: () => 0.999,
  })
  const running = reflector.run(ends.signal)
  const stop = (): Promise<void> => {
    ends.abort()
    return running
  }
  return { timers, asked, seen, failed, stop }
}

test('a list is read by pages, and what the watch tells is after it', async () => {
  const lines = [
    { type: 'ADDED', object: resource('c', '11') },
    { type: 'MODIFIED', object: resource('a', '12') },
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } },
    { type: 'DELETED', object: resource('b', '21') },
  ]
  const { seen, asked, stop } = reflect(
    [{ names: ['a'], more: 'next' }, { names: ['b'] }],
    [{ lines }],
  )
  await settled()
  expect(seen).toEqual(['all a b', 'set c', 'set a', 'remove b'])
  expect(asked).toEqual(['list', 'list next', 'watch 10'])
  await stop()
})

test('a watch that breaks off goes on from where it was', async () => {
  const lines = [{ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } }]
  const { asked, failed, timers, stop } = reflect([{ names: [] }], [{ lines, end: failure(0) }])
  await settled()
  expect(failed).toEqual([0])
  timers.advance(1_000)
  await settled()
  expect(asked).toEqual(['list', 'watch 10', 'watch 20'])
  await stop()
})

test.each([
  ['an answer', { end: failure(410) }],
  ['an event', { lines: [{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }] }],
])('410 as %s: everything is listed again, and it is no failure', async (_, watch) => {
  const { asked, seen, failed, timers, stop } = reflect(
    [{ names: ['a'] }, { names: ['b'] }],
    [watch],
  )
  await settled()
  timers.advance(1_000)
  await settled()
  expect(asked).toEqual(['list', 'watch 10', 'list', 'watch 10'])
  expect(seen).toEqual(['all a', 'all b'])
  expect(failed).toEqual([])
  await stop()
})

test('a list that is too old for its next page is begun again', async () => {
  const { asked, seen, stop } = reflect(
    [{ names: ['a'], more: 'next' }, failure(410), { names: ['b'] }],
    [],
  )
  await settled()
  expect(asked).toEqual(['list', 'list next', 'list', 'watch 10'])
  expect(seen).toEqual(['all b'])
  await stop()
})

test('pauses grow up to half a minute, and it never gives up', async () => {
  const { asked, timers, stop } = reflect([], [])
  const gaps: number[] = []
  await settled()
  for (let count = 1; count < 10; count++) {
    let gap = 0
    while (asked.length === count) {
      timers.advance(100)
      gap += 100
      await settled()
    }
    gaps.push(gap)
  }
  expect(gaps).toEqual([800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000])
  await stop()
})

test('429: it waits for as long as the server asks', async () => {
  const { asked, timers, stop } = reflect([failure(429, 20_000), { names: [] }], [])
  await settled()
  timers.advance(19_000)
  await settled()
  expect(asked).toEqual(['list'])
  timers.advance(1_000)
  await settled()
  expect(asked).toEqual(['list', 'list', 'watch 10'])
  await stop()
})

test('a watch that had a bookmark and says nothing more is dead', async () => {
  const lines = [{ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } }]
  const { asked, timers, stop } = reflect([{ names: [] }], [{ lines }])
  await settled()
  timers.advance(149_000)
  await settled()
  expect(asked).toEqual(['list', 'watch 10'])
  timers.advance(2_000)
  await settled()
  timers.advance(1_000)
  await settled()
  expect(asked).toEqual(['list', 'watch 10', 'watch 20'])
  await stop()
})
