/** When rotations are due: dates that were missed, windows, and clocks that are moved. */
import { describe, expect, test } from 'vitest'
import { rotationConfig } from '../../client/api/rotations.ts'
import { decide, isOverdue, openSchedule } from '../../server/rotation/schedule.ts'

const schedule = await openSchedule()
const config = (more: object = {}) =>
  rotationConfig.parse({ kind: 'generated', secret: 'prod/key', schedule: '0 3 * * *', ...more })
const at = (text: string): Date => new Date(`${text}Z`)
const iso = (text: string): string => at(text).toISOString()

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
  const due = iso('2026-03-28T03:00')

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

  test('is another date where a clock that was ahead left one that is too far away', () => {
    const far = iso('2030-01-01T03:00')
    const next = at('2026-03-29T03:00')
    expect(decide(schedule, config(), far, at('2026-03-28T12:00'))).toEqual({ is: 'missed', next })
    // A clock that went back by less than a day has no run begin twice.
    const tomorrow = iso('2026-03-29T03:00')
    expect(decide(schedule, config(), tomorrow, at('2026-03-28T02:00'))).toEqual({ is: 'waits' })
  })
})

test('one is overdue when it does not begin, and a manual one while a person is waited for', () => {
  const due = iso('2026-03-28T03:00')
  const late = (step: string, now: string) => isOverdue(config(), { step, due }, at(now))
  expect(late('done', '2026-03-28T03:30')).toBe(false)
  expect(late('held', '2026-03-28T04:30')).toBe(true)
  const manual = rotationConfig.parse({ kind: 'manual', secret: 'prod/key' })
  expect(isOverdue(manual, { step: 'planned' }, at('2026-03-28T03:00'))).toBe(true)
  expect(isOverdue(manual, { step: 'done' }, at('2026-03-28T03:00'))).toBe(false)
  expect(isOverdue(manual, { step: 'done', due }, at('2026-03-28T03:01'))).toBe(true)
})
