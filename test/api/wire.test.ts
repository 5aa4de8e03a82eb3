import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { decodeRequest, type MethodName, type Request } from '../../client/api/wire.ts'
import { finished } from '../support/finished.ts'

function decode<M extends MethodName>(method: M, body: string): Request<M> {
  return finished(decodeRequest(method, body))
}

function failure(method: MethodName, body: string): string {
  try {
    decode(method, body)
  } catch (error) {
    if (error instanceof SottoError) return error.code
    throw error
  }
  return 'none'
}

describe('trap: Go decodes leniently, and clients lean on it', () => {
  test.each([
    ['field names in any case', '{"name":"a","VERSION":3}', { Name: 'a', Version: 3 }],
    ['simple case folding, as Go folds', '{"Name":"a","Verſion":3}', { Name: 'a', Version: 3 }],
    ['unknown fields of any shape', '{"x":[{"y":null}],"Name":"a"}', { Name: 'a', Version: 0 }],
    ['null for the zero value', '{"Name":"a","Version":null}', { Name: 'a', Version: 0 }],
    ['a missing field for the zero value', '{}', { Name: '', Version: 0 }],
    ['a bare null body', 'null', { Name: '', Version: 0 }],
    [
      'the last of a repeated field',
      '{"Name":"a","name":"b","Name":"c"}',
      { Name: 'c', Version: 0 },
    ],
    [
      'the last one, whatever its case',
      '{"Name":"a","Version":1,"NAME":"b"}',
      { Name: 'b', Version: 1 },
    ],
    ['null leaves an earlier scalar', '{"Name":"a","name":null}', { Name: 'a', Version: 0 }],
    ['text after the first value', '{"Name":"a"} }{ nonsense', { Name: 'a', Version: 0 }],
    ['space before the first value', ' \t\r\n{"Name":"a"}', { Name: 'a', Version: 0 }],
    ['escapes in names', '{"N\\u0061me":"\\u0061"}', { Name: 'a', Version: 0 }],
  ])('%s', (_, body, expected) => {
    expect(decode('get', body)).toEqual({ UpdateIfChanged: false, ...expected })
  })

  test.each([
    ['an empty body', ''],
    ['an array', '[]'],
    ['a string', '"a"'],
    ['a number', '1'],
    ['half an object', '{"Name":"a"'],
    ['a trailing comma', '{"Name":"a",}'],
    ['a missing colon', '{"Name" "a"}'],
    ['a bad escape', '{"Name":"\\x"}'],
    ['a bad escape in an unknown field', '{"x":"\\x","Name":"a"}'],
    ['a control character in a string', '{"Name":"a\nb"}'],
    ['a word', '{"Name":nul}'],
    ['a leading zero', '{"Version":01}'],
    ['a byte order mark', '\ufeff{"Name":"a"}'],
    ['nesting past the limit', `{"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
  ])('refuses %s', (_, body) => {
    expect(failure('get', body)).toBe('bad_request')
  })

  test('nesting within the limit is passed over', () => {
    const body = `{"x":${'['.repeat(9000)}${']'.repeat(9000)},"Name":"a"}`
    expect(decode('info', body)).toEqual({ Name: 'a' })
  })
})

describe('trap: a version is an unsigned 32-bit integer, spelled as one', () => {
  test.each([
    '-1',
    '-0',
    '1.5',
    '2.0',
    '2e0',
    '4294967296',
    '"3"',
    'true',
    '[]',
    '{}',
    '99999999999999999999',
  ])('refuses %s', (spelling) => {
    expect(failure('get', `{"Name":"a","Version":${spelling}}`)).toBe('bad_request')
  })

  test('takes the largest', () => {
    expect(decode('get', '{"Version":4294967295}').Version).toBe(4_294_967_295)
  })
})

describe('values', () => {
  test.each([
    ['standard base64', '"aGk="', 'hi'],
    ['line breaks, as Go ignores them', '"aG\\r\\nk=\\n"', 'hi'],
    ['unused bits set', '"aGl="', 'hi'],
    ['an array of bytes', '[104,105]', 'hi'],
    ['null', 'null', ''],
    ['nothing', '""', ''],
  ])('takes %s', (_, value, expected) => {
    const request = decode('put', `{"Name":"a","Value":${value}}`)
    expect(Buffer.from(request.Value).toString()).toBe(expected)
  })

  test('an absent value is the empty one', () => {
    expect(decode('put', '{"Name":"a"}').Value).toHaveLength(0)
  })

  test('null empties an earlier value, as it does a byte slice in Go', () => {
    expect(decode('put', '{"Name":"a","Value":"aGk=","value":null}').Value).toHaveLength(0)
  })

  test.each([
    '"aGk"',
    '"aGk=="',
    '"a-_="',
    '"aGk= "',
    '"a"',
    '1',
    'true',
    '{}',
    '[256]',
    '[-1]',
    '[1.5]',
    '["a"]',
  ])('refuses %s', (value) => {
    expect(failure('put', `{"Name":"a","Value":${value}}`)).toBe('bad_request')
  })

  test('any bytes come through', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64')
        const request = decode('put', JSON.stringify({ Name: 'a', Value: text }))
        expect(Buffer.from(request.Value).equals(Buffer.from(bytes))).toBe(true)
      }),
    )
  })
})

describe('invariant 9: names are 1 to 512 bytes of UTF-8 without control characters', () => {
  const writes: MethodName[] = ['put', 'create-version']

  test.each(writes)('%s refuses what is no name', (method) => {
    const bodyOf = (name: string) => JSON.stringify({ Name: name, Version: 1 })
    for (const name of [
      '',
      'a\u0000',
      '\u001b[2J',
      'a\u007f',
      'a\u0085',
      'x'.repeat(513),
      'é'.repeat(257),
    ]) {
      expect(failure(method, bodyOf(name))).toBe('invalid_name')
    }
    for (const name of ['a', ' ', 'é'.repeat(256), 'a//../b', '%2e', '🔑', 'A b=c']) {
      expect(failure(method, bodyOf(name))).toBe('none')
    }
  })

  test('names that setec may hold can be read and deleted', () => {
    for (const method of ['get', 'info', 'delete'] as const) {
      expect(failure(method, JSON.stringify({ Name: 'a\u0000b' }))).toBe('none')
      expect(failure(method, JSON.stringify({ Name: 'x'.repeat(4096) }))).toBe('none')
      expect(failure(method, JSON.stringify({ Name: 'x'.repeat(4097) }))).toBe('bad_request')
    }
  })

  test.each(['activate', 'delete-version', 'delete'] as const)(
    '%s refuses the empty name',
    (method) => {
      expect(failure(method, '{"Version":1}')).toBe('invalid_name')
    },
  )

  test('names keep every character: no folding, trimming or normalising', () => {
    for (const name of [' a ', 'A', 'e\u0301', '\u00e9', 'a/./b']) {
      expect(decode('put', JSON.stringify({ Name: name })).Name).toBe(name)
    }
  })

  test('an unpaired surrogate is refused', () => {
    for (const method of ['get', 'put', 'info', 'delete'] as const) {
      expect(failure(method, '{"Name":"\\ud800"}')).toBe('bad_request')
    }
  })
})

describe('trap: version 0 where a version must be named', () => {
  test.each(['create-version', 'activate', 'delete-version'] as const)('%s', (method) => {
    expect(failure(method, '{"Name":"a","Version":0}')).toBe('invalid_version')
    expect(failure(method, '{"Name":"a"}')).toBe('invalid_version')
  })
})

test('B5: no error of the decoder echoes what was sent', () => {
  const canary = 'CANARY-8f1c'
  for (const body of [
    `{"Name":"a","Value":"${canary}"}`,
    `{"Name":"a","Value":"${canary}`,
    `{"Name":"a","Value":${canary}}`,
    canary,
    `{"Value":["${canary}"],"Name":"a"}`,
    `{"Name":"\\ud800${canary}"}`,
  ]) {
    let thrown: unknown
    try {
      decode('put', body)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(SottoError)
    expect(inspect(thrown, { depth: null, showHidden: true })).not.toContain(canary)
  }
})

test('decoding agrees with JSON.parse on plain objects', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), (extra, name) => {
      fc.pre(name.isWellFormed())
      const rest = Object.entries(extra).filter(([key]) => !/^name$/iu.test(key))
      const body = JSON.stringify({ ...Object.fromEntries(rest), Name: name })
      expect(decode('info', body)).toEqual({ Name: name })
    }),
  )
})

test('trap: what Go refuses in an earlier occurrence of a field stays refused', () => {
  expect(failure('get', '{"Name":"a","Version":4294967298,"Version":9}')).toBe('bad_request')
  expect(failure('get', '{"Name":7,"Name":"a"}')).toBe('bad_request')
  for (const item of ['1.0', '1e0', '-0']) {
    expect(failure('put', `{"Name":"a","Value":[${item}]}`)).toBe('bad_request')
  }
})
