/** Tables as wide as the terminal. */
import { expect, test } from 'vitest'
import { within, wrapped } from '../../cli/terminal/layout.ts'
import { table } from '../../cli/terminal/table.ts'

const lines = (...args: Parameters<typeof table>): string[] =>
  table(...args)
    .split('\n')
    .slice(0, -1)

test('V8: without a terminal a row is one line, however long', () => {
  const long = 'x'.repeat(200)
  expect(
    lines([
      ['A', 'B'],
      [long, 'y'],
    ]),
  ).toEqual([`A${' '.repeat(200)}B`, `${long} y`])
})

test('V8: what fits stays as it is', () => {
  const rows = [
    ['NAME', 'ACTIVE', 'VERSIONS'],
    ['prod/key', '2', '1,2'],
  ]
  expect(lines(rows, { room: 80 })).toEqual(lines(rows))
})

test('V8: columns that do not fit are below, in every row alike, and aligned there', () => {
  const rows = [
    ['NAME', 'CREATED', 'SIZE', 'STATE'],
    ['a-name-of-twenty-one-x', 'yesterday', '12', 'whole'],
    ['b', 'a week ago', '1', 'cut off'],
  ]
  expect(lines(rows, { room: 40 })).toEqual([
    'NAME                   CREATED    SIZE',
    '  STATE',
    'a-name-of-twenty-one-x yesterday  12',
    '  whole',
    'b                      a week ago 1',
    '  cut off',
  ])
  expect(lines(rows, { room: 26 })).toEqual([
    'NAME',
    '  CREATED    SIZE STATE',
    'a-name-of-twenty-one-x',
    '  yesterday  12   whole',
    'b',
    '  a week ago 1    cut off',
  ])
})

test('V8: the last cell is filled beside the others, or below them where too little room is left', () => {
  const note = 'no rule of the policy allows this to the one who asked'
  expect(lines([['Note:', note]], { room: 40 })).toEqual([
    'Note: no rule of the policy allows this',
    '      to the one who asked',
  ])
  expect(lines([['a column of thirty characters.', 'b', note]], { room: 44 })).toEqual([
    'a column of thirty characters. b',
    '  no rule of the policy allows this to the',
    '  one who asked',
  ])
})

test('V8: a word that is longer than the room beside is below, and whole', () => {
  const arn = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab'
  expect(
    lines(
      [
        ['kms-key', arn],
        ['listen', ':443'],
      ],
      { room: 60 },
    ),
  ).toEqual(['kms-key', `  ${arn}`, 'listen  :443'])
})

test('V8: a row may have fewer cells, and a line without any is left out', () => {
  const rows = [
    ['PROVIDER', 'STATE', 'NOTE'],
    ['openbao-transit-in-the-office', 'proven'],
    ['', '', 'only a note'],
  ]
  expect(lines(rows, { room: 42 })).toEqual([
    'PROVIDER                      STATE NOTE',
    'openbao-transit-in-the-office proven',
    '  only a note',
  ])
})

test('V8: columns keep the widths of the rows before', () => {
  const widths: number[] = []
  table([['1000000000', 'get', 'x']], { gap: 2, widths, room: 80 })
  expect(lines([['7', 'put', 'y']], { gap: 2, widths, room: 80 })).toEqual(['7           put  y'])
})

test('V8: control characters of a cell are shown before it is measured', () => {
  expect(
    lines(
      [
        ['\u001b[2J', 'x'],
        ['abc', 'y'],
      ],
      { room: 40 },
    ),
  ).toEqual(['\\u001b[2J x', 'abc       y'])
})

test('V8: text is broken at spaces, and after commas where a word is longer than a line', () => {
  expect(wrapped('one two three', 8)).toEqual(['one two', 'three'])
  expect(wrapped('1,2,3,4,5,6', 6)).toEqual(['1,2,3,', '4,5,6'])
  expect(wrapped('abcdefghij', 6)).toEqual(['abcdefghij'])
})

test('V8: a command that is to be pasted is on one line', () => {
  expect(wrapped('To see it, run `sotto job status` now.', 20)).toEqual([
    'To see it, run',
    '`sotto job status`',
    'now.',
  ])
  expect(wrapped("then run 'sotto activate x 2' here", 24)).toEqual([
    'then run',
    "'sotto activate x 2'",
    'here',
  ])
  expect(wrapped("the server's own and the caller's", 20)).toEqual([
    "the server's own and",
    "the caller's",
  ])
})

test('V8: only lines that are too long are broken, and stay indented', () => {
  expect(within('a   b\n  one two three\n', 10)).toBe('a   b\n  one two\n  three\n')
  expect(within('type the name: ', 10)).toBe('type the\nname: ')
})
