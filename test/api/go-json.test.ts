import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readObject } from '../../client/api/go-json.ts'

/** Reads the text with a space before it, which is never spelled as JSON.stringify would spell it. */
function readScanned(text: string): ReturnType<typeof readObject> {
  return readObject(` ${text}`)
}

test.each([
  '{}',
  '{"Name":"a","Version":1,"UpdateIfChanged":true}',
  '{"Name":"a","name":"b","Name":"c"}',
  '{"Name":"a","Name":null}',
  '{"Version":2.0}',
  '{"Version":1e21,"version":-0}',
  '{"b":1,"1":2}',
  '{"__proto__":{"toJSON":1}}',
  '{"Value":[1,2,null],"Name":null}',
  '{"Name":"\\u003c\\ud800"}',
])('%s is read the same whether it is scanned or not', (text) => {
  expect(readObject(text)).toEqual(readScanned(text))
})

test('any object is read the same whether it is scanned or not', () => {
  const objects = fc.dictionary(fc.string(), fc.jsonValue())
  fc.assert(
    fc.property(objects, (object) => {
      const text = JSON.stringify(object)
      expect(readObject(text)).toEqual(readScanned(text))
    }),
  )
})

test('the last of a repeated field comes last', () => {
  const fields = readObject('{"Name":"a","name":"b","Name":"c"}')
  expect(fields.map(([key, { value }]) => [key, value])).toEqual([
    ['Name', 'a'],
    ['name', 'b'],
    ['Name', 'c'],
  ])
})
