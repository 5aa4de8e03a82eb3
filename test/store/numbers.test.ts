import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  formatNumbers,
  hasNumber,
  joinNumbers,
  parseNumbers,
  withoutNumber,
} from '../../server/store/numbers.ts'

test.each([
  [[], ''],
  [[1], '1'],
  [[1, 2, 3, 7], '1-3,7'],
  [[1, 3, 5], '1,3,5'],
  [[4_294_967_294, 4_294_967_295], '4294967294-4294967295'],
])('%j is %j', (numbers, text) => {
  expect(formatNumbers(numbers)).toBe(text)
  expect(parseNumbers(text)).toEqual(numbers)
})

test.each([[[0]], [[-1]], [[1.5]], [[Number.NaN]], [[2, 1]], [[1, 1]], [[4_294_967_296]]])(
  '%j is no set of version numbers',
  (numbers) => {
    expect(() => formatNumbers(numbers)).toThrow(expect.objectContaining({ code: 'internal' }))
  },
)

test.each(['x', '1,', ',1', '3-1', '0', '1-', '1-4294967296'])('%j is damage', (text) => {
  expect(() => parseNumbers(text)).toThrow(expect.objectContaining({ code: 'store_damaged' }))
})

test('operations agree with sets of numbers', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 40 }))
  const ascending = (set: Iterable<number>): number[] => [...set].toSorted((a, b) => a - b)
  fc.assert(
    fc.property(numbers, numbers, fc.integer({ min: 1, max: 40 }), (one, other, number) => {
      const [a, b] = [formatNumbers(ascending(one)), formatNumbers(ascending(other))]
      expect(parseNumbers(a)).toEqual(ascending(one))
      expect(joinNumbers(a, b)).toBe(formatNumbers(ascending(new Set([...one, ...other]))))
      expect(hasNumber(a, number)).toBe(one.includes(number))
      const rest = ascending(one).filter((each) => each !== number)
      expect(withoutNumber(a, number)).toBe(formatNumbers(rest))
    }),
  )
})
