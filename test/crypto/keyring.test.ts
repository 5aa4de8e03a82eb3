import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Place } from '../../server/crypto/binding.ts'
import type { State } from '../../server/crypto/authenticators.ts'
import { Keyring, type SealedEntry } from '../../server/crypto/keyring.ts'

const storeId = '00112233445566778899aabbccddeeff'
const { keyring, rootKey, keys } = Keyring.create(storeId)
const place: Place = { name: 'prod/app/key', incarnation: 1, version: 3 }
const damaged = expect.objectContaining({ code: 'store_damaged' })

const numbers = fc.integer({ min: 0, max: 0xffff_ffff })
const places = fc.record({
  name: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  incarnation: numbers,
  version: numbers,
})
const states: fc.Arbitrary<State> = fc.record({
  name: fc.constantFrom('a', 'b', 'ab'),
  incarnation: fc.integer({ min: 1, max: 3 }),
  active: fc.integer({ min: 0, max: 3 }),
  highest: fc.integer({ min: 1, max: 4 }),
  versions: fc.subarray([1, 2, 3, 4]),
  removed: fc.subarray([1, 2, 3, 4]),
})

/** A random source that keeps hold of what it gave. */
function watched(): { random: (size: number) => Buffer; given: Buffer[] } {
  const given: Buffer[] = []
  const random = (size: number): Buffer => {
    const bytes = randomBytes(size)
    given.push(bytes)
    return bytes
  }
  return { random, given }
}

test('a value opens where it was sealed, also after the keyring was opened anew', () => {
  const again = Keyring.open(storeId, rootKey, keys)
  fc.assert(
    fc.property(places, fc.uint8Array({ maxLength: 200 }), (at, value) => {
      const sealed = keyring.seal(at, value)
      expect(again.open(at, sealed)).toEqual(Buffer.from(value))
    }),
  )
})

test('a value opens nowhere else', () => {
  fc.assert(
    fc.property(places, places, (at, other) => {
      fc.pre(JSON.stringify(at) !== JSON.stringify(other))
      const sealed = keyring.seal(at, Buffer.from('value'))
      expect(() => keyring.open(other, sealed)).toThrow(damaged)
      const dataKey = keyring.unwrap(at, sealed)
      expect(() => keyring.openSealed(other, dataKey, sealed.sealed)).toThrow(damaged)
    }),
  )
})

test.each([
  ['name', { ...place, name: 'prod/app/kez' }],
  ['incarnation', { ...place, incarnation: 2 }],
  ['version', { ...place, version: 4 }],
])('a value does not open at another %s', (_, other) => {
  const sealed = keyring.seal(place, Buffer.from('value'))
  expect(() => keyring.open(other, sealed)).toThrow(damaged)
  expect(() => keyring.openSealed(other, keyring.unwrap(place, sealed), sealed.sealed)).toThrow(
    damaged,
  )
})

test('a value does not open with the data key of another one', () => {
  const one = keyring.seal(place, Buffer.from('one'))
  const two = keyring.seal(place, Buffer.from('two'))
  expect(() => keyring.open(place, { ...one, sealed: two.sealed })).toThrow(damaged)
})

test('every bit of a wrapped key that is flipped keeps the value closed', () => {
  const sealed = keyring.seal(place, Buffer.from('value'))
  for (let bit = 0; bit < 8 * sealed.wrappedKey.length; bit++) {
    const wrappedKey = Buffer.from(sealed.wrappedKey)
    wrappedKey[bit >> 3]! ^= 1 << (bit & 7)
    expect(() => keyring.unwrap(place, { ...sealed, wrappedKey })).toThrow(damaged)
  }
})

test('an unwrapped data key opens its value again and again', () => {
  const { sealed, ...wrapped } = keyring.seal(place, Buffer.from('value'))
  const dataKey = keyring.unwrap(place, wrapped)
  expect(keyring.openSealed(place, dataKey, sealed).toString()).toBe('value')
  expect(keyring.openSealed(place, dataKey, sealed).toString()).toBe('value')
})

test('every seal has a data key of its own', () => {
  const exported = Array.from({ length: 20 }, () => {
    const wrapped = keyring.seal(place, Buffer.from('value'))
    return keyring.unwrap(place, wrapped).key.export().toString('hex')
  })
  expect(new Set(exported).size).toBe(20)
})

