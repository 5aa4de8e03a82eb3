/** `sotto run --watch` from a change to the restart, with a server, a program and a time that the tests move. */
import { expect, onTestFinished, test } from 'vitest'
import type { Ending } from '../../../cli/handlers/run/ending.ts'
import { follow } from '../../../cli/handlers/run/follow.ts'
import { RunSource } from '../../../cli/handlers/run/source.ts'
import { Supervisor } from '../../../cli/handlers/run/supervisor.ts'
import { isSame, type Values } from '../../../cli/handlers/run/values.ts'
import type { Client } from '../../../client/client.ts'
import { memoryCache } from '../../../client/store/cache.ts'
import { ManualTimers } from '../../audit/fixtures.ts'
import { TellingSource } from '../../client/store/telling-source.ts'

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => void setImmediate(resolve))
}

/** A run of a program that has the secret `a` in a variable, and ends as soon as it is asked to. */
async function running() {
  const server = new TellingSource()
  server.put('a', 'one')
  const client = { ...methodsOf(server), getVersion: (name: string) => server.get(name) }
  const timers = new ManualTimers()
  const cache = memoryCache()
  const said: string[] = []
  const followed = await follow({
    source: new RunSource(client as unknown as Client, new Set()),
    wanted: {
      variables: [{ variable: 'A', from: { secret: 'a', field: [], version: 0 } }],
      files: [],
    },
    cache,
    maxAgeMs: 24 * 3_600_000,
    pollMs: 3_600_000,
    watch: true,
    signal: new AbortController().signal,
    say: (line) => said.push(line),
    clock: () => new Date(timers.now()),
    timers,
    random: () => 0.5,
  })
  onTestFinished(() => followed[Symbol.asyncDispose]())
  const starts: (string | undefined)[] = []
  let atWork = 0
  let most = 0
  const supervisor = new Supervisor<Values>(
    {
      onChange: 'restart',
      splayMs: 0,
      stopTimeoutMs: 10_000,
      restart: 'no',
      keepGood: false,
      timers,
      random: () => 0.5,
      start: async ({ variables }) => {
        starts.push(variables.get('A'))
        most = Math.max(most, ++atWork)
        const ended = Promise.withResolvers<Ending>()
        const end = (): void => {
          if (atWork-- > 0) ended.resolve({ code: null, signal: 'SIGTERM' })
        }
        const unused = (): void => {}
        const { promise } = ended
        return {
          pid: 1,
          ended: promise,
          signal: unused,
          pass: end,
          signalAll: end,
          isLeft: () => false,
        }
      },
      place: () => {},
      isSame,
      say: () => {},
      onKept: () => {},
    },
    followed.values(),
  )
  followed.onChange((values) => supervisor.want(values))
  const ran = supervisor.run()
  await settled()
  return {
    server,
    said,
    starts,
    cache,
    most: () => most,
    pass: async (ms: number) => {
      timers.advance(ms)
      await settled()
    },
    stop: async () => {
      supervisor.tell('SIGTERM')
      await ran
    },
  }
}

test('10,000 changes in a minute: one restart each half second, one program at a time, and the last change is had', async () => {
  const { server, starts, most, pass, stop } = await running()
  for (let change = 1; change <= 10_000; change++) {
    server.put('a', `${change}`)
    await pass(6)
  }
  await pass(500)
  await pass(500)
  expect(starts.at(-1)).toBe('10000')
  expect(starts.length).toBeGreaterThan(100)
  // The first start, and one for each 500 ms of a minute, the one after it included.
  expect(starts.length).toBeLessThanOrEqual(1 + 121)
  const numbers = starts.slice(1).map(Number)
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  expect(new Set(numbers).size).toBe(numbers.length)
  expect(most()).toBe(1)
  await stop()
})

test('a server that is away for an hour, then a right that is taken away: told, and nothing is restarted', async () => {
  const { server, starts, said, cache, pass, stop } = await running()
  server.isDown = true
  server.cut()
  for (let minute = 0; minute < 60; minute++) await pass(60_000)
  expect(starts).toEqual(['one'])
  const ages = said.map((line) => /which the server confirmed (.*) ago$/.exec(line)?.[1])
  expect(ages.at(-1)).toMatch(/^(?:5\d|60) min$/)
  expect(ages.length).toBeGreaterThan(3)
  expect(ages.length).toBeLessThanOrEqual(7)

  server.isDown = false
  for (let minute = 0; minute < 10; minute++) await pass(60_000)
  expect(said.at(-1)).toBe('The server answers again')
  expect(cache.text()).toContain('"a"')
  server.allow('a', false)
  await pass(1000)
  expect(said.at(-1)).toMatch(/^Cannot get "a": .*: the program keeps what it has$/)
  // The next start finds no value there, whatever the server does then.
  expect(cache.text()).toBe('{}')
  expect(starts).toEqual(['one'])

  server.allow('a', true)
  server.put('a', 'two')
  await pass(500)
  await pass(500)
  expect(starts).toEqual(['one', 'two'])
  await stop()
})

/** What a client has of a source: methods that need not be called on it. */
function methodsOf(source: TellingSource) {
  return {
    server: source.server,
    getIfChanged: source.getIfChanged.bind(source),
    watch: source.watch.bind(source),
  }
}
