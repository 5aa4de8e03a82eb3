/**
 * Programs that hold secrets, and a server that changes them, revokes, breaks off, stops, answers late or from before, in
 * any order: in the end each program holds what is active, and none ever took what was older than what it had been told.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openStore, type Store } from '../../../client/store/store.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import { depth } from '../../support/depth.ts'
import { TellingSource } from './telling-source.ts'

const names = ['a', 'b', 'c'] as const

type Step =
  | { readonly kind: 'put' | 'delete' | 'deny' | 'allow'; readonly name: string }
  | { readonly kind: 'activate'; readonly name: string; readonly version: number }
  | { readonly kind: 'hold' }
  | { readonly kind: 'release' }
  | { readonly kind: 'cut' | 'stop' | 'age' | 'down' | 'up' | 'flush' | 'quiet' }
  | { readonly kind: 'lag'; readonly by: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'refresh'; readonly client: number }

const name = fc.constantFrom(...names)
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), name }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('activate' as const),
      name,
      version: fc.integer({ min: 1, max: 6 }),
    }),
  },
  fc.record({ kind: fc.constantFrom('delete' as const, 'deny' as const, 'allow' as const), name }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        ...(['cut', 'stop', 'age', 'down', 'up', 'hold', 'release', 'flush', 'quiet'] as const),
      ),
    }),
  },
  fc.record({ kind: fc.constant('lag' as const), by: fc.nat(3) }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 10, 500, 5_000, 60_000, 600_000, 4_000_000),
    }),
  },
  fc.record({ kind: fc.constant('refresh' as const), client: fc.nat(1) }),
)

test(
  'what programs hold follows what is active, and never goes back',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(steps, { maxLength: 60 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        async (taken, draws) => {
          const source = new TellingSource()
          for (const each of names) source.put(each, `${each}1`)
          const timers = new ManualTimers()
          const random = (): number => draws.next().value as number
          const faults: string[] = []
          const clients = await Promise.all([
            open(source, timers, random, faults),
            open(source, timers, random, faults),
          ])
          let release = (): void => {}
          for (const each of taken) {
            if (each.kind === 'hold') {
              release()
              const gate = Promise.withResolvers<void>()
              source.gate = gate.promise
              release = gate.resolve
            } else if (each.kind === 'release') release()
            else if (each.kind === 'refresh') clients[each.client]?.refresh().catch(() => {})
            else act(source, timers, each)
            if (random() < 0.7) await settled()
          }
          release()
          source.isDown = false
          source.lag = 0
          for (const each of names) source.allow(each, true)
          source.flush()
          // Longer than any pause, several times: one may end in the middle of another.
          for (let round = 0; round < 4; round++) {
            await settled()
            timers.advance(400_000)
          }
          await settled()
          for (const client of clients) {
            const missing = names.filter((each) => source.active(each) === 0)
            expect(client.health()).toMatchObject({ state: 'live', denied: [], missing })
            for (const each of names) {
              if (missing.includes(each)) continue
              expect(client.secret(each).version).toBe(source.active(each))
              expect(client.secret(each).text()).toBe(`${each}${source.active(each)}`)
            }
            await client.close()
          }
          expect(faults).toEqual([])
        },
      ),
      { numRuns: depth({ usual: 100, full: 5_000 }) },
    )
  },
  depth({ usual: 60_000, full: 900_000 }),
)

function act(
  source: TellingSource,
  timers: ManualTimers,
  step: Exclude<Step, { kind: 'hold' | 'release' | 'refresh' }>,
): void {
  switch (step.kind) {
    case 'put':
      return source.put(step.name, `${step.name}${source.versions(step.name) + 1}`)
    case 'activate':
      if (step.version <= source.versions(step.name)) source.activate(step.name, step.version)
      return
    case 'delete':
      return source.delete(step.name)
    case 'deny':
      return source.allow(step.name, false)
    case 'allow':
      return source.allow(step.name, true)
    case 'cut':
      return source.cut()
    case 'stop':
      return source.bye('stopping')
    case 'age':
      return source.bye('age')
    case 'down':
      source.isDown = true
      return source.cut()
    case 'up':
      source.isDown = false
      return
    case 'quiet':
      source.tellsAtOnce = false
      return
    case 'flush':
      source.tellsAtOnce = true
      return source.flush()
    case 'lag':
      source.lag = step.by
      return
    case 'wait':
      return timers.advance(step.ms)
  }
}

/** A store, and a check of each version that it takes: `faults` gets those that are older than what it was told. */
async function open(
  source: TellingSource,
  timers: ManualTimers,
  random: () => number,
  faults: string[],
): Promise<Store> {
  const told = new Map<string, number>()
  const store: Store = await openStore({
    server: {
      server: source.server,
      get: (...args) => source.get(...args),
      getIfChanged: (...args) => source.getIfChanged(...args),
      getMany: (...args) => source.getMany(...args),
      watch: async function* noted(...args) {
        for await (const event of source.watch(...args)) {
          if (event.event === 'change') told.set(event.change.Name, event.change.Revision)
          yield event
        }
      },
    },
    secrets: names,
    timers,
    random,
  })
  for (const each of names) void follow(store, each)
  return store

  async function follow(of: Store, each: string): Promise<void> {
    for await (const { Version } of of.changes(each, { holds: false })) {
      const from = told.get(each) ?? 0
      const since = Array.from({ length: source.revision - from + 1 }, (_, at) => from + at)
      const wasActive = since.some((revision) => source.active(each, revision) === Version)
      if (!wasActive) faults.push(`${each} ${Version}, told of revision ${from}`)
    }
  }
}
