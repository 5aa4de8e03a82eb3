/** The strict reader of dotenv files. */
import { parseEnv } from 'node:util'
import { parse } from 'dotenv'
import { describe, expect, test } from 'vitest'
import { dotenv } from '../../cli/formats/dotenv.ts'
import { readDotenv } from '../../cli/readers/dotenv.ts'
import { someValues } from '../formats/values.ts'
import { depth } from '../support/depth.ts'

const read = (text: string) =>
  readDotenv(text).map(({ name, line, value, refusal }) => [
    line,
    name,
    value === undefined ? { refusal } : Buffer.from(value).toString(),
  ])

test('what is read as it is', () => {
  const text = `# comment
export A=one

B = two words # comment
  C='single # \\n $X
second line'  # comment
D="double \\n end"#comment
E=
F=''
G=it's "so" \\d
H.I-J=x=y==
K=postgres://u:p$@h/db?a=b
L=last`
  expect(read(text)).toEqual([
    [2, 'A', 'one'],
    [4, 'B', 'two words'],
    [5, 'C', 'single # \\n $X\nsecond line'],
    [7, 'D', 'double \n end'],
    [8, 'E', ''],
    [9, 'F', ''],
    [10, 'G', 'it\'s "so" \\d'],
    [11, 'H.I-J', 'x=y=='],
    [12, 'K', 'postgres://u:p$@h/db?a=b'],
    [13, 'L', 'last'],
  ])
})

test.each([
  ['A', 'it is not NAME=VALUE'],
  ['A: b', 'it is not NAME=VALUE'],
  ['2A=b', 'it is not NAME=VALUE'],
  ['A=a#b', 'it has a # without a blank before it: put it in quotes'],
  ['A=a\\', 'it ends in a backslash: put it in quotes'],
  ['A=`a`', 'it begins with a backtick: put it in single quotes'],
  ['A=$B', 'it refers to a variable or a command: write the value itself, in single quotes'],
  ['A=a${B}', 'it refers to a variable or a command: write the value itself, in single quotes'],
  ['A="$(id)"', 'it refers to a variable or a command: write the value itself, in single quotes'],
  ['A="a\\"b"', 'it has a backslash that readers take in different ways: use single quotes'],
  ['A="a\\\\nb"', 'it has a backslash that readers take in different ways: use single quotes'],
  ["A='a\\\\b'", 'it has two backslashes in a row, or one at its end'],
  ["A='a' b", 'something follows its closing quote'],
  ["A='a'b'", 'something follows its closing quote'],
])('%s is refused, and the line after it is read', (line, refusal) => {
  const [first, second] = read(`# first\n${line}\nZ=1\n`)
  expect([first?.[0], first?.[2], second]).toEqual([2, { refusal }, [3, 'Z', '1']])
})

test('a quote that is not closed ends the reading', () => {
  const refusal = 'its quote is not closed; nothing after it was read'
  expect(read('A=1\nB="two\nC=3\n')).toEqual([
    [1, 'A', '1'],
    [2, 'B', { refusal }],
  ])
})

test('a name that is there twice is refused, both times', () => {
  const twice = (line: number) => ({ refusal: `its name is there twice, also in line ${line}` })
  expect(read('A=1\nB=2\nA=3\n')).toEqual([
    [1, 'A', twice(3)],
    [2, 'B', '2'],
    [3, 'A', twice(1)],
  ])
})

describe('values by lot', () => {
  const texts = someValues(depth({ usual: 5000, full: 100_000 }), 6)
    .map((each) => each.toString().replaceAll(/[\r\0]/g, ''))
    .filter((each) => each.length < 1000)

  test('what it takes, Node and the npm package read as the same', () => {
    let taken = 0
    for (const text of texts) {
      for (const line of [`A=${text}`, `A='${text}'`, `A="${text}"`]) {
        const [item, ...more] = readDotenv(`${line}\n`)
        if (item?.value === undefined || more.length > 0 || item.name !== 'A') continue
        taken++
        const value = Buffer.from(item.value).toString()
        const others = [parseEnv(`${line}\n`), parse(`${line}\n`)].map(({ A }) => A)
        expect({ line, others }).toEqual({ line, others: [value, value] })
      }
    }
    expect(taken).toBeGreaterThan(texts.length / 2)
  })

  test.each(['node', 'npm', 'python'])(
    'what export writes for %s comes back, or is refused',
    (dialect) => {
      let taken = 0
      for (const text of texts) {
        const entry = { variable: 'A', value: Buffer.from(text) }
        if (dotenv.refusal(entry, { dialect }) !== undefined) continue
        const [item] = readDotenv(String(dotenv.write?.([entry], { dialect })))
        if (item?.value === undefined) continue
        taken++
        expect(Buffer.from(item.value).toString()).toBe(text)
      }
      expect(taken).toBeGreaterThan(texts.length / 3)
    },
  )
})
