/** How the root key of a store is replaced, and what it gave is made again, in every store. */
import { beforeEach, describe, expect, test } from 'vitest'
import type {
  KeyChange,
  NewRoot,
  Store,
  StoredKey,
  StoredKeys,
} from '../../server/store/contract.ts'
import { Hand } from './store-hand.ts'
import { alice, bytes, hashOf, seed, timeOf } from './store-states.ts'

function rootChange(intent: number): KeyChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: alice, at: timeOf(intent) }
}

/** What replaces the seed. */
const next: NewRoot = {
  keys: [
    ...seed.keys.map(
      (key): StoredKey => ({ ...key, state: 'retiring', sealed: bytes(`${key.id} again`) }),
    ),
    { id: 3, createdAt: timeOf(3), state: 'active', sealed: bytes('key 3') },
  ],
  wraps: seed.wraps.map((wrap) => ({ ...wrap, createdAt: timeOf(3), wrapped: bytes('again') })),
  lasting: [
    { purpose: 'audit', number: 1, createdAt: timeOf(1), sealed: bytes('audit 1') },
    { purpose: 'audit', number: 2, createdAt: timeOf(3), sealed: bytes('audit 2') },
  ],
  root: { number: 2, previous: bytes('previous') },
}

/** Registers tests for the store that `current` gives in each of them. */
export function rootChanges(current: () => Store, reopen: () => Promise<Store>): void {
  describe('the root key', () => {
    let store: Store
    let before: StoredKeys

    beforeEach(async () => {
      store = current()
      before = await store.keys()
    })

    test('is replaced with everything that is sealed under it, at once', async () => {
      expect(await store.rotateRoot(rootChange(1), next, before)).toBe(1)
      expect(await store.keys()).toEqual(next)
      expect(await store.committed([1, 2])).toEqual(new Set([1]))
      await store.close()
      expect(await (await reopen()).keys()).toEqual(next)
    })

    test('is not replaced where something else is stored than was expected', async () => {
      const refused = async (code: string, given: NewRoot, expected: StoredKeys): Promise<void> => {
        const replacing = store.rotateRoot(rootChange(1), given, expected)
        await expect(replacing).rejects.toMatchObject({ code })
        expect(await store.keys()).toEqual(before)
      }
      const [first, second] = before.wraps as [StoredKeys['wraps'][0], StoredKeys['wraps'][0]]
      await refused('conflict', next, { ...before, wraps: [first] })
      await refused('conflict', next, {
        ...before,
        wraps: [first, { ...second, wrapped: bytes('other') }],
      })
      await refused('conflict', next, { ...before, keys: before.keys.slice(1) })
      await refused('conflict', next, { ...before, root: { number: 2 } })
      await refused('internal', { ...next, wraps: next.wraps.slice(1) }, before)
      await refused('internal', { ...next, keys: next.keys.slice(1) }, before)
      await refused('internal', { ...next, keys: next.keys.slice(0, 2) }, before)
      await refused('internal', { ...next, root: { ...next.root, number: 3 } }, before)
      const [one, other, added] = next.keys as [StoredKey, StoredKey, StoredKey]
      await refused('internal', { ...next, keys: [one, other, { ...added, id: 2 }] }, before)
      await refused(
        'internal',
        { ...next, keys: [{ ...one, state: 'active' }, other, added] },
        before,
      )
      expect(await store.head()).toEqual({ revision: 0, audit: null })
    })

    test('is replaced again only once what the one before gave was made again', async () => {
      await store.rotateRoot(rootChange(1), next, before)
      const again = { ...next, root: { number: 3, previous: bytes('previous') } }
      const replacing = store.rotateRoot(rootChange(2), again, await store.keys())
      await expect(replacing).rejects.toMatchObject({ code: 'conflict' })
      await expect(store.settleRoot(rootChange(3), 2)).rejects.toMatchObject({ code: 'conflict' })
      await store.eraseKey(rootChange(4), 1)
      await store.eraseKey(rootChange(5), 2)
      await expect(store.settleRoot(rootChange(6), 1)).rejects.toMatchObject({ code: 'conflict' })
      expect(await store.settleRoot(rootChange(7), 2)).toBe(4)
      expect((await store.keys()).root).toEqual({ number: 2 })
      expect(await store.committed([1, 7])).toEqual(new Set([1, 7]))
      await expect(store.settleRoot(rootChange(8), 2)).rejects.toMatchObject({ code: 'conflict' })
    })

    test('has MACs made again by compare-and-set, which is not a change', async () => {
      const hand = new Hand(store)
      await hand.append('a')
      await hand.append('b')
      const [a, b] = [(await store.find('a'))!, (await store.find('b'))!]
      const head = await store.head()
      await store.remakeMacs('secret', [
        { name: 'a', mac: bytes('again'), expected: a.mac },
        { name: 'b', mac: bytes('again'), expected: bytes('other') },
        { name: 'c', mac: bytes('again'), expected: bytes('other') },
      ])
      expect(await store.find('a')).toEqual({ ...a, mac: bytes('again') })
      expect(await store.find('b')).toEqual(b)
      expect(await store.find('c')).toBeUndefined()
      expect(await store.head()).toEqual(head)
      await store.remakeMacs('backend', [{ name: 'a', mac: bytes('x'), expected: bytes('y') }])
    })
  })
}
