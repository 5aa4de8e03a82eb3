/** How the wraps of the root key come and go, in every store. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Store, StoredWrap, KeyChange } from '../../server/store/contract.ts'
import { Hand } from './store-hand.ts'
import { bytes, hashOf, seed, timeOf } from './store-states.ts'

const recovery: StoredWrap = {
  provider: 'recovery',
  fingerprint: 'f-recovery',
  createdAt: timeOf(9),
  wrapped: bytes('wrapped by recovery'),
}

function wrapChange(intent: number): KeyChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: 'root@host', at: timeOf(intent) }
}

/** Registers tests for the store that `current` gives in each of them. */
export function wrapChanges(current: () => Store, reopen: () => Promise<Store>): void {
  describe('the wraps of the root key', () => {
    let store: Store

    beforeEach(() => {
      store = current()
    })

    const names = async (from = store): Promise<string[]> =>
      (await from.keys()).wraps.map(({ provider, fingerprint }) => `${provider} ${fingerprint}`)

    test('are added behind those that are there, and stay', async () => {
      expect(await store.addWrap(wrapChange(1), recovery, 1)).toBe(1)
      const wraps = [...seed.wraps, recovery]
      expect((await store.keys()).wraps).toEqual(wraps)
      await store.close()
      const again = await reopen()
      expect((await again.keys()).wraps).toEqual(wraps)
      expect(await again.head()).toEqual({ revision: 1, audit: { id: 1, hash: hashOf(1) } })
    })

    test('are of the root key that there is: one of the key before is not added', async () => {
      for (const number of [0, 2]) {
        await expect(store.addWrap(wrapChange(1), recovery, number)).rejects.toMatchObject({
          code: 'conflict',
          message: expect.stringContaining('the root key was replaced') as string,
        })
      }
      expect((await store.keys()).wraps).toEqual(seed.wraps)
    })

    test('are erased one by one, and added anew', async () => {
      expect(await store.removeWrap(wrapChange(1), 'local', 'f-local')).toBe(1)
      expect(await names()).toEqual(['age f-age'])
      expect(await store.addWrap(wrapChange(2), seed.wraps[0] as StoredWrap, 1)).toBe(2)
      expect(await names()).toEqual(['age f-age', 'local f-local'])
    })

    test('are made anew in their place, when nobody changed them meanwhile', async () => {
      const [local] = seed.wraps as [StoredWrap]
      const anew = { ...local, createdAt: timeOf(5), provenAt: timeOf(5), wrapped: bytes('anew') }
      for (const [wrap, expected] of [
        [anew, bytes('another')],
        [{ ...anew, fingerprint: 'f-other' }, local.wrapped],
        [{ ...anew, provider: 'age' }, local.wrapped],
      ] as const) {
        await expect(store.replaceWrap(wrapChange(1), wrap, expected)).rejects.toMatchObject({
          code: 'conflict',
        })
      }
      expect((await store.keys()).wraps).toEqual(seed.wraps)
      expect(await store.replaceWrap(wrapChange(1), anew, local.wrapped)).toBe(1)
      expect((await store.keys()).wraps).toEqual([anew, seed.wraps[1]])
      expect(await store.committed([1])).toEqual(new Set([1]))
      expect(await store.head()).toEqual({ revision: 1, audit: { id: 1, hash: hashOf(1) } })
    })

    test('share revisions and intents with the changes of secrets', async () => {
      const hand = new Hand(store)
      expect(await hand.append('a')).toBe(1)
      expect(await store.addWrap(wrapChange(2), recovery, 1)).toBe(2)
      const after = new Hand(store, 2)
      expect(await after.append('a')).toBe(3)
      expect(await store.committed([1, 2, 3, 4])).toEqual(new Set([1, 2, 3]))
      await expect(store.removeWrap(wrapChange(2), 'local', 'f-local')).rejects.toMatchObject({
        code: 'internal',
      })
      expect(await names()).toHaveLength(3)
    })

    test('of one key is one: a second is refused, and so is the removal of none', async () => {
      const other = { ...recovery, provider: 'local', fingerprint: 'f-local' }
      await expect(store.addWrap(wrapChange(1), other, 1)).rejects.toMatchObject({
        code: 'conflict',
      })
      for (const [provider, fingerprint] of [
        ['local', 'f-age'],
        ['age', 'f-local'],
        ['', ''],
      ] as const) {
        await expect(store.removeWrap(wrapChange(1), provider, fingerprint)).rejects.toMatchObject({
          code: 'conflict',
        })
      }
      expect((await store.keys()).wraps).toEqual(seed.wraps)
      expect(await store.head()).toEqual({ revision: 0, audit: null })
      expect(await store.committed([1])).toEqual(new Set())
    })

    test('never go all: the last one stays', async () => {
      await store.removeWrap(wrapChange(1), 'local', 'f-local')
      await expect(store.removeWrap(wrapChange(2), 'age', 'f-age')).rejects.toMatchObject({
        code: 'internal',
      })
      expect(await names()).toEqual(['age f-age'])
      expect((await store.head()).revision).toBe(1)
    })

    test('tell when they were last proven, which is no change', async () => {
      await store.noteProven('age', 'f-age', timeOf(5))
      await store.noteProven('age', 'f-age', timeOf(6))
      await store.noteProven('age', 'unknown', timeOf(7))
      const [local, age] = (await store.keys()).wraps
      expect(local).toEqual(seed.wraps[0])
      expect(age).toEqual({ ...seed.wraps[1], provenAt: timeOf(6) })
      expect((await store.head()).revision).toBe(0)
      await store.addWrap(wrapChange(1), { ...recovery, provenAt: timeOf(8) }, 1)
      expect((await store.keys()).wraps[2]).toEqual({ ...recovery, provenAt: timeOf(8) })
    })

    test('are taken over when they are given', async () => {
      const wrapped = bytes('wrapped by recovery')
      const adding = store.addWrap(wrapChange(1), { ...recovery, wrapped }, 1)
      wrapped.fill(0)
      await adding
      expect((await store.keys()).wraps[2]).toEqual(recovery)
    })
  })
}
