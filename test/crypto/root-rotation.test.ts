import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Place } from '../../server/crypto/binding.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { rotateRoot } from '../../server/crypto/root-rotation.ts'

const storeId = '00112233445566778899aabbccddeeff'
const place: Place = { name: 'prod/app/key', incarnation: 1, version: 3 }
const state = { ...place, active: 3, highest: 3, versions: [3], removed: [] }
const value = Buffer.from('value')
const hashes = ['ab'.repeat(32), 'cd'.repeat(32)]
const damaged = expect.objectContaining({ code: 'store_damaged' })

const created = Keyring.create(storeId)
const { rootKey, keys } = created
/** A store as it is made now, and one that an earlier release made. */
const stores: [name: string, Parameters<typeof rotateRoot>[2]][] = [
  ['a new store', { keys, lasting: created.lasting, root: { number: 1 } }],
  ['a store of an earlier release', { keys, lasting: [], root: { number: 1 } }],
]

test.each(stores)(
  'what %s made under the root key before stays valid, and new is made with new keys',
  (_, stored) => {
    const before = Keyring.open(storeId, rootKey, keys, stored)
    const made = before.fingerprintOf(place, value)
    const shown = before.mirrorFingerprint(place, value)
    const audit = before.auditMac(hashes)
    expect([made.number, shown.number, audit.number]).toEqual([1, 1, 1])
    const rotated = rotateRoot(storeId, rootKey, stored)
    for (const keyring of [
      rotated.keyring,
      rotateRoot(storeId, rotated.rootKey, rotated).keyring,
    ]) {
      expect(keyring.fingerprintOf(place, value, 1)).toEqual(made)
      expect(keyring.mirrorFingerprint(place, value, 1)).toEqual(shown)
      expect(keyring.auditMac(hashes, 1)).toEqual(audit)
      const number = keyring.rootNumber
      expect(keyring.auditKeys).toEqual(Array.from({ length: number }, (_each, at) => number - at))
      for (const newest of [keyring.fingerprintOf(place, value), keyring.auditMac(hashes)]) {
        expect(newest.number).toBe(number)
      }
      expect(keyring.auditMac(hashes).mac).not.toBe(audit.mac)
      expect(keyring.mirrorFingerprint(place, value, 9)).toBeUndefined()
      expect(() => keyring.auditMac(hashes, 9)).toThrow(damaged)
      expect(() => keyring.fingerprintOf(place, value, 9)).toThrow(damaged)
    }
  },
)

test('a store of an earlier release has the same names and MACs as it had', () => {
  const [, [, stored]] = stores as [unknown, (typeof stores)[0]]
  const old = Keyring.open(storeId, rootKey, keys)
  const now = Keyring.open(storeId, rootKey, keys, stored)
  expect(now.fingerprintOf(place, value)).toEqual(old.fingerprintOf(place, value))
  expect(now.mac(state)).toEqual(old.mac({ ...state, settings: new Uint8Array() }))
  expect(now.mac(state)).not.toEqual(old.mac({ ...state, settings: value }))
})

test('a MAC of the root key before is taken until it is let go of, and a keyring continues as the next', () => {
  const [[, stored]] = stores as [(typeof stores)[0]]
  const used = Keyring.open(storeId, rootKey, keys, stored)
  const mac = used.mac(state)
  const sealed = used.seal(place, value)
  const rotated = rotateRoot(storeId, rootKey, stored)
  expect(rotated.keyring.rootFingerprint).toMatch(/^[0-9a-f]{32}$/)
  used.adopt(rotated.keyring)
  expect([used.rootNumber, used.takesPrevious]).toEqual([2, true])
  expect(used.isOfPrevious(state, mac)).toBe(true)
  expect(used.isOfPrevious(state, used.mac(state))).toBe(false)
  expect(used.open(place, sealed)).toEqual(value)
  expect(used.open(place, used.upToDate(place, sealed))).toEqual(value)
  used.forgetPrevious()
  expect(() => used.verify(state, mac)).toThrow(damaged)
  used.verify(state, used.mac(state))
  // Not back, and not to another one.
  expect(() => used.adopt(created.keyring)).toThrow('the keyring of another store')
  const other = rotateRoot(storeId, rootKey, stored).keyring
  expect(() => used.adopt(other)).toThrow('the keyring of another store')
})

test('A5: neither root key opens what is sealed under the other, and no old number stands for the new one', () => {
  const [[, stored]] = stores as [(typeof stores)[0]]
  const rotated = rotateRoot(storeId, rootKey, stored)
  expect(() => Keyring.open(storeId, rootKey, rotated.keys, rotated)).toThrow(damaged)
  expect(() => Keyring.open(storeId, rotated.rootKey, keys, rotated)).toThrow(damaged)
  expect(() =>
    Keyring.open(storeId, rotated.rootKey, rotated.keys, { ...rotated, root: { number: 1 } }),
  ).toThrow(damaged)
  // Lasting keys that were taken out leave keys that nobody had before.
  const robbed = Keyring.open(storeId, rotated.rootKey, rotated.keys, { root: rotated.root })
  expect(robbed.auditKeys).toEqual([2])
  expect(robbed.auditMac(hashes).mac).not.toBe(created.keyring.auditMac(hashes).mac)
})

test('every key that was drawn for a new root key is overwritten but the root key itself', () => {
  const [[, stored]] = stores as [(typeof stores)[0]]
  const given: Buffer[] = []
  const random = (size: number): Buffer => {
    given.push(randomBytes(size))
    return given.at(-1) as Buffer
  }
  const rotated = rotateRoot(storeId, rootKey, stored, { random })
  const left = given.filter((each) => each.length === 32 && each.some((byte) => byte !== 0))
  expect(left).toEqual([rotated.rootKey])
})
