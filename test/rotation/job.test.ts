/** When the job wants to look again at runs. */
import { expect, test } from 'vitest'
import { Dates } from '../../server/rotation/dates.ts'
import { rotationsJob } from '../../server/rotation/job.ts'
import { rotationMetrics } from '../../server/rotation/metrics.ts'
import { openSchedule } from '../../server/rotation/schedule.ts'
import { generated } from './support.ts'
import { openWorld } from './world.ts'

test('a run that waits for others is looked at soon, and then less and less often', async () => {
  await using undo = new AsyncDisposableStack()
  const world = await openWorld(undo)
  await world.services.secrets.put(world.person(), { Name: 'prod/key', Value: Buffer.from('one') })
  const record = await world.create(
    'key',
    generated('key', 'prod/key', { converge: 'manual' }).Config,
  )
  let now = 0
  const timers = { now: () => now, after: () => () => {} }
  const runs = world.process(() => undefined, timers)
  const wakes: number[] = []
  const clock = () => new Date()
  const schedule = openSchedule
  const job = rotationsJob({
    registry: world.registry,
    runs,
    schedule,
    dates: new Dates(schedule, timers),
    clock,
    timers,
    metrics: rotationMetrics(),
    adopted: () => true,
    wakeIn: (ms) => wakes.push(ms),
  })
  const round = () => job.run({ call: world.job(), signal: new AbortController().signal })
  await runs.begin(world.job(), record, undefined)
  for (const passed of [0, 1000, 1000, 2000, 22_000, 4000]) {
    now += passed
    await round()
  }
  expect((await world.read('key')).state.step).toBe('converging')
  // After 30 s, its own rounds are as often.
  expect(wakes).toEqual([1000, 1000, 2000, 4000, 26_000])
})
