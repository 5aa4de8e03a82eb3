/** Writes to backends that were given up: what they may leave is not cleared while they may come about. */
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { DOUBT_MS, Doubts } from '../../server/secrets/doubts.ts'

const place = (name: string) => ({ backend: 1, name, incarnation: 1, version: 2 })

test('a place is in doubt for as long as OpenBao may work on the request', () => {
  let now = 1000
  const doubts = new Doubts({ now: () => now, after: () => () => {} })
  expect([doubts.has(place('a')), doubts.waitMs]).toEqual([false, undefined])
  doubts.add(place('a'))
  now += DOUBT_MS - 1
  doubts.add(place('b'))
  expect([doubts.has(place('a')), doubts.has(place('b')), doubts.waitMs]).toEqual([
    true,
    true,
    DOUBT_MS,
  ])
  now += 1
  expect([doubts.has(place('a')), doubts.has(place('b'))]).toEqual([false, true])
  now += DOUBT_MS
  expect([doubts.has(place('b')), doubts.waitMs]).toEqual([false, undefined])
})

test('another version, incarnation, name or backend is another place', () => {
  const doubts = new Doubts({ now: () => 0, after: () => () => {} })
  doubts.add(place('a'))
  for (const change of [{ backend: 2 }, { name: 'b' }, { incarnation: 2 }, { version: 3 }]) {
    expect(doubts.has({ ...place('a'), ...change })).toBe(false)
  }
})

test('D5: what moves bring is not cleared before the last of them is over', () => {
  const doubts = new Doubts({ now: () => 0, after: () => () => {} })
  const first = doubts.hold([place('a'), place('b')])
  const second = doubts.hold([place('a')])
  expect([doubts.has(place('a')), doubts.has(place('b')), doubts.has(place('c'))]).toEqual([
    true,
    true,
    false,
  ])
  first[Symbol.dispose]()
  expect([doubts.has(place('a')), doubts.has(place('b'))]).toEqual([true, false])
  second[Symbol.dispose]()
  expect([doubts.has(place('a')), doubts.waitMs]).toEqual([false, undefined])
})

test('D5: a removal without an answer may still come about, and any other not', async () => {
  let now = 0
  const doubts = new Doubts({ now: () => now, after: () => () => {} })
  expect(await doubts.removing(place('a'), async () => true)).toBe(true)
  const late = new SottoError('backend_unavailable', 'late')
  const failed = doubts.removing(place('b'), async () => Promise.reject(late))
  await expect(failed).rejects.toThrow('late')
  const other = new SottoError('not_adopted', 'nothing was asked')
  const refused = doubts.removing(place('c'), async () => Promise.reject(other))
  await expect(refused).rejects.toThrow('nothing was asked')
  expect(doubts.mayVanish(place('c'))).toBe(false)
  expect([doubts.mayVanish(place('a')), doubts.mayVanish(place('b'))]).toEqual([false, true])
  // That it is tried again is in nobody's way.
  expect(doubts.has(place('b'))).toBe(false)
  now = DOUBT_MS
  expect(doubts.mayVanish(place('b'))).toBe(false)
})
