import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Action, Rule } from '../client/api/types.ts'
import { allowing, allows, allowsEach, grantOf, matcherOf, matches } from '../server/access.ts'

const rules: Rule[] = [
  { action: ['get', 'info'], secret: ['prod/*'] },
  { action: ['put', 'juggle'], secret: ['dev/*', 'prod/*/ci'] },
  { action: [], secret: ['*'] },
  { action: ['delete'], secret: [] },
]

function allow(action: Action, name: string): [boolean, Action, string] {
  return [true, action, name]
}

function deny(action: Action, name: string): [boolean, Action, string] {
  return [false, action, name]
}

describe('rules', () => {
  test.each([
    allow('get', 'prod/a'),
    allow('get', 'prod/a/b'),
    allow('get', 'prod/'),
    deny('get', 'prod'),
    deny('get', 'dev/a'),
    deny('get', 'PROD/a'),
    deny('get', ''),
    allow('info', 'prod/a'),
    allow('put', 'dev/a'),
    allow('put', 'prod/x/ci'),
    allow('put', 'prod/x/y/ci'),
    deny('put', 'prod/ci'),
    deny('put', 'prod/x/ci/z'),
    deny('activate', 'dev/a'),
    deny('create-version', 'dev/a'),
    deny('delete', 'dev/a'),
    deny('delete', ''),
  ])('%s: %s on %j', (expected, action, name) => {
    expect(allows(rules, action, name)).toBe(expected)
  })

  test('no rules allow nothing', () => {
    expect(allows([], 'get', 'a')).toBe(false)
  })

  test('get and info do not imply each other', () => {
    expect(allows([{ action: ['get'], secret: ['*'] }], 'info', 'a')).toBe(false)
    expect(allows([{ action: ['info'], secret: ['*'] }], 'get', 'a')).toBe(false)
  })

  test('where no secret is concerned only patterns that match the empty name allow', () => {
    expect(allows([{ action: ['audit'], secret: ['*'] }], 'audit', '')).toBe(true)
    expect(allows([{ action: ['audit'], secret: ['prod/*'] }], 'audit', '')).toBe(false)
  })

  test('B3: nothing in a rule is filled in from who is calling', () => {
    const literal = [{ action: ['get'], secret: ['home/{user}/*', 'home/$USER/*'] }]
    expect(allows(literal, 'get', 'home/alice/key')).toBe(false)
    expect(allows(literal, 'get', 'home/{user}/key')).toBe(true)
  })
})

describe('patterns', () => {
  test.each([
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['**', 'ab', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*ab*ab*', 'abab', true],
    ['*ab*ab*', 'abxb', false],
    ['a*b*c', 'abbc', true],
    ['a*bc*c', 'abc', false],
    ['a?c', 'abc', false],
    ['a[bc]', 'ab', false],
    ['a.c', 'abc', false],
    ['a\\*', 'a\\b', true],
  ])('%j on %j: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected)
  })

  test('agree with the regular expression that says the same', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '*'), maxLength: 12 })
    fc.assert(
      fc.property(text, text, (pattern, name) => {
        const source = pattern
          .split('*')
          .map((part) => RegExp.escape(part))
          .join('.*')
        expect(matches(pattern, name)).toBe(new RegExp(`^${source}$`, 's').test(name))
      }),
      { numRuns: 2000 },
    )
  })

  test('B9: compiled once for many names, they say the same as one by one', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 6 })
    fc.assert(
      fc.property(fc.array(text), fc.array(text), (patterns, names) => {
        const each: Rule[] = patterns.map((pattern) => ({ action: ['get'], secret: [pattern] }))
        const isMeant = matcherOf(patterns)
        const isAllowed = allowing([...each, { action: ['put'], secret: ['*'] }], 'get')
        for (const name of names) {
          const expected = patterns.some((pattern) => matches(pattern, name))
          expect([isMeant(name), isAllowed(name)]).toEqual([expected, expected])
        }
      }),
    )
  })

  test('a hostile pattern costs no more than its length', () => {
    const pattern = `${'a*'.repeat(2000)}b`
    expect(matches(pattern, 'a'.repeat(4096))).toBe(false)
  })
})

test('what allows an action is the first rule, and the pattern of it, that does', () => {
  const several: Rule[] = [
    { action: ['info'], secret: ['*'] },
    { action: ['get'], secret: ['dev/*', 'prod/*', '*'] },
    { action: ['get'], secret: ['prod/a'] },
  ]
  expect(grantOf(several, 'get', 'prod/a')).toEqual({ rule: 1, pattern: 'prod/*' })
  expect(grantOf(several, 'info', 'prod/a')).toEqual({ rule: 0, pattern: '*' })
  expect(grantOf(several, 'put', 'prod/a')).toBeUndefined()
})

describe('rules on every name of a pattern', () => {
  const reads = [
    { action: ['get'], secret: ['prod/*', 'a*b*c', 'one'] },
    { action: ['get'], secret: ['dev/1*', 'dev/2*'] },
    { action: ['info'], secret: ['*'] },
  ]

  test.each([
    ['prod/*', true],
    ['prod/a', true],
    ['prod/a*', true],
    ['prod/*/x*', true],
    ['one', true],
    ['a*b*c', true],
    ['axbyc', true],
    ['a*bx*c', true],
    ['a*c', false],
    ['prod*', false],
    ['*', false],
    ['one*', false],
    ['dev/*', false],
    ['dev/1', true],
    ['dev/1*', true],
  ])('%j: %s', (pattern, expected) => {
    expect(allowsEach(reads, 'get', pattern)).toBe(expected)
  })

  test('allow it on each of the names that there could be', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '*', '/'), maxLength: 6 })
    const names = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 8 })
    fc.assert(
      fc.property(texts, texts, names, (wide, pattern, name) => {
        const rule = [{ action: ['get'], secret: [wide] }]
        const covered = allowsEach(rule, 'get', pattern) && matches(pattern, name)
        expect(allows(rule, 'get', name) || !covered).toBe(true)
      }),
      { numRuns: 5000 },
    )
  })
})
