/** When a program is started, stopped and told, with time and a program that the tests move. */
import { describe, expect, test } from 'vitest'
import type { Child } from '../../../cli/handlers/run/child.ts'
import type { Ending } from '../../../cli/handlers/run/ending.ts'
import { type Manner, Supervisor } from '../../../cli/handlers/run/supervisor.ts'
import { ManualTimers } from '../../audit/fixtures.ts'

/** Lets everything happen that waits for nothing but other promises. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A program whose values are a number: it notes what becomes of it. */
function supervised(manner: Partial<Manner> = {}, { stubborn = false, left = 0 } = {}) {
  const timers = new ManualTimers()
  const log: string[] = []
  const kept: string[] = []
  let end: (ending: Ending) => void = () => {}
  let pid = 0
  const start = async (values: number): Promise<Child> => {
    const ended = Promise.withResolvers<Ending>()
    end = ended.resolve
    const number = ++pid
    let looks = left
    log.push(`start ${values}`)
    return {
      pid: number,
      ended: ended.promise,
      signal: (signal) => log.push(`signal ${signal}`),
      pass: (signal) => log.push(`pass ${signal}`),
      signalAll: (signal) => {
        log.push(`all ${signal}`)
        if (signal === 'SIGKILL') looks = 0
        if (!stubborn || signal === 'SIGKILL') ended.resolve({ code: null, signal })
      },
      isLeft: () => looks-- > 0,
    }
  }
  const supervisor = new Supervisor<number>(
    {
      onChange: 'restart',
      splayMs: 0,
      stopTimeoutMs: 10_000,
      restart: 'no',
      keepGood: false,
      ...manner,
      timers,
      random: () => 0.5,
      start,
      place: (values) => log.push(`place ${values}`),
      isSame: (a, b) => a === b,
      say: (line) => log.push(`say ${line}`),
      onKept: (values, placed) => {
        kept.push(placed === undefined ? `${values}` : `${values}, ${placed} in files`)
        if (manner.keepGood) log.push(`kept ${values}`)
      },
    },
    1,
  )
  const ran = supervisor.run()
  return {
    supervisor,
    timers,
    ran,
    /** Older values than it should have, which the program was said to have. */
    kept,
    /** What happened since the last look, without what was said. */
    happened: async (): Promise<string[]> => {
      await settled()
      return log.splice(0).filter((line) => !line.startsWith('say '))
    },
    end: (ending: Partial<Ending>) => end({ code: null, signal: null, ...ending }),
    pass: async (ms: number): Promise<void> => {
      await settled()
      timers.advance(ms)
      await settled()
    },
  }
}

describe('without changes', () => {
  test('the end of the program is the end of all', async () => {
    const { ran, happened, end } = supervised()
    expect(await happened()).toEqual(['place 1', 'start 1'])
    end({ code: 7 })
    expect(await ran).toEqual({ code: 7, signal: null })
  })

  test('signals are passed on, and those that it has already are not', async () => {
    const { supervisor, ran, happened, end } = supervised({ restart: 'always' })
    await happened()
    supervisor.tell('SIGUSR1')
    supervisor.tell('SIGHUP')
    supervisor.tell('SIGINT', true)
    expect(await happened()).toEqual(['pass SIGUSR1', 'pass SIGHUP'])
    // One that asked to stop, and so it is not started again.
    end({ code: 0 })
    expect(await ran).toEqual({ code: 0, signal: null })
  })

  test.each([
    ['no', 1],
    ['on-failure', 0],
  ] as const)('--restart %s, exit code %i: it is not started again', async (restart, code) => {
    const { ran, happened, end, pass } = supervised({ restart })
    await happened()
    end({ code })
    await pass(1000)
    expect(await happened()).toEqual([])
    expect(await ran).toEqual({ code, signal: null })
  })

  test.each([
    ['on-failure', 1],
    ['always', 0],
  ] as const)('--restart %s, exit code %i: it is started again', async (restart, code) => {
    const { ran, happened, end, pass, supervisor } = supervised({ restart })
    await happened()
    end({ code })
    await pass(1000)
    expect(await happened()).toEqual(['place 1', 'start 1'])
    supervisor.tell('SIGTERM')
    end({ signal: 'SIGTERM' })
    expect(await ran).toEqual({ code: null, signal: 'SIGTERM' })
  })

  test('it is started again after longer and longer pauses, and after a minute of work soon again', async () => {
    const { happened, end, pass } = supervised({ restart: 'always' })
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      await happened()
      end({ code: 1 })
      await pass(seconds * 1000 - 1)
      expect(await happened()).toEqual([])
      await pass(1)
      expect(await happened()).toEqual(['place 1', 'start 1'])
    }
    await pass(60_000)
    end({ code: 1 })
    await pass(1000)
    expect(await happened()).toEqual(['place 1', 'start 1'])
  })

  test('a pause ends with a signal that asks to stop, which then is how it ended', async () => {
    const { supervisor, ran, happened, end } = supervised({ restart: 'always' })
    await happened()
    end({ code: 1 })
    await happened()
    supervisor.tell('SIGTERM')
    expect(await ran).toEqual({ code: null, signal: 'SIGTERM' })
  })
})

