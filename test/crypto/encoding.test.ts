import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  dataKeyBinding,
  entryBinding,
  rootKeyBinding,
  valueBinding,
} from '../../server/crypto/binding.ts'
import { encode, type Field, runs } from '../../server/crypto/encoding.ts'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const text = fc.string({ unit: 'binary' })

/** Texts from so few letters that lists often nearly agree, and that look like lengths. */
const short = fc.string({ unit: fc.constantFrom('\0', '\u0001', 'a', 'é'), maxLength: 6 })
const small = fc.constantFrom(0, 1, 2, 256, 0x61_00_00_00)

/** Reads fields back, of the kinds that `like` has. */
function decode(bytes: Buffer, like: readonly Field[]): Field[] {
  let at = 0
  const fields = like.map((field) => {
    const number = bytes.readUInt32BE(at)
    at += 4
    if (typeof field === 'number') return number
    at += number
    return bytes.toString('utf8', at - number, at)
  })
  expect(at).toBe(bytes.length)
  return fields
}

/** Reads runs back. */
function spread(fields: readonly number[]): number[] {
  const [count, ...rest] = fields
  expect(rest.length).toBe(2 * count!)
  return Array.from({ length: count! }, (_, i) => [rest[2 * i]!, rest[2 * i + 1]!]).flatMap(
    ([first, length]) => Array.from({ length: length! }, (_, i) => first! + i),
  )
}

test('fields are read back as they were written', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(u32, text)), (fields) => {
      expect(decode(encode(fields), fields)).toEqual(fields)
    }),
  )
})

test('different bindings have different bytes, equal ones the same', () => {
  const place = fc.record({ name: short, incarnation: small, version: small })
  const binding = fc.oneof(
    fc
      .tuple(fc.constant('value'), short, place)
      .map((of) => ({ of, made: valueBinding(of[1], of[2]) })),
    fc
      .tuple(fc.constant('data-key'), short, place)
      .map((of) => ({ of, made: dataKeyBinding(of[1], of[2]) })),
    fc
      .tuple(
        fc.constant('entry'),
        short,
        fc.record({
          id: small,
          createdAt: short,
          state: fc.constantFrom('active' as const, 'retiring' as const),
        }),
      )
      .map((of) => ({ of, made: entryBinding(of[1], of[2]) })),
    fc.tuple(fc.constant('root-key'), short).map((of) => ({ of, made: rootKeyBinding(of[1]) })),
  )
  fc.assert(
    fc.property(binding, binding, (a, b) => {
      const same = JSON.stringify(a.of) === JSON.stringify(b.of)
      expect(Buffer.compare(a.made.bytes, b.made.bytes) === 0).toBe(same)
    }),
    { numRuns: 2000 },
  )
})

test('a length and a text are not mixed up: what ends one cannot begin the next', () => {
  expect(encode(['a', 'bc'])).not.toEqual(encode(['ab', 'c']))
  expect(encode(['', 'a'])).not.toEqual(encode(['a', '']))
})

test('lists of numbers are read back from their runs, sorted or not', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(u32, fc.integer({ min: 1, max: 9 }))), (numbers) => {
      expect(spread(runs(numbers))).toEqual(numbers)
    }),
  )
})

test('ten thousand versions in a row take three fields', () => {
  const versions = Array.from({ length: 10_000 }, (_, index) => index + 1)
  expect(runs(versions)).toEqual([1, 1, 10_000])
})

test.each([-1, 1.5, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY])(
  'the number %d is refused',
  (number) => {
    expect(() => encode([number])).toThrow(expect.objectContaining({ code: 'internal' }))
  },
)

test.each(['\uD800', 'a\uDC00b'])('a text without UTF-8 is refused', (broken) => {
  expect(() => encode([broken])).toThrow(expect.objectContaining({ code: 'internal' }))
})
