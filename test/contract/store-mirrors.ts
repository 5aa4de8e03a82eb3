/** What every store keeps of mirrors. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { BackendChange, Store, StoredBackend } from '../../server/store/contract.ts'
import type { Mirrored } from '../../server/store/mirrors.ts'
import { Hand } from './store-hand.ts'
import { alice, bytes, hashOf, timeOf } from './store-states.ts'

function backend(id: number): StoredBackend {
  return {
    id,
    name: `backend-${id}`,
    type: 'openbao',
    description: '',
    isDefault: false,
    config: '{}',
    createdAt: timeOf(id),
    mac: bytes(`mac of ${id}`),
  }
}

function change(intent: number): BackendChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: alice, at: timeOf(intent) }
}

const shown = { revision: 3, incarnation: 1, version: 2, fingerprint: 'ab'.repeat(32) }

function due(name: string, at: number): Mirrored {
  return { name, state: 'due', reason: '', since: timeOf(at), attempts: 0 }
}

/** Registers the tests; `reopen` closes the store and opens it again. */
export function mirrors(current: () => Store, reopen: () => Promise<Store>): void {
  describe('mirrors', () => {
    let store: Store
    let hand: Hand

    beforeEach(async () => {
      store = current()
      hand = new Hand(store, 100)
      for (const id of [1, 2]) {
        await store.saveBackend(change(id), { backend: backend(id), expected: null })
      }
    })

    async function rows(of = 1, waiting = false): Promise<Mirrored[]> {
      const found = await store.mirrored(of, 0, 100, waiting)
      const names = found.map(({ name }) => name)
      const each = await Promise.all(names.map((name) => store.findMirrored(of, name)))
      return each.filter((row) => row !== undefined)
    }

    test('every committed change is in the outbox, in the order of commits', async () => {
      const { revision: start } = await store.head()
      expect(await store.changedSince(start, 10)).toEqual({ names: [], revision: start })
      const first = await hand.append('a')
      await hand.append('b')
      await hand.append('a')
      await hand.activate('a', 2)
      await hand.removeVersion('a', 1)
      const last = await hand.remove('b')
      expect(await store.changedSince(start, 10)).toEqual({ names: ['a', 'b'], revision: last })
      expect(await store.changedSince(start, 1)).toEqual({ names: ['a'], revision: first })
      expect(await store.changedSince(first, 10)).toEqual({ names: ['b', 'a'], revision: last })
      expect(await store.changedSince(last, 10)).toEqual({ names: [], revision: last })
    })

    test('a change that was refused is not in it', async () => {
      await hand.append('a')
      const { revision } = await store.head()
      await expect(hand.activate('a', 9)).rejects.toThrow(/./)
      expect((await store.changedSince(revision, 10)).names).toEqual([])
    })

    test('secrets become due, stand somewhere, become due again, and go', async () => {
      await hand.append('a')
      await hand.append('b')
      expect(await store.mirrorHead(1)).toBeUndefined()
      expect(await store.mirrorCounts(1)).toEqual({})
      await store.takeUp(1, { cursor: 4, scope: '*' }, ['a', 'never used', 'b'], timeOf(1))
      expect(await store.mirrorHead(1)).toEqual({ cursor: 4, scope: '*' })
      expect(await rows()).toEqual([due('a', 1), due('b', 1)])
      expect(await rows(2)).toEqual([])
      const ok: Mirrored = { ...due('a', 2), state: 'ok', shown }
      await store.saveMirrored(1, ok)
      const failed: Mirrored = {
        ...due('b', 3),
        state: 'failed',
        reason: 'it is sealed',
        attempts: 2,
        retries: true,
        intended: shown,
      }
      await store.saveMirrored(1, failed)
      await store.saveMirrored(1, due('never used', 1))
      expect(await rows()).toEqual([ok, failed])
      expect(await store.findMirrored(1, 'a')).toEqual(ok)
      expect(await store.findMirrored(2, 'a')).toBeUndefined()
      expect(await store.mirrorCounts(1)).toEqual({ ok: 1, failed: 1 })
      const head = { cursor: 6, scope: 'b*', place: 'kv_1', checkedAt: timeOf(4) }
      await store.takeUp(1, head, ['a', 'b'], timeOf(5))
      expect(await store.mirrorHead(1)).toEqual(head)
      expect(await rows()).toEqual([
        { ...ok, state: 'due', since: timeOf(5) },
        { ...due('b', 5), intended: shown },
      ])
      await store.takeUp(1, head, ['a'], timeOf(6))
      expect((await rows())[0]?.since).toBe(timeOf(5))
      await store.dropMirrored(1, 'a')
      await store.dropMirrored(1, 'a')
      expect(await rows()).toEqual([{ ...due('b', 5), intended: shown }])
    })

    test('those that are due or tried again are found', async () => {
      for (const name of ['a', 'b', 'c']) await hand.append(name)
      await store.takeUp(1, { cursor: 1, scope: '' }, ['a', 'b', 'c'], timeOf(1))
      await store.saveMirrored(1, { ...due('a', 1), state: 'failed', retries: true })
      await store.saveMirrored(1, { ...due('b', 1), state: 'failed' })
      const names = async (): Promise<string[]> => (await rows(1, true)).map(({ name }) => name)
      expect(await names()).toEqual(['a', 'c'])
      await store.saveMirrored(1, { ...due('c', 1), state: 'drift', reason: 'edited' })
      expect(await names()).toEqual(['a'])
    })

    test('pages go through all of them', async () => {
      const names = Array.from({ length: 25 }, (_, index) => `n/${index}`)
      for (const name of names) await hand.append(name)
      await store.takeUp(1, { cursor: 1, scope: '' }, names, timeOf(1))
      const seen: string[] = []
      for (let cursor = 0; ; ) {
        const page = await store.mirrored(1, cursor, 10)
        seen.push(...page.map(({ name }) => name))
        const last = page.at(-1)
        if (!last) break
        cursor = last.cursor
      }
      expect(seen).toEqual(names)
    })

    test('a backend that is deleted takes its mirror with it; one that is not there has none', async () => {
      await hand.append('a')
      await store.takeUp(1, { cursor: 1, scope: '' }, ['a'], timeOf(1))
      await store.takeUp(2, { cursor: 1, scope: '' }, ['a'], timeOf(1))
      await store.removeBackend(change(500), 1, backend(1).mac)
      expect(await store.mirrorHead(1)).toBeUndefined()
      expect(await rows()).toEqual([])
      expect(await rows(2)).toHaveLength(1)
      await expect(store.takeUp(1, { cursor: 1, scope: '' }, [], timeOf(1))).rejects.toMatchObject({
        code: 'conflict',
      })
    })

    test('a mirror is the same in a store that was opened again', async () => {
      await hand.append('a')
      await store.takeUp(1, { cursor: 7, scope: 'a', place: 'p' }, ['a'], timeOf(1))
      await store.saveMirrored(1, { ...due('a', 2), state: 'ok', shown })
      const before = await rows()
      await store.close()
      store = await reopen()
      expect(await rows()).toEqual(before)
      expect(await store.mirrorHead(1)).toEqual({ cursor: 7, scope: 'a', place: 'p' })
    })
  })
}