describe('with changes', () => {
  test('restart: it is stopped, and started with the newest values', async () => {
    const { supervisor, happened } = supervised()
    await happened()
    supervisor.want(2)
    expect(await happened()).toEqual(['all SIGTERM', 'place 2', 'start 2'])
  })

  test('the same values are no change', async () => {
    const { supervisor, happened } = supervised()
    await happened()
    supervisor.want(1)
    expect(await happened()).toEqual([])
  })

  test('a signal: files are put in their place before', async () => {
    const { supervisor, happened } = supervised({ onChange: 'SIGHUP' })
    await happened()
    supervisor.want(2)
    expect(await happened()).toEqual(['place 2', 'signal SIGHUP'])
  })

  test('none: files are put in their place, and that is all', async () => {
    const { supervisor, happened } = supervised({ onChange: 'none' })
    await happened()
    supervisor.want(2)
    expect(await happened()).toEqual(['place 2'])
  })

  test('a program that does not end is killed after the time for it', async () => {
    const { supervisor, happened, pass } = supervised({}, { stubborn: true })
    await happened()
    supervisor.want(2)
    await pass(9_999)
    expect(await happened()).toEqual(['all SIGTERM'])
    await pass(1)
    expect(await happened()).toEqual(['all SIGKILL', 'place 2', 'start 2'])
  })

  test('what it started is waited for, too, and killed after the same time', async () => {
    const { supervisor, happened, pass } = supervised({}, { left: 1_000_000 })
    await happened()
    supervisor.want(2)
    for (let looks = 0; looks < 199; looks++) await pass(50)
    expect(await happened()).toEqual(['all SIGTERM'])
    await pass(50)
    await pass(50)
    expect(await happened()).toEqual(['all SIGKILL', 'place 2', 'start 2'])
  })

  test('a change while it is stopped is in the same restart', async () => {
    const { supervisor, happened, pass } = supervised({}, { stubborn: true })
    await happened()
    supervisor.want(2)
    await happened()
    supervisor.want(3)
    await pass(10_000)
    expect(await happened()).toEqual(['all SIGKILL', 'place 3', 'start 3'])
  })

  test('a signal that asks to stop while it is stopped for a restart: it is not started again', async () => {
    const { supervisor, ran, happened, pass } = supervised({}, { stubborn: true })
    await happened()
    supervisor.want(2)
    await happened()
    supervisor.tell('SIGTERM')
    await pass(10_000)
    expect(await ran).toEqual({ code: null, signal: 'SIGTERM' })
    expect(await happened()).toEqual(['pass SIGTERM', 'all SIGKILL'])
  })

  test('splay: it waits a part of the time, and takes what is newest then', async () => {
    const { supervisor, happened, pass } = supervised({ splayMs: 10_000 })
    await happened()
    supervisor.want(2)
    await pass(4_999)
    supervisor.want(3)
    expect(await happened()).toEqual([])
    await pass(1)
    expect(await happened()).toEqual(['all SIGTERM', 'place 3', 'start 3'])
    supervisor.want(4)
    await happened()
    supervisor.want(3)
    await pass(5_000)
    expect(await happened()).toEqual([])
  })

  test('10,000 changes in a minute, two a restart takes: none is lost, and one is at work at a time', async () => {
    const { supervisor, happened, pass } = supervised({ splayMs: 2_000 })
    await happened()
    for (let at = 2; at <= 10_001; at++) {
      supervisor.want(at)
      if (at % 100 === 0) await pass(600)
    }
    await pass(2_000)
    const starts = (await happened()).filter((line) => line.startsWith('start'))
    expect(starts.at(-1)).toBe('start 10001')
    expect(starts.length).toBeGreaterThan(20)
    expect(starts.length).toBeLessThanOrEqual(62)
    expect(starts).toEqual([...new Set(starts)])
  })
})

