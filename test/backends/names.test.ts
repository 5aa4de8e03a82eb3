import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pathOf } from '../../server/backends/names.ts'
import { hostileNames } from '../contract/backend.ts'

const names = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1 }),
  fc.string({ unit: fc.constantFrom('.', '/', '=', '%', 'a', '2', 'E', ' ', 'é'), minLength: 1 }),
)

/** The name that was spelled: that every name leads back shows that no two share a path. */
function nameOf(path: string): string {
  const segments = path.split('/').map((each) => (each === '=' ? '' : each))
  return decodeURIComponent(segments.join('/').replaceAll('=', '%'))
}

describe('the path of a name', () => {
  test.each([
    ['prod/app/key', 'prod/app/key'],
    ['a.b-c_D9', 'a.b-c_D9'],
    ['.', '=2E'],
    ['..', '=2E=2E'],
    ['...', '...'],
    ['../x', '=2E=2E/x'],
    ['a//b', 'a/=/b'],
    ['a/', 'a/='],
    ['/', '=/='],
    ['=', '=3D'],
    ['=2E', '=3D2E'],
    ['%2e', '=252e'],
    ['a?b#c\\d', 'a=3Fb=23c=5Cd'],
    ['a\tb c', 'a=09b=20c'],
    ['*+', '=2A=2B'],
    ['é', '=C3=A9'],
    ['🔑', '=F0=9F=94=91'],
  ])('%j is %j', (name, path) => {
    expect(pathOf(name)).toBe(path)
    expect(nameOf(path)).toBe(name)
  })

  test.each(hostileNames)('of %j is plain and leads back', (name) => {
    const path = pathOf(name)
    expect(path.split('/').every((part) => /^[A-Za-z0-9_.=-]+$/.test(part))).toBe(true)
    expect(path.split('/').some((part) => part === '.' || part === '..')).toBe(false)
    expect(new URL(`http://h/v1/${path}`).pathname).toBe(`/v1/${path}`)
    expect(nameOf(path)).toBe(name)
  })

  test('is plain and leads back, for any name', () => {
    fc.assert(
      fc.property(names, (name) => {
        const path = pathOf(name)
        expect(path).toMatch(/^[A-Za-z0-9_.=-]+(\/[A-Za-z0-9_.=-]+)*$/)
        expect(new URL(`http://h/v1/${path}`).pathname).toBe(`/v1/${path}`)
        expect(nameOf(path)).toBe(name)
      }),
    )
  })

  test('is shared by no two names', () => {
    fc.assert(
      fc.property(names, names, (one, two) => {
        fc.pre(one !== two)
        expect(pathOf(one)).not.toBe(pathOf(two))
      }),
    )
  })

  test('a name that has no UTF-8 has no path', () => {
    expect(() => pathOf('a\uD800')).toThrow('without UTF-8')
  })
})
