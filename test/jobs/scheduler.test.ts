/** The scheduler: when jobs run, that one run goes on at a time, and what is told of them. */
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { type Job, type Run, Scheduler } from '../../server/jobs/scheduler.ts'
import { ManualTimers, settled } from '../audit/fixtures.ts'
import { recordingLogger } from '../support/logger.ts'

const MINUTE = 60_000

/** A scheduler with one job, whose runs end when the test says so. */
function scheduled(options: Partial<Job> = {}, random = 0.5, start = true) {
  const timers = new ManualTimers()
  const said: string[] = []
  const runs: (Run & { end(message: string): void; fail(error: unknown): void })[] = []
  const scheduler = new Scheduler({
    timers,
    random: () => random,
    clock: () => new Date(Date.UTC(2026, 0, 1) + timers.now()),
    logger: recordingLogger(said),
  })
  if (start) scheduler.start()
  scheduler.add({
    name: 'copy',
    action: 'backup',
    rules: [{ action: ['info'], secret: ['*'] }],
    everyMs: 60 * MINUTE,
    retryMs: MINUTE,
    maxMs: 10 * MINUTE,
    run: (run) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      runs.push({ ...run, end: resolve, fail: reject })
      return promise
    },
    ...options,
  })
  const state = () => scheduler.states()[0] as ReturnType<Scheduler['states']>[0]
  return { scheduler, timers, said, runs, state }
}

test('a job runs by itself, as a principal of its own, and tells how it ended', async () => {
  const { timers, runs, state } = scheduled()
  expect(state()).toEqual({
    name: 'copy',
    action: 'backup',
    running: false,
    nextRun: '2026-01-01T01:00:00.000Z',
  })
  timers.advance(60 * MINUTE - 1)
  expect(runs).toHaveLength(0)
  timers.advance(1)
  expect(runs[0]?.call.caller).toEqual({
    principal: { hostname: '', ip: '', user: 'system:copy' },
    rules: [{ action: ['info'], secret: ['*'] }],
  })
  expect(state()).toMatchObject({ running: true, lastStart: '2026-01-01T01:00:00.000Z' })
  expect(state()).not.toHaveProperty('nextRun')
  timers.advance(2 * MINUTE)
  runs[0]?.end('3 copied')
  await settled()
  expect(state()).toEqual({
    name: 'copy',
    action: 'backup',
    running: false,
    lastStart: '2026-01-01T01:00:00.000Z',
    lastEnd: '2026-01-01T01:02:00.000Z',
    lastResult: 'ok',
    lastMessage: '3 copied',
    lastSuccess: '2026-01-01T01:02:00.000Z',
    nextRun: '2026-01-01T02:02:00.000Z',
  })
})

test('each run has a request id of its own', async () => {
  const { scheduler, runs } = scheduled()
  for (const at of [0, 1]) {
    const run = scheduler.run('copy')
    runs[at]?.end('')
    await run
  }
  expect(runs[0]?.call.request).not.toBe(runs[1]?.call.request)
})

test('intervals vary by a tenth in both directions', () => {
  for (const [random, minutes] of [
    [0, 54],
    [1, 66],
  ] as const) {
    const { timers, runs } = scheduled({}, random)
    timers.advance(minutes * MINUTE - 1)
    expect(runs).toHaveLength(0)
    timers.advance(1)
    expect(runs).toHaveLength(1)
  }
})

test('who asks for a run joins the one that is under way', async () => {
  const { scheduler, timers, runs } = scheduled({ firstMs: 0 })
  timers.advance(0)
  const both = Promise.all([scheduler.run('copy'), scheduler.run('copy')])
  runs[0]?.end('done')
  expect((await both).map(({ lastMessage }) => lastMessage)).toEqual(['done', 'done'])
  expect(runs).toHaveLength(1)
})

test('to wait for a run begins none', async () => {
  const { scheduler, runs } = scheduled()
  expect(await scheduler.wait('copy')).toMatchObject({ running: false })
  expect(runs).toHaveLength(0)
  const run = scheduler.run('copy')
  const waiting = scheduler.wait('copy')
  runs[0]?.end('done')
  expect((await waiting).lastMessage).toBe('done')
  await run
})

test('a long run is answered before its end, and goes on', async () => {
  const { scheduler, timers, runs, state } = scheduled()
  const asked = scheduler.run('copy')
  await settled()
  timers.advance(20_000)
  expect(await asked).toMatchObject({ running: true })
  runs[0]?.end('done')
  await settled()
  expect(state()).toMatchObject({ running: false, lastMessage: 'done' })
})

test('a job that fails is tried again sooner, each time later, and keeps its last success', async () => {
  const { scheduler, timers, runs, said, state } = scheduled()
  const first = scheduler.run('copy')
  runs[0]?.end('well')
  await first
  const success = state().lastSuccess
  timers.advance(60 * MINUTE)
  for (const [at, minutes] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
    runs[at + 1]?.fail(new SottoError('unreachable', 'nobody is there'))
    await settled()
    expect(state()).toMatchObject({
      lastResult: 'failed',
      lastMessage: 'nobody is there',
      lastSuccess: success,
    })
    expect(runs).toHaveLength(at + 2)
    timers.advance(minutes * MINUTE - 1)
    expect(runs).toHaveLength(at + 2)
    timers.advance(1)
  }
  expect(said[0]).toBe('error: job copy failed: unreachable: nobody is there')
  runs.at(-1)?.end('well again')
  await settled()
  timers.advance(60 * MINUTE - 1)
  const before = runs.length
  timers.advance(1)
  expect(runs).toHaveLength(before + 1)
})

