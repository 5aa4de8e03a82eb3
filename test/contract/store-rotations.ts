/** How rotations are kept, in every store. */
import { beforeEach, describe, expect, test } from 'vitest'
import type {
  BackendChange,
  SavedRotation,
  Store,
  StoredRotation,
} from '../../server/store/contract.ts'
import { alice, bytes, hashOf, timeOf } from './store-states.ts'

function rotation(id: number, more: Partial<StoredRotation> = {}): StoredRotation {
  const name = `rotation-${id}`
  return {
    id,
    name,
    config: '{"kind":"generated"}',
    state: '{"step":"idle"}',
    createdAt: timeOf(id),
    mac: bytes(`mac of ${name} ${JSON.stringify(more)}`),
    ...more,
  }
}

function change(intent: number): BackendChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: alice, at: timeOf(intent) }
}

const made = (each: StoredRotation): SavedRotation => ({ rotation: each, expected: null })
const changed = (from: StoredRotation, to: StoredRotation): SavedRotation => ({
  rotation: to,
  expected: from.mac,
})

/** Registers tests for the store that `current` gives in each of them. */
export function rotations(current: () => Store, reopen: () => Promise<Store>): void {
  describe('rotations', () => {
    let store: Store

    beforeEach(() => {
      store = current()
    })

    test('are stored, changed and erased, and stay', async () => {
      expect(await store.rotations()).toEqual({ rotations: [], nextId: 1 })
      expect(await store.saveRotation(change(1), made(rotation(1)))).toBe(1)
      expect(await store.saveRotation(change(2), made(rotation(2)))).toBe(2)
      const other = rotation(1, { state: '{"step":"planned"}', config: '{}', name: 'renamed' })
      expect(await store.saveRotation(change(3), changed(rotation(1), other))).toBe(3)
      expect(await store.rotations()).toEqual({ rotations: [other, rotation(2)], nextId: 3 })
      await store.close()
      const again = await reopen()
      expect(await again.rotations()).toEqual({ rotations: [other, rotation(2)], nextId: 3 })
      expect(await again.removeRotation(change(4), 2, rotation(2).mac)).toBe(4)
      expect(await again.rotations()).toEqual({ rotations: [other], nextId: 3 })
      expect(await again.head()).toEqual({ revision: 4, audit: { id: 4, hash: hashOf(4) } })
      expect(await again.committed([1, 2, 3, 4, 5])).toEqual(new Set([1, 2, 3, 4]))
      const { rotations: newest } = await again.newest()
      expect([...newest].map(([id, { revision, verb }]) => [id, revision, verb])).toEqual([
        [1, 3, 'edit'],
        [2, 4, 'delete'],
      ])
      const changes = await again.changes(0)
      expect(changes.map(({ about, verb, name }) => `${about} ${verb} ${name}`)).toEqual([
        'rotation create 1',
        'rotation create 2',
        'rotation edit 1',
        'rotation delete 2',
      ])
      expect((await again.changeRows(0, 4)).last).toBe(4)
    })

    test('none is stored in the place of one that is not as expected, or has its name', async () => {
      await store.saveRotation(change(1), made(rotation(1)))
      await store.saveRotation(change(2), made(rotation(2)))
      const refused = async (saved: SavedRotation): Promise<void> => {
        const saving = store.saveRotation(change(3), saved)
        await expect(saving).rejects.toMatchObject({ code: 'conflict' })
      }
      await refused(made(rotation(1)))
      await refused(changed(rotation(9), rotation(1)))
      await refused(changed(rotation(9), rotation(9)))
      await refused(made(rotation(3, { name: 'rotation-1' })))
      await refused(changed(rotation(2), rotation(2, { name: 'rotation-1' })))
      await store.removeRotation(change(3), 2, rotation(2).mac)
      await refused(made(rotation(2)))
      const removing = store.removeRotation(change(4), 1, bytes('other'))
      await expect(removing).rejects.toMatchObject({ code: 'conflict' })
      expect((await store.rotations()).rotations).toEqual([rotation(1)])
      expect(await store.head()).toMatchObject({ revision: 3 })
    })

    test('have MACs made again by compare-and-set, which is not a change', async () => {
      await store.saveRotation(change(1), made(rotation(1)))
      await store.remakeMacs('rotation', [
        { name: 'rotation-1', mac: bytes('again'), expected: rotation(1).mac },
        { name: 'none', mac: bytes('again'), expected: bytes('other') },
      ])
      expect((await store.rotations()).rotations).toEqual([rotation(1, { mac: bytes('again') })])
      expect(await store.head()).toMatchObject({ revision: 1 })
    })
  })
}
