/** Changes that a store must refuse, and that change nothing then. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Change, SecretRow, Store } from '../../server/store/contract.ts'
import { everything, Hand } from './store-hand.ts'
import {
  afterActivate,
  afterAppend,
  afterRemove,
  afterRemoveVersion,
  bytes,
  changeTo,
  sealedVersion,
  withMac,
} from './store-states.ts'

/** Registers tests for the store that `current` gives in each of them. */
export function refusals(current: () => Store): void {
  describe('a change that is refused changes nothing:', () => {
    let store: Store

    /** Has versions 1, 2 and 4, of which 1 is active; 3 is erased. */
    let row: SecretRow
    let gone: SecretRow

    beforeEach(async () => {
      store = current()
      const hand = new Hand(store)
      for (let count = 0; count < 4; count++) await hand.append('a')
      await hand.removeVersion('a', 3)
      await hand.append('gone')
      await hand.remove('gone')
      row = (await store.find('a')) as SecretRow
      gone = (await store.find('gone')) as SecretRow
    })

    async function refuses(code: string, change: () => Promise<number>): Promise<void> {
      const names = ['a', 'gone', 'new']
      const before = await everything(store, names)
      await expect(change()).rejects.toMatchObject({ name: 'SottoError', code })
      expect(await everything(store, names)).toEqual(before)
      expect(await store.committed([99])).toEqual(new Set())
    }

    const stale = (change: Change): Change => ({ ...change, expected: bytes('another mac') })
    const unused = (change: Change): Change => ({ ...change, expected: null })

    test.each<[string, (change: Change) => Change]>([
      ['another MAC', stale],
      ['no MAC', unused],
    ])('conflict of every verb that expects %s', async (_, twist) => {
      await refuses('conflict', () =>
        store.append(twist(changeTo(99, row, afterAppend('a', row))), sealedVersion(5)),
      )
      await refuses('conflict', () =>
        store.activate(twist(changeTo(99, row, afterActivate(row, 2)))),
      )
      await refuses('conflict', () =>
        store.removeVersion(twist(changeTo(99, row, afterRemoveVersion(row, 2))), 2),
      )
      await refuses('conflict', () => store.remove(twist(changeTo(99, row, afterRemove(row)))))
    })

    test('conflict where the name was never used, or is deleted', async () => {
      await refuses('conflict', () =>
        store.append(changeTo(99, row, afterAppend('new', undefined)), sealedVersion(1)),
      )
      await refuses('conflict', () =>
        store.append(changeTo(99, undefined, afterAppend('gone', undefined)), sealedVersion(1)),
      )
    })

    test.each<[string, () => Partial<SecretRow>, number]>([
      ['a number that has a value', () => ({}), 2],
      ['a number that had one', () => ({ versions: [1, 2, 3, 4] }), 3],
      ['a tombstone taken back', () => ({ versions: [1, 2, 3, 4], removed: [] }), 3],
      ['a highest that goes down', () => ({ highest: 4, versions: [1, 2, 4, 5] }), 5],
      ['another incarnation', () => ({ incarnation: 2, versions: [1, 2, 4, 5], highest: 5 }), 5],
      ['a version left out', () => ({ versions: [2, 4, 5], highest: 5 }), 5],
      ['a pointer elsewhere', () => ({ active: 2, versions: [1, 2, 4, 5], highest: 5 }), 5],
      ['no pointer', () => ({ active: 0, versions: [1, 2, 4, 5], highest: 5 }), 5],
      ['versions in disorder', () => ({ versions: [2, 1, 4, 5], highest: 5 }), 5],
    ])('append of %s', async (_, twist, version) => {
      await refuses('internal', () => {
        const next = withMac({ ...row, ...twist() })
        return store.append(changeTo(99, row, next), sealedVersion(version))
      })
    })

    test.each<[string, Partial<SecretRow>]>([
      ['the incarnation before', { incarnation: 1 }],
      ['a number given before', { active: 1, versions: [1], highest: 1 }],
    ])('append to a deleted secret with %s', async (_, twist) => {
      await refuses('internal', () => {
        const next = withMac({ ...afterAppend('gone', gone), ...twist })
        return store.append(changeTo(99, gone, next), sealedVersion(next.active))
      })
    })

    test('activate of a version without a value', async () => {
      for (const version of [0, 3, 9]) {
        await refuses('internal', () =>
          store.activate(changeTo(99, row, afterActivate(row, version))),
        )
      }
    })

    test('removeVersion of the active version, and of one without a value', async () => {
      for (const version of [1, 3, 9]) {
        await refuses('internal', () =>
          store.removeVersion(changeTo(99, row, afterRemoveVersion(row, version)), version),
        )
      }
    })

    test('removeVersion and remove that keep the number', async () => {
      await refuses('internal', () =>
        store.removeVersion(changeTo(99, row, withMac({ ...row, versions: [1, 4] })), 2),
      )
      await refuses('internal', () => {
        const next = withMac({ ...row, active: 0, versions: [] })
        return store.remove(changeTo(99, row, next))
      })
    })

    test('remove of what is deleted', async () => {
      await refuses('internal', () => store.remove(changeTo(99, gone, afterRemove(gone))))
    })

    test('an intent that another change has', async () => {
      await refuses('internal', () =>
        store.append(changeTo(1, row, afterAppend('a', row)), sealedVersion(5)),
      )
    })

    test('a name that is not well-formed', async () => {
      await refuses('invalid_name', () =>
        store.append(
          changeTo(99, undefined, afterAppend('new\ud800', undefined)),
          sealedVersion(1),
        ),
      )
    })
  })
}
