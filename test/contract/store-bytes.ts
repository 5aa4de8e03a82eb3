/** Names and bytes of any kind, and who owns the bytes. */
import { beforeEach, expect, test } from 'vitest'
import type { Store } from '../../server/store/contract.ts'
import { Hand } from './store-hand.ts'
import { afterAppend, bytes, changeTo, sealedVersion } from './store-states.ts'

/** Registers tests for the store that `current` gives in each of them. */
export function bytesAndNames(current: () => Store): void {
  let store: Store
  let hand: Hand

  beforeEach(() => {
    store = current()
    hand = new Hand(store)
  })

  test('list is in the order of the bytes of the names', async () => {
    // In UTF-16, which JavaScript compares, U+FFFD and U+E000 come after the emoji.
    const names = ['a', 'B', 'é', 'a/b', 'a b', '~', '\uFFFD', '\uE000', '😀', '\u0000', 'aa']
    for (const name of names) await hand.append(name)
    const ordered = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(ordered.indexOf('😀')).toBeGreaterThan(ordered.indexOf('\uFFFD'))
    expect((await store.list()).map((secret) => secret.name)).toEqual(ordered)
  })

  test('names are kept byte for byte and told apart by nothing less', async () => {
    const names = [
      'a',
      'A',
      ' a',
      'a ',
      'a\u0000',
      'a\u0000b',
      'é',
      'e\u0301',
      'a/../b',
      '%',
      "'; DROP TABLE secret",
      '1',
      '01',
      '\u007f\u0001\n',
      '\uFFFD',
      '😀',
      'x'.repeat(4096),
      'é'.repeat(2048),
    ]
    for (const name of names) await hand.append(name, { sealed: sealedVersion(1, name) })
    for (const name of names) {
      const found = await store.read(name, 1)
      expect(found?.secret.name).toBe(name)
      expect(found?.version).toEqual(sealedVersion(1, name))
      expect(await store.history(name)).toHaveLength(1)
    }
    expect(await store.list()).toHaveLength(names.length)
  })

  test('a name that is not well-formed is found nowhere', async () => {
    await hand.append('\uFFFD')
    expect(await store.find('\ud800')).toBeUndefined()
    expect(await store.read('\ud800', 0)).toBeUndefined()
    expect(await store.history('\ud800')).toEqual([])
  })

  test('any bytes are kept, none included', async () => {
    const every = Uint8Array.from({ length: 256 }, (_, index) => index)
    const large = new Uint8Array(1_500_000).fill(0xa5)
    for (const sealed of [new Uint8Array(0), every, large]) {
      const version = ((await store.find('a'))?.highest ?? 0) + 1
      await hand.append('a', { sealed: { version, keyId: 1, wrappedKey: every, sealed } })
      expect((await store.read('a', version))?.version).toEqual({
        version,
        keyId: 1,
        wrappedKey: every,
        sealed,
      })
    }
  })

  test('what is given and what is returned is not shared', async () => {
    const next = { ...afterAppend('a', undefined), mac: bytes('the mac of a') }
    const sealed = { version: 1, keyId: 1, wrappedKey: bytes('wrapped'), sealed: bytes('sealed') }
    const appended = store.append(changeTo(1, undefined, next), sealed)
    for (const given of [next.mac, sealed.wrappedKey, sealed.sealed]) given.fill(0)
    await appended
    const expected = { wrappedKey: bytes('wrapped'), sealed: bytes('sealed') }
    const first = await store.read('a', 1)
    expect(first?.version).toMatchObject(expected)
    expect(first?.secret.mac).toEqual(bytes('the mac of a'))
    first?.version?.sealed.fill(0)
    first?.version?.wrappedKey.fill(0)
    first?.secret.mac.fill(0)
    const second = await store.read('a', 1)
    expect(second?.version).toMatchObject(expected)
    expect(second?.secret.mac).toEqual(bytes('the mac of a'))
  })

  test('bytes given stay the caller’s, also where they are part of something larger', async () => {
    const larger = Buffer.from('before|sealed bytes|after')
    const part = larger.subarray(7, 19)
    await hand.append('a', {
      sealed: { version: 1, keyId: 1, wrappedKey: part, sealed: part },
    })
    expect(larger.toString()).toBe('before|sealed bytes|after')
    expect((await store.read('a', 1))?.version?.sealed).toEqual(bytes('sealed bytes'))
  })
}
