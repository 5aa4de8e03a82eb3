import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonical, contentOf } from '../../server/backends/content.ts'

describe('the content of a value', () => {
  test.each([
    ['plain text', '{"value":"plain text"}'],
    ['', '{"value":""}'],
    ['line\n', '{"value":"line\\n"}'],
    ['{"user":"app","port":5432,"tls":true}', '{"port":5432,"tls":true,"user":"app"}'],
    [' {"a":"b"}\n', '{"a":"b"}'],
    ['{}', '{"value":"{}"}'],
    ['[1]', '{"value":"[1]"}'],
    ['"a"', '{"value":"\\"a\\""}'],
    ['{"a":null}', '{"value":"{\\"a\\":null}"}'],
    ['{"a":{"b":1}}', '{"value":"{\\"a\\":{\\"b\\":1}}"}'],
    ['{"":"x"}', '{"value":"{\\"\\":\\"x\\"}"}'],
    ['{"a":1}', '{"a":1}'],
    ['{"a":1.50}', '{"value":"{\\"a\\":1.50}"}'],
    ['{"a":12345678901234567890}', '{"value":"{\\"a\\":12345678901234567890}"}'],
    ['{"a":1e400}', '{"value":"{\\"a\\":1e400}"}'],
    ['{"a":"\\ud800"}', '{"value":"{\\"a\\":\\"\\\\ud800\\"}"}'],
    ['{"__proto__":"x"}', '{"__proto__":"x"}'],
    ['{"b":"1","a":"2","1":"3"}', '{"1":"3","a":"2","b":"1"}'],
    ['\uFEFF{"a":"b"}', '{"value":"\uFEFF{\\"a\\":\\"b\\"}"}'],
    ['{"a":"b"', '{"value":"{\\"a\\":\\"b\\""}'],
  ])('%j is %s', (text, content) => {
    expect(String(contentOf(Buffer.from(text)).bytes)).toBe(content)
  })

  test('bytes that are no UTF-8 are Base64', () => {
    expect(String(contentOf(Buffer.from([0xff, 0, 1])).bytes)).toBe('{"value_b64":"/wAB"}')
  })

  test('is canonical JSON of at least one field, for any bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (value) => {
          const { fields, bytes } = contentOf(value)
          const parsed: unknown = JSON.parse(String(bytes))
          expect(parsed).toEqual(fields)
          expect(Object.keys(parsed as object).length).toBeGreaterThan(0)
          expect(canonical(parsed)).toEqual(bytes)
        },
      ),
    )
  })
})
