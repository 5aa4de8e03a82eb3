/** Whatever the clock of the machine does, jobs run when they would have run: none is lost, doubled or early. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jobMetrics } from '../../server/jobs/metrics.ts'
import { type JobState, Scheduler } from '../../server/jobs/scheduler.ts'
import { Registry } from '../../server/metrics/registry.ts'
import { ManualTimers, settled } from '../audit/fixtures.ts'
import { Page } from '../support/scrape.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NOW = Date.UTC(2026, 10, 28, 12)

/** What happens: time passes, a job is woken or asked for, a run ends or fails, the clock moves. */
type Event =
  | { readonly pass: number }
  | { readonly act: 'wake' | 'run' | 'end' | 'fail' }
  | { readonly move: number }

const moves = [0, 365 * DAY, -365 * DAY, DAY, -DAY, -NOW]
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 90 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constantFrom('wake', 'run', 'end', 'end', 'fail') }),
  },
  { weight: 3, arbitrary: fc.record({ move: fc.constantFrom(...moves) }) },
)

/** What a scheduler does, by the timers: each line a begin or an end, with what is told of the job but for dates. */
async function history(events: readonly Event[], clockMoves: boolean): Promise<string[]> {
  const timers = new ManualTimers()
  let offset = 0
  const told: string[] = []
  const open: { end: (said: string) => void; fail: (error: unknown) => void }[] = []
  const clock = (): Date => new Date(NOW + timers.now() + offset)
  const registry = new Registry()
  const metrics = jobMetrics(registry)
  const scheduler = new Scheduler({ timers, clock, metrics, random: () => 0.5 })
  /** How long ago the page says that a run succeeded, in milliseconds, where the clock of the day is at `now`. */
  const age = async (now: number): Promise<number | undefined> => {
    const page = new Page(await registry.page())
    const at = page.get('sotto_job_last_success_timestamp_seconds{job="copy"}')
    return at === undefined ? undefined : Math.round(now - at * 1000)
  }
  scheduler.start()
  scheduler.add({
    name: 'copy',
    action: 'backup',
    rules: [],
    everyMs: 60 * MINUTE,
    firstMs: 5 * MINUTE,
    restMs: 2 * MINUTE,
    retryMs: MINUTE,
    maxMs: 30 * MINUTE,
    run: ({ signal }) => {
      told.push(`${timers.now()}: begins`)
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      open.push({ end: resolve, fail: reject })
      signal.addEventListener('abort', () => reject(signal.reason))
      return promise
    },
  })
  for (const each of events) {
    if ('pass' in each) {
      // Minute by minute, as what a run's end plans is planned only then.
      for (let minute = 0; minute < each.pass; minute++) {
        timers.advance(MINUTE)
        await settled()
      }
    } else if ('move' in each) offset = clockMoves ? each.move : 0
    else if (each.act === 'wake') scheduler.wake('copy')
    else if (each.act === 'run') void scheduler.run('copy').catch(() => {})
    else if (each.act === 'end') open.shift()?.end('done')
    else open.shift()?.fail(new Error('broken'))
    await settled()
    const state = scheduler.states()[0] as JobState
    const now = clock().getTime()
    const waits = state.nextRun && Date.parse(state.nextRun) - now
    told.push(
      `${timers.now()}: ${state.running} ${state.lastResult} ${state.lastMessage} ${waits} ${await age(now)}`,
    )
  }
  await scheduler.close()
  return told
}

test('U1: jobs run when they would have run, whatever the clock does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (events) => {
      expect(await history(events, true)).toEqual(await history(events, false))
    }),
    { numRuns: 100 },
  )
})
