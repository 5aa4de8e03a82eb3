/** When rotations are due: dates that were missed, windows, and clocks that are moved. */
import { describe, expect, test } from 'vitest'
import { rotationConfig } from '../../client/api/rotations.ts'
import { Dates } from '../../server/rotation/dates.ts'
import { decide, isOverdue, openSchedule } from '../../server/rotation/schedule.ts'
import { newState } from '../../server/rotation/state.ts'

const schedule = await openSchedule()
const config = (more: object = {}) =>
  rotationConfig.parse({ kind: 'generated', secret: 'prod/key', schedule: '0 3 * * *', ...more })
const at = (text: string): Date => new Date(`${text}Z`)
/** When a rotation is due that was planned for `due`, at each time of a clock, so many hours after the time before. */
const datesOf = (due: string, settings = config()) => {
  let hours = 0
  const dates = new Dates(async () => schedule, { now: () => hours * 3_600_000 })
  const state = newState('here', '', at(due).toISOString())
  return (now: string, passed = 0) => {
    hours += passed
    return dates.dueOf({ id: 1, config: settings, state }, at(now))
  }
}

describe('dates', () => {
  test('are read in UTC', () => {
    const next = schedule.after(config(), at('2026-03-28T12:00'))
    expect(next).toEqual(at('2026-03-29T03:00'))
    const monday = config({ schedule: '30 4 * * 1' })
    expect(schedule.after(monday, at('2026-03-28T12:00'))).toEqual(at('2026-03-30T04:30'))
    expect(schedule.after(config({ schedule: undefined }), at('2026-03-28T12:00'))).toBeUndefined()
  })

  test('that never come are none, and what is not a schedule is refused', () => {
    expect(
      schedule.after(config({ schedule: '0 3 30 2 *' }), at('2026-03-28T12:00')),
    ).toBeUndefined()
    for (const wrong of ['99 3 * * *', 'a b c d e', '0 3 * * 9']) {
      expect(() => schedule.after(config({ schedule: wrong }), at('2026-03-28T12:00'))).toThrow(
        expect.objectContaining({ code: 'bad_request' }),
      )
    }
  })

  test('of a manual one begin with the one that is given', () => {
    const once = rotationConfig.parse({ kind: 'manual', secret: 'prod/key', due: '2026-12-31' })
    expect(schedule.first(once, at('2026-03-28T12:00'))).toEqual(at('2026-12-31T00:00'))
    expect(schedule.after(once, at('2026-03-28T12:00'))).toBeUndefined()
  })
})

describe('what is due', () => {
  const due = at('2026-03-28T03:00')

  test('waits, then begins once', () => {
    const decided = (now: string) => decide(schedule, config(), due, at(now))
    expect(decided('2026-03-28T02:59')).toEqual({ is: 'waits' })
    const next = at('2026-03-29T03:00')
    expect(decided('2026-03-28T03:00')).toEqual({ is: 'begins', next })
    expect(decide(schedule, config(), undefined, at('2026-03-28T03:00'))).toEqual({ is: 'waits' })
  })

  test('begins once after a clock that jumped over three dates', () => {
    const next = at('2026-04-01T03:00')
    expect(decide(schedule, config(), due, at('2026-03-31T12:00'))).toEqual({ is: 'begins', next })
  })

  test('is missed once its window is closed', () => {
    const windowed = config({ window: '2h' })
    const next = at('2026-03-29T03:00')
    const decided = (now: string) => decide(schedule, windowed, due, at(now))
    expect(decided('2026-03-28T05:00')).toEqual({ is: 'begins', next })
    expect(decided('2026-03-28T05:01')).toEqual({ is: 'missed', next })
  })

  test('is another date where a clock that was ahead left one that is too far away', async () => {
    const dates = datesOf('2030-01-01T03:00')
    expect(await dates('2026-03-28T12:00')).toEqual(at('2026-03-29T03:00'))
    // It stays when it comes, and until it is used.
    expect(await dates('2026-03-29T12:00', 24)).toEqual(at('2026-03-29T03:00'))
    // A clock that went back by less than a day has no run begin twice.
    expect(await datesOf('2026-03-29T03:00')('2026-03-28T02:00')).toEqual(at('2026-03-29T03:00'))
  })

  test('is what a person gave, however far', async () => {
    const manual = { kind: 'manual', secret: 'prod/key', schedule: '0 3 * * *', due: '2030-01-01' }
    const dates = datesOf('2030-01-01T00:00', rotationConfig.parse(manual))
    expect(await dates('2026-03-28T12:00')).toEqual(at('2030-01-01T00:00'))
  })

  test('is as before when a clock that was behind comes back', async () => {
    const dates = datesOf('2026-03-29T03:00')
    expect(await dates('1970-01-01T00:00')).toEqual(at('1970-01-01T03:00'))
    expect(await dates('2026-03-28T12:00')).toEqual(at('2026-03-29T03:00'))
    // Another jump has another stand-in.
    expect(await dates('1971-01-01T00:00')).toEqual(at('1971-01-01T03:00'))
    expect(await dates('1970-06-01T00:00')).toEqual(at('1970-06-01T03:00'))
    // One that was never awaited is not due.
    expect(await dates('1972-01-01T00:00')).toEqual(at('1972-01-01T03:00'))
  })
})

test('one is overdue when it does not begin, and a manual one while a person is waited for', () => {
  const due = at('2026-03-28T03:00')
  const late = (step: string, now: string) => isOverdue(config(), { step, due }, at(now))
  expect(late('done', '2026-03-28T03:30')).toBe(false)
  expect(late('held', '2026-03-28T04:30')).toBe(true)
  const manual = rotationConfig.parse({ kind: 'manual', secret: 'prod/key' })
  expect(isOverdue(manual, { step: 'planned', due: undefined }, at('2026-03-28T03:00'))).toBe(true)
  expect(isOverdue(manual, { step: 'done', due: undefined }, at('2026-03-28T03:00'))).toBe(false)
  expect(isOverdue(manual, { step: 'done', due }, at('2026-03-28T03:01'))).toBe(true)
})
