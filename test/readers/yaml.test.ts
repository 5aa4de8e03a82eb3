/** Readers of YAML, of JSON and of manifests of Kubernetes. */
import { describe, expect, test } from 'vitest'
import type { Item } from '../../cli/readers/item.ts'
import { readK8s } from '../../cli/readers/k8s.ts'
import { readJson, readYaml } from '../../cli/readers/yaml.ts'

const shown = (items: readonly Item[]) =>
  Object.fromEntries(
    items.map(({ name, value, refusal }) => [
      name,
      value === undefined ? { refusal } : Buffer.from(value).toString(),
    ]),
  )
const yaml = (text: string) => shown(readYaml(text, 'Cannot import "f"'))
const json = (text: string) => shown(readJson(text, 'Cannot import "f"'))
const k8s = (text: string) => shown(readK8s(text, 'Cannot import "f"'))

describe('yaml', () => {
  test('texts as they are written, and names within names', () => {
    const text = `
db:
  password: "p\\u00e4ss"
  port: 0x1f # not 31
  on: no
  big: 12345678901234567890
key: |
  -----BEGIN KEY-----
  AAAA
  -----END KEY-----
folded: >-
  one
  two
'odd name': ''
1: one
`
    expect(yaml(text)).toEqual({
      'db/password': 'päss',
      'db/port': '0x1f',
      'db/on': 'no',
      'db/big': '12345678901234567890',
      key: '-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n',
      folded: 'one two',
      'odd name': '',
      1: 'one',
    })
  })

  test('aliases and merge keys, whose own keys count', () => {
    const text = `
base: &base {user: app, host: db}
one: {<<: *base, host: other}
two: {<<: [*base, {extra: x, user: second}], again: *name}
name: &unused y
`
    expect(() => yaml(text)).toThrow('line 4: an alias has no anchor before it')
    expect(yaml(text.replace('*name', '1'))).toMatchObject({
      'one/user': 'app',
      'one/host': 'other',
      'two/user': 'app',
      'two/extra': 'x',
    })
  })

  test('what is no text is refused by its name and line', () => {
    const items = readYaml('a: [1]\nb: ~\nc:\nd: x\ne: "\\ud800"\n', 'Cannot import "f"')
    expect(items.map(({ name, line, refusal }) => [name, line, refusal])).toEqual([
      ['a', 1, 'it is a list'],
      ['b', 2, 'it has no value'],
      ['c', expect.any(Number), 'it has no value'],
      ['d', 4, undefined],
      ['e', 5, 'it is not text in UTF-8'],
    ])
  })

  test('two ways to one name are refused', () => {
    expect(yaml('a/b: 1\na: {b: 2}\n')).toEqual({
      'a/b': { refusal: 'its name is there twice, also in line 1' },
    })
  })

  test.each([
    ['', 'it is empty'],
    ['just text', 'it is not a mapping of names to values'],
    ['- a', 'it is not a mapping of names to values'],
    ['a: 1\n---\nb: 2\n', 'line 2: it has a second document'],
    ['a: 1\na: 2\n', 'line 2: its key is there twice'],
    ['a: canary: b', 'line 1: it has a colon too many, or its indentation is wrong'],
    ['? [a]\n: b', 'line 1: a key is not a text'],
    ['<<: 1\n', 'line 1: a merge key needs a map'],
  ])('%j is not taken', (text, why) => {
    expect(() => yaml(text)).toThrow(new RegExp(`^Cannot import "f": ${RegExp.escape(why)}`))
  })

  test('aliases that make very much, or a circle, are not followed', () => {
    const many = ['a0: &a0 {x: 1}']
    for (let at = 1; at < 30; at++) many.push(`a${at}: &a${at} {l: *a${at - 1}, r: *a${at - 1}}`)
    expect(() => yaml(many.join('\n'))).toThrow('repeat too much')
    expect(() => yaml('a: &a {b: *a}')).toThrow('repeat too much')
  })
})

describe('json', () => {
  test('texts as they are written, however it is indented', () => {
    const text =
      '{\n\t"a": {"b": "x\\u0000\\ud83d\\ude00"},\n\t"n": 1.50, "t": true, "no": "yes"\n}\n'
    expect(json(text)).toEqual({ 'a/b': 'x\0😀', n: '1.50', t: 'true', no: 'yes' })
  })

  test('what JSON.parse would let by is refused', () => {
    expect(() => json('{"a":"1","a":"2"}')).toThrow('its key is there twice')
    expect(() => json('a: b')).toThrow(/^Cannot import "f": (?:line 1: )?it is not JSON$/)
    expect(() => json('{"a":"canary",\n}')).toThrow(/^Cannot import "f": line 2: it is not JSON$/)
    expect(() => json('[1]')).toThrow('it is not a mapping')
  })
})

describe('k8s', () => {
  test('each key of each Secret, of several documents and lists', () => {
    const text = `
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: prod}
data:
  key: |
    c2Vj
    cmV0
  both: b2xk
stringData: {both: new, plain: text}
---
kind: ConfigMap
metadata: {name: config}
data: {not: secret}
---
kind: List
items:
  - {kind: Secret, metadata: {name: other}, data: {k: "***", e: ""}}
`
    expect(k8s(text)).toEqual({
      'app/key': 'secret',
      'app/both': 'new',
      'app/plain': 'text',
      'other/k': { refusal: 'it is not base64' },
      'other/e': '',
    })
  })

  test('two of a name are refused', () => {
    const one = '{kind: Secret, metadata: {name: a}, data: {k: YQ==}}'
    expect(k8s(`${one}\n---\n${one}\n`)).toEqual({ 'a/k': { refusal: 'its name is there twice' } })
  })

  test('what is not of Kubernetes is not taken', () => {
    expect(() => k8s('a: b')).toThrow('there is no Secret in it')
    expect(() => k8s('kind: Secret\nmetadata: {name: a}\ndata: {k: 1}')).toThrow(
      'a Secret is not one of Kubernetes: look at data.k',
    )
  })
})

test('C11: lists of Kubernetes within lists, and a key that a schema would drop, are told', () => {
  expect(() => k8s('&a {kind: List, items: [*a]}')).toThrow(/repeat too much$/)
  const secret = '{kind: Secret, metadata: {name: s}, stringData: {k: v}}'
  expect(k8s(`{kind: List, items: [{kind: List, items: [${secret}]}]}`)).toEqual({ 's/k': 'v' })
  for (const part of ['data', 'stringData']) {
    const text = `{kind: Secret, metadata: {name: s}, ${part}: {__proto__: eA==, k: eA==}}`
    expect(() => k8s(text)).toThrow(/a Secret has the key __proto__/)
  }
})
