import { readFileSync } from 'node:fs'
import { createSecretKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { valueBinding } from '../../server/crypto/binding.ts'
import { deriveKey } from '../../server/crypto/derive.ts'
import * as base from '../vectors/crypto/base.ts'
import { states } from '../vectors/crypto/states.ts'
import { fields, stateFields } from './reader.ts'

const page = readFileSync(new URL('../../docs/internals/format.md', import.meta.url), 'utf8')

/** The hex in the block under the heading of an example, line by line, without its remarks. */
function example(name: string): string[] {
  const block = page.split(`### Example: ${name}\n`)[1]?.split('```')[1] ?? ''
  const lines = block.trim().split('\n')
  return lines.map((line) => line.trim().split(/ {3,}/)[0]!.replaceAll(' ', ''))
}

test('the associated data on the page is what the server makes', () => {
  const { name, incarnation, version } = base.place
  const expected = example('associated data of a value').join('')
  const binding = valueBinding(base.storeId, base.place)
  expect(Buffer.from(binding.bytes).toString('hex')).toBe(expected)
  const read = fields('value', 1, base.storeId, name, incarnation, version)
  expect(Buffer.from(read).toString('hex')).toBe(expected)
})

test('the keys on the page are those of the vectors', () => {
  const entryKey = createSecretKey(base.entryBytes[1])
  const keys = [
    base.rootBytes,
    deriveKey(base.rootKey, base.storeId, 'keyring-entry').export(),
    base.entryBytes[1],
    deriveKey(entryKey, base.storeId, 'data-key').export(),
    base.dataKeyBytes,
  ]
  expect(example('the keys of a version')).toEqual(keys.map((key) => key.toString('hex')))
})

test('the input of a MAC on the page is what the vector has', () => {
  const [, plain] = states().find(([name]) => name === 'state-plain')!
  expect(Buffer.from(stateFields(plain)).toString('hex')).toBe(
    example('input of the MAC of a state').join(''),
  )
})

test('the key file on the page is that of the vectors', () => {
  const url = new URL('../vectors/crypto/valid/key-file.json', import.meta.url)
  const vectors = JSON.parse(readFileSync(url, 'utf8')) as Record<string, { text: string }>
  expect(page).toContain(`\`\`\`\n${vectors['key-file-plain']!.text}\`\`\`\n`)
})
