/** What retention deletes, and what it never does. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backupName } from '../../server/backup/name.ts'
import { byOrder, type OwnBackup } from '../../server/backup/own.ts'
import {
  DEFAULT_KEEP,
  expired as expiredOf,
  type Keep,
  keepText,
  parseKeep,
} from '../../server/backup/retention.ts'

const storeId = '00112233445566778899aabbccddeeff'
const DAY_MS = 24 * 3600 * 1000
const YEAR_MS = 365 * DAY_MS
const START = Date.UTC(2026, 0, 1)
/** After all of them. */
const LATER = new Date(START + 10 * YEAR_MS)

const made = (ms: number, revision: number): OwnBackup => {
  const created = new Date(ms).toISOString()
  const name = backupName({ created, storeId, revision })
  return { name, size: 1, created, branch: '', revision, logged: revision, follows: null }
}
const dayOf = ({ created }: OwnBackup): string => created.slice(0, 10)
const expired = (backups: readonly OwnBackup[], keep: Keep, needed?: ReadonlySet<string>) =>
  expiredOf(backups, keep, { now: LATER, ...(needed && { needed }) })
const without = (backups: readonly OwnBackup[], gone: readonly OwnBackup[]): OwnBackup[] =>
  backups.filter((each) => !gone.includes(each))

/** Often none of a kind. */
const some = (max: number) => fc.oneof(fc.constant(0), fc.integer({ min: 0, max }))
const keeps: fc.Arbitrary<Keep> = fc.record({
  last: fc.integer({ min: 1, max: 8 }),
  daily: some(10),
  weekly: some(6),
  monthly: some(6),
})
/** Backups of a day, of a year, or of what is between. */
const histories = fc
  .integer({ min: 1, max: 400 })
  .chain((days) => fc.uniqueArray(fc.integer({ min: 0, max: days * DAY_MS }), { maxLength: 150 }))
  .map((times) => times.toSorted((a, b) => a - b).map((ms, at) => made(START + ms, at)))

describe('retention', () => {
  test('keeps the newest, and the first of each day, week and month', () => {
    const hours = Array.from({ length: 24 * 60 }, (_, at) => made(START + at * 3600 * 1000, at))
    const gone = expired(hours, { last: 3, daily: 4, weekly: 3, monthly: 2 })
    // 2026-03-01 is a Sunday.
    expect(without(hours, gone).map(({ created }) => created.slice(0, 13))).toEqual([
      '2026-02-01T00',
      '2026-02-09T00',
      '2026-02-16T00',
      '2026-02-23T00',
      '2026-02-26T00',
      '2026-02-27T00',
      '2026-02-28T00',
      '2026-03-01T00',
      '2026-03-01T21',
      '2026-03-01T22',
      '2026-03-01T23',
    ])
  })

  test('never deletes the newest, nor what those of its day follow', () => {
    fc.assert(
      fc.property(histories, keeps, (backups, keep) => {
        const gone = expired(backups, keep)
        const newest = backups.at(-1)
        if (newest === undefined) return
        expect(gone).not.toContain(newest)
        expect(gone).not.toContain(backups.find((each) => dayOf(each) === dayOf(newest)))
      }),
    )
  })

  test('never deletes what is needed, nor what the newest follows', () => {
    fc.assert(
      fc.property(histories, keeps, fc.nat(), fc.nat(), (backups, keep, pick, followed) => {
        const newest = backups.at(-1)
        if (newest === undefined) return
        const needed = backups.slice(pick % backups.length).slice(0, 2)
        const follows = backups[followed % backups.length]?.name ?? null
        const all = [...backups.slice(0, -1), { ...newest, follows }]
        const gone = expired(all, keep, new Set(needed.map(({ name }) => name)))
        for (const each of needed) expect(gone).not.toContain(each)
        expect(gone.map(({ name }) => name)).not.toContain(follows)
      }),
    )
  })

  test('A3: never deletes a name that it keeps, where a listing has it twice', () => {
    const days = Array.from({ length: 5 }, (_, at) => made(START + at * DAY_MS, at))
    const twice = days.flatMap((each) => [each, { ...each, version: 'another' }])
    const names = expired(twice, { last: 3, daily: 1, weekly: 0, monthly: 0 }).map(
      ({ name }) => name,
    )
    const kept = days.slice(-2).map(({ name }) => name)
    expect(names.filter((name) => kept.includes(name))).toEqual([])
  })

  test('keeps no more than it was told', () => {
    fc.assert(
      fc.property(histories, keeps, (backups, keep) => {
        const gone = expired(backups, keep)
        const most = keep.last + keep.daily + keep.weekly + keep.monthly + 1
        expect(backups.length - gone.length).toBeLessThanOrEqual(most)
        expect(gone).toEqual(gone.toSorted(byOrder))
      }),
    )
  })

  test('done again deletes nothing more', () => {
    fc.assert(
      fc.property(histories, keeps, (backups, keep) => {
        expect(expired(without(backups, expired(backups, keep)), keep)).toEqual([])
      }),
    )
  })

  test('done after every backup keeps what it would keep of all of them', () => {
    fc.assert(
      fc.property(histories, keeps, (backups, keep) => {
        let left: OwnBackup[] = []
        for (const each of backups) {
          left.push(each)
          left = without(left, expired(left, keep))
        }
        expect(left).toEqual(without(backups, expired(backups, keep)))
      }),
    )
  })
})