test('the bytes of keys are overwritten once they are used; those of the root key are the caller’s', () => {
  const { random, given } = watched()
  const created = Keyring.create(storeId, { random })
  const [root, entry] = given
  expect(root).toBe(created.rootKey)
  expect(root).not.toEqual(Buffer.alloc(32))
  expect(entry).toEqual(Buffer.alloc(32))
  given.length = 0
  created.keyring.seal(place, Buffer.from('value'))
  expect(given.map((bytes) => bytes.length)).toEqual([32, 12, 12])
  expect(given[0]).toEqual(Buffer.alloc(32))
})

test('the value and the root key that are given are left alone', () => {
  const value = Buffer.from('value')
  const root = Buffer.from(rootKey)
  Keyring.open(storeId, root, keys).seal(place, value)
  expect(value.toString()).toBe('value')
  expect(root).toEqual(rootKey)
})

test('a new keyring has one active entry, of the time that the clock tells', () => {
  const clock = (): Date => new Date('2026-01-02T03:04:05.678Z')
  const created = Keyring.create(storeId, { clock })
  const head = { id: 1, createdAt: '2026-01-02T03:04:05.678Z', state: 'active' }
  expect(created.rootKey.length).toBe(32)
  expect(created.keys).toEqual([{ ...head, sealed: expect.any(Buffer) }])
  const fingerprint = expect.stringMatching(/^[0-9a-f]{16}$/)
  expect(created.keyring.fingerprints()).toEqual([{ ...head, fingerprint }])
})

test('the fingerprint of an entry stays when the keyring is opened anew, and differs from others', () => {
  const again = Keyring.open(storeId, rootKey, keys)
  expect(again.fingerprints()).toEqual(keyring.fingerprints())
  const other = Keyring.create(storeId).keyring.fingerprints()
  expect(other[0]?.fingerprint).not.toBe(keyring.fingerprints()[0]?.fingerprint)
})

test('a root key of another length is told as such', () => {
  expect(() => Keyring.open(storeId, rootKey.subarray(1), keys)).toThrow(
    `Cannot open the keyring of store ${storeId}: its root key has 31 bytes where 32 are due`,
  )
})

test('a keyring that is shown tells no key', () => {
  const shown = inspect(keyring, { depth: Infinity, showHidden: true, getters: true })
  const { rootFingerprint } = keyring
  expect(shown.match(/\[\w+\]: .*/g)).toEqual([
    '[rootNumber]: [Getter: 1],',
    `[rootFingerprint]: [Getter: '${rootFingerprint}'],`,
    '[takesPrevious]: [Getter: false],',
    '[auditKeys]: [Getter] [ 1, [length]: 1 ]',
  ])
  expect(shown.split('\n')).toHaveLength(6)
})

test('the MAC fits the state that it was made of', () => {
  fc.assert(
    fc.property(states, (state) => {
      expect(keyring.mac(state).length).toBe(32)
      keyring.verify(state, keyring.mac(state))
    }),
  )
})

test('the MAC fits no other state', () => {
  fc.assert(
    fc.property(states, states, (state, other) => {
      fc.pre(JSON.stringify(state) !== JSON.stringify(other))
      expect(() => keyring.verify(other, keyring.mac(state))).toThrow(damaged)
    }),
    { numRuns: 1000 },
  )
})

test('the MAC is the same after the keyring was opened anew, another in another store', () => {
  const [state] = fc.sample(states, 1) as [State]
  expect(Keyring.open(storeId, rootKey, keys).mac(state)).toEqual(keyring.mac(state))
  const random = (size: number): Buffer => Buffer.from(rootKey.subarray(0, size))
  expect(Keyring.create(storeId, { random }).keyring.mac(state)).toEqual(keyring.mac(state))
  const elsewhere = Keyring.create('ffeeddccbbaa99887766554433221100', { random }).keyring
  expect(elsewhere.mac(state)).not.toEqual(keyring.mac(state))
})

test('a MAC that does not fit names the secret', () => {
  const state: State = {
    name: 'prod/"x"',
    incarnation: 1,
    active: 1,
    highest: 1,
    versions: [1],
    removed: [],
  }
  for (const mac of [Buffer.alloc(32), Buffer.alloc(0), Buffer.alloc(33)]) {
    expect(() => keyring.verify(state, mac)).toThrow(
      'Cannot trust the record of secret "prod/\\"x\\"": it was altered outside Sotto or moved from another place',
    )
  }
})

