/** How values are kept in backends instead of the store, in every store. */
import { beforeEach, describe, expect, test } from 'vitest'
import type {
  BackendChange,
  Orphan,
  SavedBackend,
  SealedVersion,
  SecretRow,
  Store,
  StoredBackend,
} from '../../server/store/contract.ts'
import { everything, Hand } from './store-hand.ts'
import {
  afterActivate,
  alice,
  bytes,
  changeTo,
  hashOf,
  sealedVersion,
  timeOf,
  withMac,
} from './store-states.ts'

function backend(id: number, more: Partial<StoredBackend> = {}): StoredBackend {
  const name = `backend-${id}`
  return {
    id,
    name,
    type: 'openbao',
    description: 'the one',
    isDefault: false,
    config: '{"url":"https://bao.example"}',
    createdAt: timeOf(id),
    mac: bytes(`mac of ${name} ${JSON.stringify(more)}`),
    ...more,
  }
}

function change(intent: number): BackendChange {
  return { intent: { id: intent, hash: hashOf(intent) }, by: alice, at: timeOf(intent) }
}

const made = (each: StoredBackend): SavedBackend => ({ backend: each, expected: null })
const edited = (from: StoredBackend, to: StoredBackend): SavedBackend => ({
  backend: to,
  expected: from.mac,
})
const unused = { secrets: 0, orphans: 0, copies: 0 }

/** A version whose value is in the backend `id`. */
function reference(version: number, id: number): SealedVersion {
  return { ...sealedVersion(version, `reference ${version}`), backend: id }
}

/** After `version` (default: one past the highest) was taken. */
function afterReserve(
  name: string,
  row: SecretRow | undefined,
  version: number = (row?.highest ?? 0) + 1,
): SecretRow {
  return withMac({
    name,
    incarnation: (row?.incarnation ?? 0) + (row?.active ? 0 : 1),
    active: row?.active ?? 0,
    highest: Math.max(row?.highest ?? 0, version),
    versions: row?.versions ?? [],
    removed: [...(row?.removed ?? []), version].toSorted((a, b) => a - b),
  })
}

function afterFill(row: SecretRow, version: number, active = row.active || version): SecretRow {
  return withMac({
    ...row,
    active,
    versions: [...row.versions, version].toSorted((a, b) => a - b),
    removed: row.removed.filter((each) => each !== version),
  })
}