describe('retention under a clock that is wrong', () => {
  /** Backups a minute apart by the timers, each dated by the clock of its moment; after each, retention. */
  function live(
    moves: readonly number[],
    keep: Keep,
    guard?: (left: OwnBackup[], made: OwnBackup) => void,
  ) {
    let left: OwnBackup[] = []
    moves.forEach((off, at) => {
      const now = START + at * 60_000 + off
      const each = made(now, at)
      left.push(each)
      const needed = new Set([each.name])
      left = without(left, expiredOf(left.toSorted(byOrder), keep, { now: new Date(now), needed }))
      guard?.(left, each)
    })
    return left
  }

  const jumps = fc.constantFrom(0, YEAR_MS, -YEAR_MS, DAY_MS, -DAY_MS, -START, 60_000, -60_000)
  const clocks = fc
    .array(fc.tuple(jumps, fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.flatMap(([off, times]) => Array<number>(times).fill(off)))

  test('U1: of r2 dated a year ahead and r3 dated now, r3 stays with last=1', () => {
    const [ahead, now] = [made(START + YEAR_MS, 2), made(START, 3)]
    const keep = { last: 1, daily: 0, weekly: 0, monthly: 0 }
    expect(expiredOf([ahead, now], keep, { now: new Date(START + 1000) })).toEqual([])
  })

  test('A3, U1: thirty backups a year ahead take the place of none that comes after', () => {
    const off = [...Array<number>(30).fill(YEAR_MS), 0, 0, 0]
    const left = live(off, DEFAULT_KEEP)
    expect(left.slice(-3).map(({ revision }) => revision)).toEqual([30, 31, 32])
    expect(left).toHaveLength(33)
  })

  test('A3, U1: whatever the clock does, a run keeps what it made and the newest as many as `last` says', () => {
    fc.assert(
      fc.property(clocks, keeps, (moves, keep) => {
        live(moves, keep, (left, each) => {
          expect(left).toContain(each)
          expect(left.at(-1)).toBe(each)
          expect(left.length).toBeGreaterThanOrEqual(Math.min(each.revision + 1, keep.last))
        })
      }),
    )
  })

  test('U1: a clock that was wrong once leaves no mark: what comes after is kept as it would have been', () => {
    fc.assert(
      fc.property(clocks, keeps, (moves, keep) => {
        const after = Array<number>(60).fill(0)
        const left = live([...moves, ...after], keep)
        const right = live(after, keep)
        expect(left.slice(-keep.last).map(({ revision }) => revision - moves.length)).toEqual(
          right.slice(-keep.last).map(({ revision }) => revision),
        )
      }),
    )
  })
})

describe('what to keep', () => {
  test('is read as it is written', () => {
    fc.assert(
      fc.property(keeps, (keep) => {
        expect(parseKeep(keepText(keep))).toEqual(keep)
      }),
    )
    expect(parseKeep('last=1')).toEqual({ last: 1, daily: 0, weekly: 0, monthly: 0 })
    expect(parseKeep('all')).toBeUndefined()
    expect(parseKeep(keepText(DEFAULT_KEEP))).toEqual(DEFAULT_KEEP)
  })

  test.each(['', 'last', 'last=-1', 'yearly=1', 'last=1,', 'last=1 daily=2', 'LAST=1'])(
    'is not %j',
    (text) => expect(() => parseKeep(text)).toThrow(expect.objectContaining({ code: 'usage' })),
  )

  test('is never nothing', () => {
    expect(() => parseKeep('last=0,daily=7')).toThrow(/last must be 1 or more/)
  })
})
