/** How values are compared, and read by field. */
import { describe, expect, test } from 'vitest'
import { comparisonOf, revealed } from '../../cli/comparison.ts'
import { fieldOf } from '../../cli/json-value.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const compared = (a: string, b: string) => comparisonOf(bytes(a), bytes(b))

describe('a comparison', () => {
  test.each([
    ['the same bytes', 'a', 'a', { equal: true }],
    ['other text', 'a', 'a\n', { equal: false }],
    ['an object and text', '{"a":1}', 'a', { equal: false }],
    ['arrays', '[1]', '[2]', { equal: false }],
    [
      'other spelling of the same',
      '{"a":1, "b":[{}]}',
      '{"b":[{}],"a":1}',
      { equal: false, fields: [] },
    ],
    [
      'digits that a number would lose',
      '{"a":12345678901234567890}',
      '{"a":12345678901234567891}',
      { equal: false, fields: [{ field: 'a', change: 'changed', type: 'number' }] },
    ],
    [
      'null and nothing',
      '{"a":null}',
      '{}',
      { equal: false, fields: [{ field: 'a', change: 'removed', type: 'null' }] },
    ],
    [
      'a field of every object',
      '{}',
      '{"__proto__":true,"constructor":[]}',
      {
        equal: false,
        fields: [
          { field: '__proto__', change: 'added', type: 'boolean' },
          { field: 'constructor', change: 'added', type: 'array' },
        ],
      },
    ],
  ])('of %s', (_, a, b, expected) => {
    expect(compared(a, b)).toEqual(expected)
  })

  test('has nothing of a value but the names of fields', () => {
    const told = JSON.stringify(
      compared('{"a":"canary","b":["canary"]}', '{"a":"canary2","c":"canary"}'),
    )
    expect(told).not.toContain('canary')
  })
})

test('what differs is shown by field, or by line', () => {
  const shown = (a: string, b: string) => revealed(bytes(a), bytes(b))
  expect(shown('{"a":1.0,"b":2}', '{"b":2,"a":"x","c":null}')).toBe(
    '- "a": 1.0\n+ "a": "x"\n+ "c": null\n',
  )
  expect(shown('one\ntwo\nthree', 'one\n2\n2\nthree')).toBe('- two\n+ 2\n+ 2\n')
  expect(shown('one', 'one\n')).toBe('+ \n')
})

describe('a field', () => {
  const value = bytes('{"text":"a\\nb","number":1e400,"list":[1.0],"none":null,"__proto__":"own"}')
  test.each([
    ['text', 'a\nb'],
    ['number', '1e400'],
    ['list', '[1.0]'],
    ['none', 'null'],
    ['__proto__', 'own'],
  ])('%s', (field, expected) => {
    expect(Buffer.from(fieldOf(value, 'x', field)).toString()).toBe(expected)
  })

  test.each([
    ['toString', value, 'not_found'],
    ['a', bytes('["canary"]'), 'local'],
    ['a', bytes('{"a":"canary"'), 'local'],
    ['a', bytes('null'), 'local'],
    ['a', Buffer.from([0xff]), 'local'],
  ])('%s that is not there', (field, of, code) => {
    expect(() => fieldOf(of, 'x', field)).toThrow(
      expect.objectContaining({ code, message: expect.not.stringContaining('canary') }),
    )
  })
})
