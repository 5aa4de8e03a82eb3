/** What the controller's policy allows, and what a definition asks for. */
import { describe, expect, test } from 'vitest'
import { contentFor } from '../../../cli/handlers/kubernetes/content.ts'
import { deniedOf, definitionOf } from '../../../cli/handlers/kubernetes/definition.ts'
import { readPolicy } from '../../../cli/handlers/kubernetes/policy.ts'

const text = `
kind: kubernetespolicy
allow:
  payments: [prod/payments/*, prod/shared/ca]
  "*": [NAMESPACE/*]
mounts: {secret: "", secret-prod: prod/, secret/deep: deep/}
`

const policy = readPolicy(text, 'policy.yaml')

function definition(spec: object): ReturnType<typeof definitionOf> {
  return definitionOf({ metadata: { name: 'd', namespace: 'a', uid: 'u' }, spec }, policy)
}

describe('a policy', () => {
  test.each([
    ['payments', 'prod/payments/key', true],
    ['payments', 'prod/shared/ca', true],
    ['payments', 'payments/key', true],
    ['payments', 'prod/shared/ca2', false],
    ['team', 'team/key', true],
    ['team', 'team2/key', false],
    ['team', 'team', false],
    ['team', 'prod/payments/key', false],
    ['team2', 'team/key', false],
    ['constructor', 'prod/payments/key', false],
    ['__proto__', 'prod/payments/key', false],
  ])('%s and %s: %s', (namespace, name, allowed) => {
    expect(policy.allows(namespace, name)).toBe(allowed)
  })

  test('with nothing in it allows nothing', () => {
    const empty = readPolicy('kind: kubernetespolicy\nallow: {}', 'policy.yaml')
    expect(empty.allows('team', 'team/key')).toBe(false)
  })

  test.each([
    ['secret/data/team/key', 'team/key'],
    ['secret/team/key', 'team/key'],
    ['secret/data/data/key', 'data/key'],
    ['secret-prod/data/key', 'prod/key'],
    ['secret/deep/data/key', 'deep/key'],
    ['secrets/data/key', 'secrets/data/key'],
    ['team/key', 'team/key'],
  ])('the path %s is the secret %s', (path, name) => {
    expect(policy.nameAt(path)).toBe(name)
  })

  test.each([
    ['kind: kubernetespolicy', 'allow'],
    ['kind: kubernetespolicy\nallow: {team: []}\nallows: {}', 'there is no field "allows"'],
    ['kind: kubernetespolicy\nallow: {Team: []}', 'allow'],
    ['kind: kubernetespolicy\nallow: {}\nmounts: {secret: prod}', 'mounts'],
    ['kind: kubernetespolicy\nallow: {}\n---\nkind: kubernetespolicy\nallow: {}', 'more than one'],
  ])('%j is refused', (given, why) => {
    expect(() => readPolicy(given, 'policy.yaml')).toThrow(why)
  })
})

describe('a definition', () => {
  test('asks for names, fields and encodings', () => {
    const asked = definition({
      name: 'it',
      keysMap: {
        b: { path: 'secret/data/a/b', key: 'k', encoding: 'base64' },
        a: { path: 'a/whole', version: 3 },
        c: { path: 'a/c', key: '', encoding: 'text' },
      },
    })
    expect(asked).toMatchObject({
      secret: 'it',
      type: 'Opaque',
      onMissing: 'keepOld',
      isRetained: false,
      adopts: false,
      entries: [
        { key: 'a', name: 'a/whole', version: 3, field: undefined, isBase64: false },
        { key: 'b', name: 'a/b', version: undefined, field: 'k', isBase64: true },
        { key: 'c', name: 'a/c', version: undefined, field: 'data', isBase64: false },
      ],
    })
  })

  test('names what it may not have, each once', () => {
    const keysMap = {
      a: { path: 'a/own', key: 'x' },
      b: { path: 'b/theirs', key: 'x' },
      c: { path: 'b/theirs', key: 'y' },
    }
    const asked = definition({ name: 'it', keysMap })
    expect(typeof asked === 'string' || deniedOf(asked, 'a', policy)).toEqual(['b/theirs'])
  })

  test.each([
    [{ keysMap: {} }, 'spec.name'],
    [{ name: 'Upper', keysMap: { a: { path: 'a/b' } } }, 'spec.name'],
    [{ name: 'it', keysMap: {} }, 'no keys'],
    [{ name: 'it', keysMap: { 'a b': { path: 'a/b' } } }, 'not a key of a Secret'],
    [{ name: 'it', keysMap: { a: { path: '' } } }, 'it is empty'],
    [{ name: 'it', keysMap: { a: { path: 'a/\n' } } }, 'control characters'],
    [{ name: 'it', keysMap: { a: { path: 'a', encoding: 'hex' } } }, 'text or base64'],
    [{ name: 'it', keysMap: { a: { path: 'a', version: 0 } } }, 'version'],
    [
      { name: 'it', type: 'kubernetes.io/service-account-token', keysMap: { a: { path: 'a/b' } } },
      'gives rights',
    ],
    [undefined, 'spec'],
  ])('%j is none', (spec, why) => {
    expect(definition(spec as object)).toContain(why)
  })
})

describe('the content', () => {
  const made = (value: string | Uint8Array, more: object): unknown => {
    const asked = definition({ name: 'it', keysMap: { it: { path: 'a/b', ...more } } })
    if (typeof asked === 'string') return asked
    const known = { state: 'value', version: 1, bytes: Buffer.from(value) } as const
    const content = contentFor(asked, () => known).get('it')
    return content?.state === 'value'
      ? Buffer.from(content.base64, 'base64').toString()
      : content?.state
  }

  test.each([
    ['plain', {}, 'plain'],
    ['plain', { key: 'value' }, 'plain'],
    ['{"a":"b","n":5432,"t":true}', { key: 'a' }, 'b'],
    ['{"a":"b","n":5432,"t":true}', { key: 'n' }, '5432'],
    ['{"a":"b","n":5432,"t":true}', { key: 't' }, 'true'],
    ['{"a":"b"}', {}, '{"a":"b"}'],
    ['{"a":"Yg=="}', { key: 'a', encoding: 'base64' }, 'b'],
    ['{"a":"b"}', { key: 'toString' }, 'unfit'],
    ['{"a":"b"}', { key: 'value' }, 'unfit'],
    ['not base64', { key: 'value', encoding: 'base64' }, 'unfit'],
    // As Go decodes it, which needs the padding.
    ['Yg', { key: 'value', encoding: 'base64' }, 'unfit'],
  ])('%s with %j is %s', (value, more, wanted) => {
    expect(made(value, more)).toBe(wanted)
  })
})