/** Registers tests for the store that `current` gives in each of them. */
export function backendChanges(current: () => Store, reopen: () => Promise<Store>): void {
  describe('backends', () => {
    let store: Store

    beforeEach(() => {
      store = current()
    })

    test('are stored, changed and erased, and stay', async () => {
      expect(await store.backends()).toEqual({ backends: [], nextId: 1 })
      expect(await store.saveBackend(change(1), made(backend(1)))).toBe(1)
      expect(await store.saveBackend(change(2), made(backend(2)))).toBe(2)
      const other = backend(1, { description: 'another', config: '{}', name: 'renamed' })
      expect(await store.saveBackend(change(3), edited(backend(1), other))).toBe(3)
      const rows = [
        { ...other, ...unused },
        { ...backend(2), ...unused },
      ]
      expect(await store.backends()).toEqual({ backends: rows, nextId: 3 })
      await store.close()
      const again = await reopen()
      expect(await again.backends()).toEqual({ backends: rows, nextId: 3 })
      expect(await again.removeBackend(change(4), 2, backend(2).mac)).toBe(4)
      expect(await again.backends()).toEqual({ backends: rows.slice(0, 1), nextId: 3 })
      expect(await again.head()).toEqual({ revision: 4, audit: { id: 4, hash: hashOf(4) } })
      expect(await again.committed([1, 2, 3, 4, 5])).toEqual(new Set([1, 2, 3, 4]))
    })

    test('one is the default at most, and it changes with the one before in one step', async () => {
      const first = backend(1, { isDefault: true })
      await store.saveBackend(change(1), made(first))
      const second = backend(2, { isDefault: true })
      await expect(store.saveBackend(change(2), made(second))).rejects.toMatchObject({
        code: 'internal',
      })
      const demoted = edited(first, backend(1))
      expect(await store.saveBackend(change(2), made(second), demoted)).toBe(2)
      const { backends } = await store.backends()
      expect(backends.map(({ isDefault }) => isDefault)).toEqual([false, true])
      const stale = edited(first, backend(1))
      const third = made(backend(3, { isDefault: true }))
      await expect(store.saveBackend(change(3), third, stale)).rejects.toMatchObject({
        code: 'conflict',
      })
      expect((await store.backends()).backends).toEqual(backends)
    })

    test('none is stored in the place of one that is not as expected, or has its name', async () => {
      await store.saveBackend(change(1), made(backend(1)))
      await store.saveBackend(change(2), made(backend(2)))
      const refused = async (code: string, saved: SavedBackend): Promise<void> => {
        await expect(store.saveBackend(change(3), saved)).rejects.toMatchObject({ code })
      }
      await refused('conflict', made(backend(1)))
      await refused('conflict', edited(backend(9), backend(1)))
      await refused('conflict', edited(backend(9), backend(9)))
      await refused('conflict', made(backend(3, { name: 'backend-1' })))
      await refused('conflict', edited(backend(2), backend(2, { name: 'backend-1' })))
      await store.removeBackend(change(3), 2, backend(2).mac)
      await expect(store.saveBackend(change(4), made(backend(2)))).rejects.toMatchObject({
        code: 'conflict',
      })
      await expect(store.removeBackend(change(4), 2, backend(2).mac)).rejects.toMatchObject({
        code: 'conflict',
      })
      await expect(store.removeBackend(change(4), 1, bytes('other'))).rejects.toMatchObject({
        code: 'conflict',
      })
      expect((await store.backends()).backends).toEqual([{ ...backend(1), ...unused }])
      expect(await store.head()).toMatchObject({ revision: 3 })
    })

    test('what is given is taken over when a verb is called', async () => {
      const row = { ...backend(1), mac: bytes('its mac') }
      const saving = store.saveBackend(change(1), made(row))
      row.mac.fill(0)
      await saving
      expect((await store.backends()).backends).toMatchObject([{ mac: bytes('its mac') }])
    })
  })

  describe('values in a backend', () => {
    let store: Store
    let hand: Hand
    let intent: number

    beforeEach(async () => {
      store = current()
      await store.saveBackend(change(1), made(backend(1)))
      await store.saveBackend(change(2), made(backend(2)))
      hand = new Hand(store, 2)
      intent = 0
    })

    const row = (name: string): Promise<SecretRow | undefined> => store.find(name)
    const next = (): number => ++hand.intent

    async function reserve(name: string, version?: number, id = 1): Promise<SecretRow> {
      const before = await row(name)
      const after = afterReserve(name, before, version)
      const taken = version ?? after.highest
      await store.reserve(changeTo(next(), before, after), taken, id)
      return after
    }

    async function put(name: string, version?: number, id = 1): Promise<number> {
      const reserved = await reserve(name, version, id)
      const taken = version ?? reserved.highest
      const after = afterFill(reserved, taken)
      return store.fill(changeTo(next(), reserved, after), reference(taken, id))
    }

    async function left(): Promise<Orphan[]> {
      const found = await store.orphans(0, 100)
      return found.map(({ backend: id, name, incarnation, version }) =>
        place(name, version, id, incarnation),
      )
    }

    const place = (name: string, version: number, id = 1, incarnation = 1): Orphan => ({
      backend: id,
      name,
      incarnation,
      version,
    })

    const uses = async (): Promise<number[][]> =>
      (await store.backends()).backends.map(({ secrets, orphans }) => [secrets, orphans])

    test('A2: what is to be unused is not changed once something is kept there, or about to be', async () => {
      const moved = { ...edited(backend(1), backend(1, { config: '{}' })), unused: true }
      const other = { ...edited(backend(2), backend(2, { config: '{}' })), unused: true }
      const refused = async (saved: SavedBackend): Promise<void> =>
        expect(store.saveBackend(change(next()), saved)).rejects.toMatchObject({ code: 'conflict' })
      await put('app/key', 1, 1)
      await refused(moved)
      await store.noteWritten([place('app/key', 1, 2)])
      await refused(other)
      await store.forgetOrphan(place('app/key', 1, 2))
      await store.saveBackend(change(next()), other)
      await store.saveBackend(change(next()), { ...moved, unused: false })
    })

    test('a number is taken first, and is burnt when nothing follows', async () => {
      const reserved = await reserve('a')
      expect(await row('a')).toEqual(reserved)
      expect(reserved).toMatchObject({ active: 0, highest: 1, versions: [], removed: [1] })
      expect((await store.read('a', 1))?.version).toBeUndefined()
      expect(await store.list()).toEqual([])
      expect(await left()).toEqual([place('a', 1)])
      await store.close()
      store = await reopen()
      hand = new Hand(store, hand.intent)
      expect(await row('a')).toEqual(reserved)
      const again = await reserve('a')
      expect(again).toMatchObject({ incarnation: 2, highest: 2, removed: [1, 2] })
      expect(await store.fill(changeTo(next(), again, afterFill(again, 2)), reference(2, 1))).toBe(
        5,
      )
      expect(await store.read('a', 0)).toEqual({
        secret: afterFill(again, 2),
        version: reference(2, 1),
      })
      expect(await left()).toEqual([place('a', 1)])
      expect((await store.history('a')).map(({ verb, version }) => [verb, version])).toEqual([
        ['reserve', 1],
        ['reserve', 2],
        ['fill', 2],
      ])
      await store.forgetOrphan(place('a', 1))
      expect(await left()).toEqual([])
      expect(await uses()).toEqual([
        [1, 0],
        [0, 0],
      ])
    })

    test('only a number that was taken and never had a value is filled', async () => {
      await put('a')
      await put('a')
      await hand.removeVersion('a', 2)
      const before = await everything(store, ['a', 'b'])
      const known = (await row('a')) as SecretRow
      const refused = async (code: string, call: Promise<number>): Promise<void> => {
        await expect(call).rejects.toMatchObject({ code })
        expect(await everything(store, ['a', 'b'])).toEqual(before)
      }
      intent = hand.intent + 1
      const to = (after: SecretRow): ReturnType<typeof changeTo> => changeTo(intent, known, after)
      await refused('internal', store.fill(to(afterFill(known, 2)), reference(2, 1)))
      await refused('internal', store.fill(to(afterFill(known, 3)), reference(3, 1)))
      await refused('internal', store.fill(to(afterFill(known, 1)), reference(1, 1)))
      await refused('internal', store.reserve(to(afterReserve('a', known, 1)), 1, 1))
      await refused('internal', store.reserve(to(afterReserve('a', known, 2)), 2, 1))
      await refused('internal', store.reserve(to(afterReserve('a', known)), 3, 9))
      const stale = changeTo(intent, afterActivate(known, 7), afterReserve('a', known))
      await refused('conflict', store.reserve(stale, 3, 1))
    })

    test('all versions of a secret are kept in one place', async () => {
      await put('a')
      await hand.append('b')
      const before = await everything(store, ['a', 'b'])
      await expect(hand.append('a')).rejects.toMatchObject({ code: 'internal' })
      expect(await everything(store, ['a', 'b'])).toEqual(before)
      const reserved = await reserve('b')
      const filled = changeTo(next(), reserved, afterFill(reserved, 2))
      await expect(store.fill(filled, reference(2, 1))).rejects.toMatchObject({ code: 'internal' })
      const other = await reserve('a', 2, 2)
      await expect(
        store.fill(changeTo(next(), other, afterFill(other, 2)), reference(2, 2)),
      ).rejects.toMatchObject({ code: 'internal' })
    })

    test('what is removed is left over in the backend until it is struck off', async () => {
      for (let count = 0; count < 3; count++) await put('a')
      await put('b')
      await hand.removeVersion('a', 2)
      expect(await left()).toEqual([place('a', 2)])
      await hand.remove('a')
      expect(await left()).toEqual([place('a', 2), place('a', 1), place('a', 3)])
      expect(await uses()).toEqual([
        [1, 3],
        [0, 0],
      ])
      const [first] = await store.orphans(0, 1)
      expect((await store.orphans(first?.cursor ?? 0, 9)).map(({ version }) => version)).toEqual([
        1, 3,
      ])
      await store.forgetOrphan(place('a', 1))
      await store.forgetOrphan(place('a', 1, 2))
      await store.forgetOrphan(place('none', 1))
      expect(await left()).toEqual([place('a', 2), place('a', 3)])
    })

    test('a backend that keeps a secret is not erased; what was left over in it goes with it', async () => {
      await put('a')
      await expect(store.removeBackend(change(9), 1, backend(1).mac)).rejects.toMatchObject({
        code: 'conflict',
      })
      await hand.remove('a')
      hand.intent = 20
      await store.removeBackend(change(next()), 1, backend(1).mac)
      expect(await left()).toEqual([])
      expect((await store.backends()).backends.map(({ id }) => id)).toEqual([2])
    })

    test('a secret moves whole, and its history, numbers and pointer stay', async () => {
      await hand.append('a')
      await hand.append('a')
      await hand.activate('a', 2)
      await hand.append('b')
      const before = (await row('a')) as SecretRow
      const moved = [reference(1, 1), reference(2, 1)]
      expect(await store.homed(null)).toEqual(['a', 'b'])
      await store.noteWritten([place('a', 1), place('a', 2), place('none', 1)])
      expect(await left()).toEqual([])
      await store.rehome(changeTo(next(), before, before), moved, false)
      expect(await row('a')).toEqual(before)
      expect((await store.read('a', 0))?.version).toEqual(moved[1])
      expect((await store.read('a', 1))?.version).toEqual(moved[0])
      expect([await store.homed(null), await store.homed(1), await store.homed(2)]).toEqual([
        ['b'],
        ['a'],
        [],
      ])
      expect(await uses()).toEqual([
        [1, 0],
        [0, 0],
      ])
      await store.rehome(changeTo(next(), before, before), [reference(1, 2), reference(2, 2)], true)
      expect(await left()).toEqual([])
      const home = [sealedVersion(1), sealedVersion(2)]
      await store.rehome(changeTo(next(), before, before), home, false)
      expect(await left()).toEqual([place('a', 1, 2), place('a', 2, 2)])
      expect((await store.read('a', 0))?.version).toEqual(home[1])
      expect((await store.history('a')).slice(-3).map(({ verb }) => verb)).toEqual([
        'rehome',
        'rehome',
        'rehome',
      ])
    })

    test('it moves with every version, to one place, and from the state that was expected', async () => {
      await hand.append('a')
      await hand.append('a')
      const known = (await row('a')) as SecretRow
      const before = await everything(store, ['a'])
      const to = changeTo(hand.intent + 1, known, known)
      const refused = async (code: string, moved: SealedVersion[], as = to): Promise<void> => {
        await expect(store.rehome(as, moved, false)).rejects.toMatchObject({ code })
        expect(await everything(store, ['a'])).toEqual(before)
      }
      await refused('internal', [reference(1, 1)])
      await refused('internal', [reference(1, 1), reference(2, 2)])
      await refused('internal', [reference(1, 1), reference(2, 1), reference(3, 1)])
      await refused('internal', [reference(1, 9), reference(2, 9)])
      const moved = [reference(1, 1), reference(2, 1)]
      await refused('conflict', moved, { ...to, expected: bytes('other') })
      await refused('internal', moved, { ...to, next: afterActivate(known, 2) })
    })

    test('R1: sealed values are kept besides the references until a move says otherwise', async () => {
      await hand.append('a')
      await hand.append('a')
      const found = (await store.find('a')) as SecretRow
      const at = (id: number) => [reference(1, id), reference(2, id)]
      const move = (moved: SealedVersion[], keeps: boolean) =>
        store.rehome(changeTo(next(), found, found), moved, keeps)
      const kept = async () =>
        (await store.versions(undefined)).map((each) => each.kept !== undefined)
      await move(at(1), true)
      expect([await kept(), await store.copied(null)]).toEqual([[true, true], ['a']])
      const value = (await store.read('a', 1))?.version?.kept
      expect(Buffer.from(value ?? [])).toEqual(Buffer.from(sealedVersion(1).sealed))
      await move(at(2), false)
      expect([await kept(), await store.copied(null, 'a')]).toEqual([[true, true], ['a']])
      await hand.removeVersion('a', 2)
      expect(await kept()).toEqual([true])
      await hand.remove('a')
      expect(await store.copied(null)).toEqual([])
    })

    test('what a move wrote waits for the next attempt, unless its version is removed', async () => {
      await hand.append('a')
      await hand.append('a')
      await hand.append('b')
      await store.noteWritten([place('a', 1), place('a', 2), place('b', 1)])
      await store.noteWritten([place('a', 1)])
      await hand.removeVersion('a', 2)
      expect(await left()).toEqual([place('a', 2)])
      await hand.remove('b')
      expect(await left()).toEqual([place('a', 2), place('b', 1)])
      expect(await uses()).toEqual([
        [0, 2],
        [0, 0],
      ])
    })
  })
}
