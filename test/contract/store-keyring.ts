/** How entries of the keyring come and go, and data keys move from one to another, in every store. */
import { beforeEach, describe, expect, test } from 'vitest'
import type {
  KeyChange,
  MovedKey,
  Store,
  StoredKey,
  WrappedVersion,
} from '../../server/store/contract.ts'
import { everything, Hand } from './store-hand.ts'
import {
  afterAppend,
  alice,
  bytes,
  changeTo,
  hashOf,
  sealedVersion,
  seed,
  timeOf,
} from './store-states.ts'

const added: StoredKey = { id: 3, createdAt: timeOf(3), state: 'active', sealed: bytes('key 3') }
const retired: StoredKey = {
  ...(seed.keys[1] as StoredKey),
  state: 'retiring',
  sealed: bytes('key 2, retiring'),
}

function keyringChange(intent: number): KeyChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: alice, at: timeOf(intent) }
}

function movedOf({ name, version, wrappedKey }: WrappedVersion): MovedKey {
  return { name, version, expected: wrappedKey, wrappedKey: bytes(`moved ${name} ${version}`) }
}

/** Registers tests for the store that `current` gives in each of them. */
export function keyringChanges(current: () => Store, reopen: () => Promise<Store>): void {
  describe('the keyring', () => {
    let store: Store
    let hand: Hand

    beforeEach(() => {
      store = current()
      hand = new Hand(store)
    })

    const keyOf = async (name: string, version: number): Promise<object | undefined> => {
      const found = (await store.read(name, version))?.version
      return found && { keyId: found.keyId, wrappedKey: found.wrappedKey, sealed: found.sealed }
    }

    test('takes a new active entry and retires the one before, together', async () => {
      expect(await store.addKey(keyringChange(1), added, retired)).toBe(1)
      const keys = [seed.keys[0], retired, added]
      expect((await store.keys()).keys).toEqual(keys)
      expect(await store.head()).toEqual({ revision: 1, audit: { id: 1, hash: hashOf(1) } })
      await store.close()
      expect((await (await reopen()).keys()).keys).toEqual(keys)
    })

    test('takes none that does not follow from what is stored', async () => {
      const refused = async (code: string, one: StoredKey, other: StoredKey): Promise<void> => {
        await expect(store.addKey(keyringChange(1), one, other)).rejects.toMatchObject({ code })
      }
      await refused('conflict', added, { ...retired, id: 1 })
      await refused('conflict', added, { ...retired, id: 7 })
      await refused('conflict', added, { ...retired, createdAt: timeOf(9) })
      await refused('internal', { ...added, state: 'retiring' }, retired)
      await refused('internal', added, { ...retired, state: 'active' })
      await refused('internal', { ...added, id: 2 }, retired)
      await refused('internal', { ...added, id: 1 }, retired)
      expect((await store.keys()).keys).toEqual(seed.keys)
      expect(await store.head()).toEqual({ revision: 0, audit: null })
      expect(await store.committed([1])).toEqual(new Set())
    })

    test('tells which versions an entry wraps, in pages, and how many', async () => {
      expect(await store.keyUse()).toEqual(new Map())
      for (const name of ['b', 'a']) for (let count = 0; count < 4; count++) await hand.append(name)
      await hand.removeVersion('b', 3)
      // Version n of a secret is wrapped by entry 1 when n is even, by entry 2 otherwise.
      expect(await store.keyUse()).toEqual(
        new Map([
          [1, 4],
          [2, 3],
        ]),
      )
      const first = await store.wrappedBy(1, 0, 3)
      expect(first).toEqual(
        [
          ['b', 2],
          ['b', 4],
          ['a', 2],
        ].map(([name, version]) => ({
          name,
          incarnation: 1,
          version,
          keyId: 1,
          wrappedKey: sealedVersion(Number(version)).wrappedKey,
          cursor: expect.any(Number),
        })),
      )
      const rest = await store.wrappedBy(1, first.at(-1)?.cursor ?? 0, 3)
      expect(rest.map(({ name, version }) => [name, version])).toEqual([['a', 4]])
      expect(await store.wrappedBy(1, rest[0]?.cursor ?? 0, 3)).toEqual([])
      expect(await store.wrappedBy(9, 0, 3)).toEqual([])
      await hand.remove('a')
      await hand.append('a')
      const again = await store.wrappedBy(2, 0, 10)
      expect(again.map(({ name, incarnation, version }) => [name, incarnation, version])).toEqual([
        ['b', 1, 1],
        ['a', 2, 5],
      ])
    })

    test('data keys move to the active entry, and nothing else of a version changes', async () => {
      for (const name of ['a', 'b']) for (let count = 0; count < 3; count++) await hand.append(name)
      const before = await everything(store, ['a', 'b'])
      const moved = (await store.wrappedBy(1, 0, 10)).map(movedOf)
      expect(await store.moveKeys(keyringChange(7), 2, moved)).toEqual({ revision: 7, count: 2 })
      expect(await keyOf('a', 2)).toEqual({
        keyId: 2,
        wrappedKey: bytes('moved a 2'),
        sealed: sealedVersion(2).sealed,
      })
      expect(await keyOf('a', 1)).toMatchObject({ wrappedKey: sealedVersion(1).wrappedKey })
      expect(await store.keyUse()).toEqual(new Map([[2, 6]]))
      const after = await everything(store, ['a', 'b'])
      const withoutKeys = ({ list, secrets }: typeof before): unknown => [
        list,
        secrets.map(({ row, values, history }) => [
          row,
          values.map((value) => value && [value.version, value.sealed]),
          history,
        ]),
      ]
      expect(withoutKeys(after)).toEqual(withoutKeys(before))
    })

    test('what was removed, or moved, meanwhile is passed over', async () => {
      for (const name of ['a', 'b', 'c']) await hand.append(name, { version: 2 })
      for (const name of ['a', 'b', 'c']) await hand.append(name, { version: 4 })
      const moved = (await store.wrappedBy(1, 0, 10)).map(movedOf)
      await hand.removeVersion('a', 4)
      await hand.remove('b')
      await hand.append('b')
      const [firstOfC] = moved.filter(({ name }) => name === 'c') as [MovedKey]
      const other = { ...firstOfC, wrappedKey: bytes('another') }
      expect(await store.moveKeys(keyringChange(20), 2, [other])).toMatchObject({ count: 1 })
      expect(await store.moveKeys(keyringChange(21), 2, moved)).toMatchObject({ count: 2 })
      expect(await keyOf('c', 2)).toMatchObject({ keyId: 2, wrappedKey: bytes('another') })
      expect(await keyOf('c', 4)).toMatchObject({ keyId: 2, wrappedKey: bytes('moved c 4') })
      expect(await keyOf('a', 4)).toBeUndefined()
      expect(await keyOf('b', 5)).toMatchObject({ wrappedKey: sealedVersion(5).wrappedKey })
      expect(await store.moveKeys(keyringChange(22), 2, moved)).toMatchObject({ count: 0 })
    })

    test('data keys move to no entry but the active one', async () => {
      await hand.append('a')
      const moved = (await store.wrappedBy(2, 0, 10)).map(movedOf)
      for (const keyId of [1, 3]) {
        await expect(store.moveKeys(keyringChange(2), keyId, moved)).rejects.toMatchObject({
          code: 'conflict',
        })
      }
      expect(await keyOf('a', 1)).toMatchObject({ keyId: 2 })
    })

    test('an entry is erased when it wraps nothing any more, and the active one never', async () => {
      await hand.append('a', { version: 2 })
      await expect(store.eraseKey(keyringChange(2), 1)).rejects.toMatchObject({ code: 'conflict' })
      await expect(store.eraseKey(keyringChange(2), 2)).rejects.toMatchObject({ code: 'conflict' })
      await expect(store.eraseKey(keyringChange(2), 5)).rejects.toMatchObject({ code: 'conflict' })
      await store.moveKeys(keyringChange(2), 2, (await store.wrappedBy(1, 0, 9)).map(movedOf))
      expect(await store.eraseKey(keyringChange(3), 1)).toBe(3)
      expect((await store.keys()).keys).toEqual([seed.keys[1]])
      await expect(store.eraseKey(keyringChange(4), 1)).rejects.toMatchObject({ code: 'conflict' })
    })

    test('erasing comes behind the changes that were called before', async () => {
      const change = changeTo(1, undefined, afterAppend('a', undefined, 2))
      const appended = store.append(change, sealedVersion(2))
      await expect(store.eraseKey(keyringChange(2), 1)).rejects.toMatchObject({ code: 'conflict' })
      await appended
    })

    test('the id of an erased entry is not given again while a later one is there', async () => {
      await store.eraseKey(keyringChange(1), 1)
      const again = { ...added, id: 1 }
      await expect(store.addKey(keyringChange(2), again, retired)).rejects.toMatchObject({
        code: 'internal',
      })
    })

    test('its changes share revisions and intents with those of secrets', async () => {
      expect(await hand.append('a')).toBe(1)
      expect(await store.addKey(keyringChange(2), added, retired)).toBe(2)
      expect(await store.moveKeys(keyringChange(3), 3, [])).toEqual({ revision: 3, count: 0 })
      expect(await store.eraseKey(keyringChange(4), 1)).toBe(4)
      hand.intent = 4
      expect(await hand.append('a', { version: 3 })).toBe(5)
      expect(await store.committed([1, 2, 3, 4, 5, 6])).toEqual(new Set([1, 2, 3, 4, 5]))
      expect(await store.head()).toEqual({ revision: 5, audit: { id: 5, hash: hashOf(5) } })
      await expect(store.moveKeys(keyringChange(3), 3, [])).rejects.toMatchObject({
        code: 'internal',
      })
    })

    test('what is given is taken over when a verb is called', async () => {
      await hand.append('a', { version: 2 })
      const entry = { ...added, sealed: bytes('key 3') }
      const older = { ...retired, sealed: bytes('key 2, retiring') }
      const adding = store.addKey(keyringChange(2), entry, older)
      for (const given of [entry, older]) given.sealed.fill(0)
      await adding
      expect((await store.keys()).keys.slice(1)).toEqual([retired, added])
      const moved = (await store.wrappedBy(1, 0, 9)).map(movedOf)
      const moving = store.moveKeys(keyringChange(3), 3, moved)
      for (const { expected, wrappedKey } of moved)
        for (const given of [expected, wrappedKey]) given.fill(0)
      expect(await moving).toMatchObject({ count: 1 })
      expect(await keyOf('a', 2)).toMatchObject({ wrappedKey: bytes('moved a 2') })
    })
  })
}