describe('--keep-good', () => {
  test('a program that dies of new values gets those before, once, and new ones when they change again', async () => {
    const { supervisor, happened, end, pass } = supervised({ keepGood: true })
    await happened()
    supervisor.want(2)
    await happened()
    await pass(9_000)
    end({ code: 1 })
    expect(await happened()).toEqual(['kept 1', 'place 1', 'start 1'])
    // The same again is not tried again.
    supervisor.want(2)
    expect(await happened()).toEqual([])
    supervisor.want(3)
    expect(await happened()).toEqual(['kept undefined', 'all SIGTERM', 'place 3', 'start 3'])
  })

  test('one that dies of those before, too, ends with exit code 124', async () => {
    const { supervisor, ran, happened, end, pass } = supervised({
      keepGood: true,
      restart: 'always',
    })
    await happened()
    supervisor.want(2)
    await happened()
    end({ signal: 'SIGSEGV' })
    await happened()
    await pass(9_999)
    end({ code: 3 })
    expect(await ran).toEqual({ code: 124, signal: null })
  })

  test('one that is only told of new values, and dies, gets those before', async () => {
    const { supervisor, happened, end } = supervised({ keepGood: true, onChange: 'SIGHUP' })
    await happened()
    supervisor.want(2)
    await happened()
    end({ code: 1 })
    expect(await happened()).toEqual(['kept 1', 'place 1', 'start 1'])
  })

  test.each([
    ['later than that', 10_000, { code: 1 }],
    ['without a failure', 0, { code: 0 }],
  ])('one that ends %s has ended', async (_, ms, ending) => {
    const { supervisor, ran, happened, end, pass } = supervised({ keepGood: true })
    await happened()
    supervisor.want(2)
    await pass(ms)
    end(ending)
    expect(await ran).toMatchObject(ending)
  })

  test('one that dies of its first values has ended', async () => {
    const { ran, happened, end } = supervised({ keepGood: true })
    await happened()
    end({ code: 1 })
    expect(await ran).toEqual({ code: 1, signal: null })
  })

  test('without it, one that dies of new values has ended', async () => {
    const { supervisor, ran, happened, end } = supervised()
    await happened()
    supervisor.want(2)
    await happened()
    end({ code: 1 })
    expect(await ran).toEqual({ code: 1, signal: null })
  })
})

describe('A3: who waits for all to have a new version is told of a program', () => {
  test('that is started with it only after a splay', async () => {
    const { supervisor, timers, kept, pass, happened } = supervised({ splayMs: 60_000 })
    await happened()
    supervisor.want(2)
    await pass(999)
    expect(kept).toEqual([])
    await pass(1)
    expect(kept).toEqual(['1, 1 in files'])
    timers.advance(29_000)
    expect(await happened()).toEqual(['all SIGTERM', 'place 2', 'start 2'])
    expect(kept).toEqual(['1, 1 in files', 'undefined'])
  })

  test.each(['none', 'SIGHUP'] as const)('whose variables stay: %s', async (onChange) => {
    const { supervisor, kept, happened } = supervised({ onChange })
    await happened()
    supervisor.want(2)
    await happened()
    expect(kept).toEqual(['1, 2 in files'])
    supervisor.want(1)
    await happened()
    expect(kept).toEqual(['1, 2 in files', 'undefined'])
  })

  test('that takes long to stop; and nothing of one that gets it at once', async () => {
    const slow = supervised({}, { stubborn: true })
    await slow.happened()
    slow.supervisor.want(2)
    await slow.pass(1000)
    expect(slow.kept).toEqual(['1, 1 in files'])
    await slow.pass(9000)
    expect(await slow.happened()).toContain('start 2')
    expect(slow.kept).toEqual(['1, 1 in files', 'undefined'])
    const quick = supervised()
    await quick.happened()
    quick.supervisor.want(2)
    expect(await quick.happened()).toEqual(['all SIGTERM', 'place 2', 'start 2'])
    await quick.pass(5000)
    expect(quick.kept).toEqual([])
  })
})
