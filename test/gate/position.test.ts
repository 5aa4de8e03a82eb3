/** How far reads are, while changes come and go in any order. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Position } from '../../server/gate/position.ts'

test('it follows changes one by one', () => {
  const position = new Position('0123456789abcdef', 7)
  expect(position.text).toBe('0123456789abcdef.7')
  position.begin()
  expect(position.revision).toBe(7)
  position.end(8)
  expect(position.text).toBe('0123456789abcdef.8')
})

test('a change that is acknowledged before the one below it does not count yet', () => {
  const position = new Position('b', 0)
  position.begin()
  position.begin()
  position.end(2)
  expect(position.revision).toBe(0)
  position.end(1)
  expect(position.revision).toBe(2)
})

test('what the store is found to have counts once no change is under way', () => {
  const position = new Position('b', 0)
  position.begin()
  position.reached(4)
  expect(position.revision).toBe(0)
  position.end()
  expect(position.revision).toBe(4)
})

test('whatever the order, it never covers a change that is not acknowledged, and ends with all of them', () => {
  const orders = fc.integer({ min: 1, max: 8 }).chain((count) =>
    fc.shuffledSubarray(
      Array.from({ length: count }, (_, at) => at + 1),
      { minLength: count },
    ),
  )
  fc.assert(
    fc.property(orders, (order) => {
      const position = new Position('b', 0)
      for (const _ of order) position.begin()
      const left = new Set(order)
      for (const revision of order) {
        position.end(revision)
        left.delete(revision)
        expect(position.revision).toBe(Math.min(...left, order.length + 1) - 1)
      }
      expect(position.revision).toBe(order.length)
    }),
  )
})
