import { expect, test } from 'vitest'
import { said } from '../../server/platform/said.ts'

test('U17: what a service said is passed on bounded, on one line, and moves no terminal', () => {
  expect(said(' Quota\r\n\texceeded ')).toBe('"Quota exceeded"')
  expect(said('a "b" \\ é 😀')).toBe('"a \\"b\\" \\\\ é 😀"')
  expect(said('\u001b[2J\u009b1m\u202egpj\u2060\u0000')).toBe(
    '"\\u001b[2J\\u{9b}1m\\u{202e}gpj\\u{2060}\\u0000"',
  )
  const long = said('x'.repeat(100_000))
  expect(long).toBe(`"${'x'.repeat(400)}…"`)
})
