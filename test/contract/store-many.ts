/** Changes and reads that are under way at the same time. */
import { beforeEach, expect, test } from 'vitest'
import type { SottoError } from '../../client/api/errors.ts'
import type { SecretRow, Store } from '../../server/store/contract.ts'
import { Hand } from './store-hand.ts'
import { afterAppend, afterRemove, changeTo, sealedVersion, withMac } from './store-states.ts'

/** Registers tests for the store that `current` gives in each of them. */
export function manyAtOnce(current: () => Store): void {
  let store: Store
  let hand: Hand

  beforeEach(() => {
    store = current()
    hand = new Hand(store)
  })

  test('a refused change leaves others that were called with it alone', async () => {
    const fine = Array.from({ length: 10 }, (_, index) =>
      store.append(
        changeTo(index + 1, undefined, afterAppend(`fine/${index}`, undefined)),
        sealedVersion(1),
      ),
    )
    const stale = withMac({ ...afterAppend('x', undefined), name: 'fine/3' })
    const refused = store.append(changeTo(50, undefined, stale), sealedVersion(1))
    await expect(refused).rejects.toMatchObject({ code: 'conflict' })
    expect(await Promise.all(fine)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  test('of 50 changes to one state exactly one wins', async () => {
    await hand.append('a')
    const row = await store.find('a')
    const next = afterAppend('a', row)
    const tried = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        store.append(changeTo(100 + index, row, next), sealedVersion(2, `of ${index}`)),
      ),
    )
    const won = tried.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []))
    expect(won).toHaveLength(1)
    const lost = tried.filter((result) => result.status === 'rejected')
    expect(lost.map(({ reason }) => (reason as SottoError).code)).toEqual(
      Array.from({ length: 49 }, () => 'conflict'),
    )
    const found = await store.read('a', 2)
    expect(found).toEqual({ secret: next, version: sealedVersion(2, `of ${won[0]}`) })
    expect((await store.head()).revision).toBe(2)
  })

  test('changes to many secrets at once get a revision each, without gaps', async () => {
    const revisions = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        store.append(
          changeTo(index + 1, undefined, afterAppend(`many/${index}`, undefined)),
          sealedVersion(1),
        ),
      ),
    )
    expect(revisions.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 300 }, (_, index) => index + 1),
    )
    expect(await store.list()).toHaveLength(300)
  })

  test('a read sees every change that was answered', async () => {
    for (let version = 1; version <= 30; version++) {
      await hand.append('a', { activate: true })
      expect((await store.read('a', 0))?.version?.version).toBe(version)
      expect((await store.head()).revision).toBe(version)
      expect(await store.history('a')).toHaveLength(version)
      expect((await store.list())[0]?.active).toBe(version)
    }
  })

  test('list tells one moment, whatever is changed meanwhile', async () => {
    const names = Array.from({ length: 1200 }, (_, index) => `s/${10_000 + index}`)
    for (let from = 0; from < names.length; from += 600) {
      await Promise.all(
        names
          .slice(from, from + 600)
          .map((name, index) =>
            store.append(
              changeTo(from + index + 1, undefined, afterAppend(name, undefined)),
              sealedVersion(1),
            ),
          ),
      )
    }
    const last = (await store.find(names.at(-1) as string)) as SecretRow
    const listed = store.list()
    await store.remove(changeTo(5000, last, afterRemove(last)))
    const rows = await listed
    const lengths = [names.length, names.length - 1]
    expect(lengths).toContain(rows.length)
    expect(rows).toEqual(names.slice(0, rows.length).map((name) => afterAppend(name, undefined)))
    expect(await store.list()).toHaveLength(names.length - 1)
  })
}