test('an unexpected error tells nothing of itself', async () => {
  const { scheduler, runs, state } = scheduled()
  const run = scheduler.run('copy')
  runs[0]?.fail(new TypeError('hunter2'))
  await run
  expect(state().lastMessage).toBe('Unexpected fault')
})

test('to be woken is to run once the last run has rested', async () => {
  const { scheduler, timers, runs } = scheduled({ restMs: MINUTE })
  scheduler.wake('copy')
  timers.advance(0)
  expect(runs).toHaveLength(1)
  // What came to be while it ran may have been missed.
  scheduler.wake('copy')
  runs[0]?.end('')
  await settled()
  timers.advance(MINUTE - 1)
  expect(runs).toHaveLength(1)
  timers.advance(1)
  expect(runs).toHaveLength(2)
  runs[1]?.end('')
  await settled()
  timers.advance(59 * MINUTE)
  expect(runs).toHaveLength(2)
})

test('R12: to be woken later is to run then, once, and puts off no run that comes before', async () => {
  const { scheduler, timers, runs } = scheduled()
  scheduler.wake('copy', 2 * MINUTE)
  timers.advance(MINUTE)
  scheduler.wake('copy', 2 * MINUTE)
  expect(runs).toHaveLength(0)
  timers.advance(MINUTE)
  expect(runs).toHaveLength(1)
  runs[0]?.end('')
  await settled()
  timers.advance(10 * MINUTE)
  expect(runs).toHaveLength(1)
})

test('to be woken does not hurry what failed', async () => {
  const { scheduler, timers, runs } = scheduled({ restMs: 0, retryMs: 5 * MINUTE })
  const run = scheduler.run('copy')
  scheduler.wake('copy')
  runs[0]?.fail(new SottoError('local', 'no'))
  await run
  timers.advance(5 * MINUTE - 1)
  expect(runs).toHaveLength(1)
  timers.advance(1)
  expect(runs).toHaveLength(2)
})

test('a run that takes too long is told to end; one that does not is left, and no other begun', async () => {
  const { scheduler, timers, runs, state } = scheduled()
  void scheduler.run('copy')
  timers.advance(10 * MINUTE)
  expect(runs[0]?.signal.aborted).toBe(true)
  expect(state().running).toBe(true)
  timers.advance(5000)
  await settled()
  expect(state()).toMatchObject({
    running: false,
    lastResult: 'failed',
    lastMessage: 'it took longer than 600000 ms',
  })
  await expect(scheduler.run('copy')).rejects.toMatchObject({ code: 'overloaded' })
  timers.advance(3 * MINUTE)
  expect(runs).toHaveLength(1)
  runs[0]?.end('late')
  await settled()
  expect(state().lastResult).toBe('failed')
  timers.advance(3 * MINUTE)
  expect(runs).toHaveLength(2)
})

test('to close is to tell runs to end, and to begin no others', async () => {
  const { scheduler, timers, runs, said } = scheduled()
  void scheduler.run('copy')
  const run = runs[0] as (typeof runs)[0]
  run.signal.addEventListener('abort', () => run.fail(run.signal.reason))
  await scheduler.close()
  timers.advance(600 * MINUTE)
  expect(runs).toHaveLength(1)
  await expect(scheduler.run('copy')).rejects.toMatchObject({ code: 'shutting_down' })
  expect(said).toEqual([])
})

test('to close waits a bounded time for a run that does not end', async () => {
  const { scheduler, timers } = scheduled()
  void scheduler.run('copy')
  const closed = scheduler.close()
  timers.advance(5000)
  await closed
})

test('names are known, and given once', async () => {
  const { scheduler } = scheduled()
  await expect(scheduler.run('other')).rejects.toMatchObject({
    code: 'not_found',
    message: 'There is no job "other"',
  })
  expect(() => {
    scheduler.add({
      name: 'copy',
      action: 'keys',
      rules: [],
      everyMs: 1,
      retryMs: 1,
      maxMs: 1,
      run: async () => '',
    })
  }).toThrow('Two jobs are named copy')
})

test('no job runs before the scheduler is started, however long that takes, nor one that is woken', async () => {
  for (const isWoken of [false, true]) {
    const { scheduler, timers, runs, state } = scheduled({ firstMs: 500 }, 0.5, false)
    if (isWoken) scheduler.wake('copy')
    timers.advance(60 * MINUTE)
    expect(runs).toEqual([])
    expect(state().nextRun).toBeUndefined()
    scheduler.start()
    timers.advance(isWoken ? 0 : 499)
    expect(runs).toHaveLength(isWoken ? 1 : 0)
    timers.advance(1)
    expect(runs).toHaveLength(1)
    runs[0]?.end('done')
    await settled()
    await scheduler.close()
  }
})
