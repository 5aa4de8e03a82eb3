import { expect, test } from 'vitest'
import { isJson } from '../../server/http/media-type.ts'

test.each([
  ['application/json', true],
  ['application/json;charset=UTF-8', true],
  ['application/json; charset=utf-8', true],
  ['APPLICATION/JSON', true],
  ['application/json ; CharSet="UTF-8" ', true],
  ['application/json; charset="\\u\\t\\f-8"', true],
  ['application/json; charset=utf8', true],
  ['application/json;', true],
  ['application/json; ; charset=utf-8;', true],
  ['application/json; profile="https://example.com/a;charset=latin1"', true],
  ['application/json; note="\\"; charset=latin1', false],
  ['application/json; charset=utf-16', false],
  ['application/json; charset=utf-8; charset=latin1', false],
  ['application/json; charset', false],
  ['application/json; charset = utf-8', false],
  ['application/json, text/plain', false],
  ['application/json text/plain', false],
  ['application/jsonp', false],
  ['application/vnd.example+json', false],
  ['text/plain; a="application/json"', false],
  ['"application/json"', false],
  ['', false],
])('U19: %j is JSON: %s', (header, expected) => {
  expect(isJson(header)).toBe(expected)
})

test('U19: no header takes long', () => {
  const begun = performance.now()
  for (const part of [';  ', '; a="', '; a=b', '\t', ';\\', '"']) {
    for (const end of ['', '\u0000', '"']) isJson(`application/json${part.repeat(4000)}${end}`)
  }
  expect(performance.now() - begun).toBeLessThan(5000)
})
