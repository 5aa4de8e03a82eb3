import { createSecretKey, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SottoError } from '../../client/api/errors.ts'
import { type Binding, valueBinding } from '../../server/crypto/binding.ts'
import { open, openKey, seal } from '../../server/crypto/envelope.ts'

const key = createSecretKey(randomBytes(32))
const binding = valueBinding('store', { name: 'prod/app/key', incarnation: 1, version: 3 })
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))

/** The error of an open that must fail. */
function refusal(action: () => unknown): SottoError {
  try {
    action()
  } catch (error) {
    return error as SottoError
  }
  throw new Error('It opened')
}

test('what was sealed opens', () => {
  fc.assert(
    fc.property(bytes, (plain) => {
      const sealed = seal(key, binding, plain)
      expect(sealed.length).toBe(plain.length + 29)
      expect(open(key, binding, sealed)).toEqual(plain)
    }),
  )
})

test('a value of 2 MiB opens', () => {
  const plain = randomBytes(2 * 1024 * 1024)
  expect(open(key, binding, seal(key, binding, plain)).equals(plain)).toBe(true)
})

test('sealed bytes open from a view into a larger buffer, and are left as they were', () => {
  const sealed = seal(key, binding, Buffer.from('value'))
  const page = new Uint8Array(100 + sealed.length)
  page.set(sealed, 50)
  const before = Uint8Array.from(page)
  expect(open(key, binding, page.subarray(50, 50 + sealed.length)).toString()).toBe('value')
  expect(page).toEqual(before)
})

test('every single bit that is flipped keeps it closed', () => {
  const sealed = seal(key, binding, Buffer.from('some value'))
  for (let bit = 0; bit < 8 * sealed.length; bit++) {
    const altered = Buffer.from(sealed)
    altered[bit >> 3]! ^= 1 << (bit & 7)
    const { code, message } = refusal(() => open(key, binding, altered))
    expect(code).toBe('store_damaged')
    expect(message).toMatch(bit < 8 ? /it has format \d+/ : /failed their authentication$/)
  }
})

test('any single bit of any value that is flipped keeps it closed', () => {
  fc.assert(
    fc.property(bytes, fc.nat(), (plain, anywhere) => {
      const sealed = seal(key, binding, plain)
      const bit = anywhere % (8 * sealed.length)
      sealed[bit >> 3]! ^= 1 << (bit & 7)
      expect(refusal(() => open(key, binding, sealed)).code).toBe('store_damaged')
    }),
  )
})

test('every shorter envelope is refused, by its length where it has too few bytes', () => {
  const sealed = seal(key, binding, Buffer.from('some value'))
  for (let size = 0; size < sealed.length; size++) {
    const { code, message } = refusal(() => open(key, binding, sealed.subarray(0, size)))
    expect(code).toBe('store_damaged')
    expect(message).toContain(
      size < 29 ? `it has ${size} bytes where at least 29 are due` : 'failed their authentication',
    )
  }
})

test('an envelope of a key has one length', () => {
  const sealed = seal(key, binding, Buffer.alloc(31))
  expect(open(key, binding, sealed)).toEqual(Buffer.alloc(31))
  expect(refusal(() => openKey(key, binding, sealed)).message).toContain('61 are due')
})

test('a flipped bit in any byte of the associated data keeps it closed', () => {
  const sealed = seal(key, binding, Buffer.from('some value'))
  for (let at = 0; at < binding.bytes.length; at++) {
    const altered = Uint8Array.from(binding.bytes)
    altered[at]! ^= 1
    const other: Binding = { ...binding, bytes: altered }
    expect(refusal(() => open(key, other, sealed)).code).toBe('store_damaged')
  }
})

test('two seals of one value have different nonces and bytes', () => {
  const seals = Array.from({ length: 100 }, () => seal(key, binding, Buffer.from('value')))
  expect(new Set(seals.map((sealed) => sealed.subarray(1, 13).toString('hex'))).size).toBe(100)
  expect(new Set(seals.map((sealed) => sealed.subarray(13).toString('hex'))).size).toBe(100)
})

test('a refusal names the secret and the version, and shows no bytes', () => {
  const sealed = seal(key, binding, Buffer.from('canary value'))
  sealed[20]! ^= 1
  const error = refusal(() => open(key, binding, sealed))
  expect(error.message).toBe(
    'Cannot open the value of "prod/app/key" version 3: the bytes failed their authentication',
  )
  expect(error.hint).toContain('restore')
  const shown = inspect(error, { depth: Infinity, showHidden: true })
  expect(shown).not.toContain('canary')
  expect(shown).not.toContain('Buffer')
})