describe('a keyring that is rotated', () => {
  const clock = (): Date => new Date('2026-02-03T04:05:06.789Z')
  const sealedBefore = keyring.seal(place, Buffer.from('before'))

  test('has a new active entry, and the one before is retiring and sealed anew', () => {
    const { keyring: next, added, retired } = Keyring.rotate(storeId, rootKey, keys, { clock })
    const [old] = keys
    expect(added).toMatchObject({ id: 2, createdAt: clock().toISOString(), state: 'active' })
    expect(retired).toMatchObject({ id: 1, createdAt: old?.createdAt, state: 'retiring' })
    expect(retired.sealed).not.toEqual(old?.sealed)
    expect(next.fingerprints().map(({ id, state }) => [id, state])).toEqual([
      [1, 'retiring'],
      [2, 'active'],
    ])
    expect(next.fingerprints()[0]?.fingerprint).toBe(keyring.active().fingerprint)
    const again = Keyring.open(storeId, rootKey, [retired, added])
    expect(again.fingerprints()).toEqual(next.fingerprints())
    expect(again.open(place, sealedBefore).toString()).toBe('before')
    expect(again.seal(place, Buffer.from('x')).keyId).toBe(2)
    // What is in the clear is covered: an entry does not open in a state that it was not sealed in.
    expect(() => Keyring.open(storeId, rootKey, [{ ...retired, state: 'active' }])).toThrow(damaged)
    expect(() => Keyring.open(storeId, rootKey, [old as SealedEntry, added])).toThrow(damaged)
  })

  test('wraps a data key anew without the value, which then opens without the old entry', () => {
    const { keyring: next } = Keyring.rotate(storeId, rootKey, keys)
    const moved = { ...sealedBefore, ...next.rewrap(place, sealedBefore) }
    expect(moved).toMatchObject({ keyId: 2, sealed: sealedBefore.sealed })
    const dataKey = next.unwrap(place, sealedBefore)
    next.forget(1)
    expect([next.has(1), next.has(2)]).toEqual([false, true])
    expect(next.open(place, moved).toString()).toBe('before')
    expect(next.openSealed(place, dataKey, sealedBefore.sealed).toString()).toBe('before')
    expect(() => next.open(place, sealedBefore)).toThrow(
      'it is wrapped by keyring entry 1, which the store does not have',
    )
    expect(() => next.rewrap({ ...place, version: 4 }, moved)).toThrow(damaged)
    expect(() => next.forget(2)).toThrow('Cannot let go of keyring entry 2: it is active')
  })

  test('is gone on with by one that is in use, which seals under the new entry from then on', () => {
    const used = Keyring.open(storeId, rootKey, keys)
    const sealed = used.seal(place, Buffer.from('value'))
    expect(used.upToDate(place, sealed)).toBe(sealed)
    const state = fc.sample(states, 1)[0] as State
    const mac = used.mac(state)
    used.adopt(Keyring.rotate(storeId, rootKey, keys).keyring)
    used.verify(state, mac)
    const current = used.upToDate(place, sealed)
    expect(current).toMatchObject({ keyId: 2, sealed: sealed.sealed })
    used.forget(1)
    expect(used.open(place, current).toString()).toBe('value')
  })

  test('is not gone on with by one of another store, or under another root key', () => {
    const used = Keyring.open(storeId, rootKey, keys)
    const before = used.fingerprints()
    for (const other of [Keyring.create('f'.repeat(32)), Keyring.create(storeId)]) {
      expect(() => used.adopt(other.keyring)).toThrow('the keyring of another store')
    }
    expect(used.fingerprints()).toEqual(before)
  })

  test('never gives an id again, and overwrites the bytes of keys that it was made with', () => {
    const { random, given } = watched()
    const once = Keyring.rotate(storeId, rootKey, keys, { random })
    expect(given.filter((bytes) => bytes.length === 32)).toEqual([Buffer.alloc(32)])
    const twice = Keyring.rotate(storeId, rootKey, [once.added])
    expect(twice.added.id).toBe(3)
    expect(() => Keyring.rotate(storeId, Buffer.alloc(32), keys)).toThrow(damaged)
    expect(() => Keyring.rotate(storeId, rootKey, [once.retired])).toThrow(damaged)
  })
})
