/** What retention deletes, and what it never does. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backupName, parseName } from '../../server/backup/name.ts'
import {
  DEFAULT_KEEP,
  expired,
  type Keep,
  keepText,
  parseKeep,
} from '../../server/backup/retention.ts'

const storeId = '00112233445566778899aabbccddeeff'
const otherStore = 'ffeeddccbbaa99887766554433221100'
const DAY_MS = 24 * 3600 * 1000
const START = Date.UTC(2026, 0, 1)

const named = (ms: number, revision = 1, store = storeId): string =>
  backupName({ created: new Date(ms).toISOString(), storeId: store, revision })
const createdOf = (name: string): string => parseName(name)?.created ?? ''
const dayOf = (name: string): string => createdOf(name).slice(0, 10)

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
  .map((times) => times.toSorted((a, b) => a - b).map((ms) => named(START + ms)))

describe('retention', () => {
  test('keeps the newest, and the first of each day, week and month', () => {
    const hours = Array.from({ length: 24 * 60 }, (_, at) => named(START + at * 3600 * 1000))
    const gone = new Set(expired(hours, storeId, { last: 3, daily: 4, weekly: 3, monthly: 2 }))
    // 2026-03-01 is a Sunday.
    expect(
      hours.filter((name) => !gone.has(name)).map((name) => createdOf(name).slice(0, 13)),
    ).toEqual([
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
      fc.property(histories, keeps, (names, keep) => {
        const gone = expired(names, storeId, keep)
        const newest = names.at(-1)
        if (newest === undefined) return
        expect(gone).not.toContain(newest)
        expect(gone).not.toContain(names.find((name) => dayOf(name) === dayOf(newest)))
      }),
    )
  })

  test('never deletes what it does not know, nor what is needed', () => {
    const strangers = fc.array(
      fc.oneof(
        fc.string(),
        fc.integer({ min: 0, max: 400 * DAY_MS }).map((ms) => named(START + ms, 1, otherStore)),
        fc.constantFrom('notes.txt', 'db-2026.json', 'sotto.backup', 'sotto-2026-x-r1.backup'),
      ),
    )
    fc.assert(
      fc.property(histories, strangers, keeps, fc.nat(), (names, others, keep, pick) => {
        const needed = new Set(names.slice(pick % (names.length + 1)).slice(0, 2))
        const gone = expired([...others, ...names], storeId, keep, needed)
        expect(names).toEqual(expect.arrayContaining(gone))
        for (const name of needed) expect(gone).not.toContain(name)
      }),
    )
  })

  test('keeps no more than it was told, in whatever order names come', () => {
    fc.assert(
      fc.property(histories, keeps, (names, keep) => {
        const gone = expired(names, storeId, keep)
        const most = keep.last + keep.daily + keep.weekly + keep.monthly + 1
        expect(names.length - gone.length).toBeLessThanOrEqual(most)
        expect(expired(names.toReversed(), storeId, keep)).toEqual(gone)
        expect(gone).toEqual(gone.toSorted())
      }),
    )
  })

  test('done again deletes nothing more', () => {
    fc.assert(
      fc.property(histories, keeps, (names, keep) => {
        const gone = new Set(expired(names, storeId, keep))
        const left = names.filter((name) => !gone.has(name))
        expect(expired(left, storeId, keep)).toEqual([])
      }),
    )
  })

  test('done after every backup keeps what it would keep of all of them', () => {
    fc.assert(
      fc.property(histories, keeps, (names, keep) => {
        let left: string[] = []
        for (const name of names) {
          left.push(name)
          const gone = new Set(expired(left, storeId, keep))
          left = left.filter((each) => !gone.has(each))
        }
        const gone = new Set(expired(names, storeId, keep))
        expect(left).toEqual(names.filter((name) => !gone.has(name)))
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
