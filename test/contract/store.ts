/**
 * What every storage engine must do, whichever keeps the bytes. An engine's own test calls
 * `storeContract` with a way to make a store and adds what only that engine can be asked.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SecretRow, Store, StoreSeed } from '../../server/store/contract.ts'
import { backendChanges } from './store-backends.ts'
import { bytesAndNames } from './store-bytes.ts'
import { everything, Hand } from './store-hand.ts'
import { keyringChanges } from './store-keyring.ts'
import { rootChanges } from './store-root.ts'
import { manyAtOnce } from './store-many.ts'
import { mirrors } from './store-mirrors.ts'
import { snapshots } from './store-snapshot.ts'
import { wrapChanges } from './store-wraps.ts'
import { rotations } from './store-rotations.ts'
import { storeProperties } from './store-properties.ts'
import { refusals } from './store-refusals.ts'
import {
  afterAppend,
  alice,
  app,
  bytes,
  changeTo,
  hashOf,
  sealedVersion,
  seed,
  timeOf,
  withMac,
} from './store-states.ts'

// Bytes are bytes, whichever class an engine reads them into.
expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    one instanceof Uint8Array && other instanceof Uint8Array
      ? Buffer.compare(one, other) === 0
      : undefined,
])

/** A store that was just made, and how to open it again after it was closed. */
interface MadeStore {
  readonly store: Store
  reopen(): Promise<Store>
  /** Opens a snapshot as a store. */
  openCopy(path: string): Promise<Store>
  /** Closes what is open and clears away. */
  dispose(): Promise<void>
}

/** Makes an empty store from a seed. */
type MakeStore = (seed: StoreSeed) => Promise<MadeStore>

/** Registers the suite for the `engine`. */
export function storeContract(engine: string, make: MakeStore): void {
  describe(`${engine} keeps the store contract`, () => {
    let made: MadeStore
    let store: Store
    let hand: Hand

    beforeEach(async () => {
      made = await make(seed)
      store = made.store
      hand = new Hand(store)
    })

    afterEach(() => made.dispose())

    test('a new store is empty and has what it was made with', async () => {
      expect(store.identity).toEqual({
        ...seed.identity,
        former: [],
        adopted: true,
        starts: 0,
        host: '',
      })
      const { keys, wraps, lasting = [] } = seed
      expect(await store.keys()).toEqual({ keys, wraps, lasting, root: { number: 1 } })
      expect(await store.head()).toEqual({ revision: 0, audit: null })
      expect(await store.list()).toEqual([])
      expect(await store.find('a')).toBeUndefined()
      expect(await store.read('a', 0)).toBeUndefined()
      expect(await store.read('a', 1)).toBeUndefined()
      expect(await store.history('a')).toEqual([])
      expect(await store.committed([1])).toEqual(new Set())
      await expect(store.check()).resolves.toBeUndefined()
    })

    test('a development store is told as one', async () => {
      const other = await make({ ...seed, identity: { ...seed.identity, development: true } })
      expect(other.store.identity.development).toBe(true)
      await other.dispose()
    })

    test('a start is counted, with where it was, and is no revision', async () => {
      const start = (id: number, host: string) =>
        store.started({ intent: { id, hash: hashOf(id) } }, host)
      expect(await start(1, 'here')).toBe(1)
      expect(await start(2, 'there')).toBe(2)
      expect(await store.head()).toEqual({ revision: 0, audit: { id: 2, hash: hashOf(2) } })
      const again = await made.reopen()
      expect(await again.isOwnStart(`2 ${hashOf(2)}`)).toBe(true)
      expect(await again.isOwnStart(`2 ${hashOf(3)}`)).toBe(false)
      expect(again.identity).toMatchObject({ adopted: true, starts: 2, host: 'there' })
      await again.adopt({ intent: { id: 3, hash: hashOf(3) } }, 'elsewhere')
      expect(await again.head()).toEqual({ revision: 0, audit: { id: 3, hash: hashOf(3) } })
      const adopted = await made.reopen()
      expect(adopted.identity).toMatchObject({ adopted: true, starts: 2, host: 'elsewhere' })
    })

    test('what a secret is set to is kept with its state', async () => {
      await hand.append('a')
      const row = await store.find('a')
      const next = withMac({
        ...(row as SecretRow),
        active: 2,
        highest: 2,
        versions: [1, 2],
        settings: bytes('set'),
      })
      await store.append(changeTo(++hand.intent, row, next), sealedVersion(2))
      expect(await store.find('a')).toEqual(next)
      expect(await store.list()).toEqual([next])
      expect(await store.states(undefined)).toEqual([next])
    })

    test('append adds versions and read finds each, 0 standing for the active one', async () => {
      expect(await hand.append('a')).toBe(1)
      expect(await hand.append('a')).toBe(2)
      const row = await store.find('a')
      expect(row).toEqual(afterAppend('a', afterAppend('a', undefined)))
      expect(await store.read('a', 0)).toEqual({ secret: row, version: sealedVersion(1) })
      expect(await store.read('a', 1)).toEqual({ secret: row, version: sealedVersion(1) })
      expect(await store.read('a', 2)).toEqual({ secret: row, version: sealedVersion(2) })
      expect(await store.read('a', 3)).toEqual({ secret: row })
      expect(await store.list()).toEqual([row])
    })

    test('measure counts what has a value, and nothing else', async () => {
      const counts = async () => {
        const { secrets, versions } = await store.measure()
        return [secrets, versions]
      }
      expect(await counts()).toEqual([0, 0])
      for (let count = 0; count < 3; count++) await hand.append('a')
      await hand.append('b')
      expect(await counts()).toEqual([2, 4])
      expect(await counts()).toEqual([2, 4])
      await hand.removeVersion('a', 2)
      expect(await counts()).toEqual([2, 3])
      await hand.remove('a')
      expect(await counts()).toEqual([1, 1])
      expect((await store.measure()).databaseBytes).toBeGreaterThan(0)
    })

    test('append takes a number of the caller, and may activate it', async () => {
      await hand.append('a', { version: 7 })
      await hand.append('a', { version: 3, activate: true })
      await hand.append('a', { version: 4_294_967_295 })
      expect(await store.find('a')).toMatchObject({
        active: 3,
        highest: 4_294_967_295,
        versions: [3, 7, 4_294_967_295],
      })
      expect((await store.read('a', 4_294_967_295))?.version).toEqual(sealedVersion(4_294_967_295))
    })

    test('activate points elsewhere and touches no value', async () => {
      await hand.append('a')
      await hand.append('a')
      expect(await hand.activate('a', 2)).toBe(3)
      expect(await store.read('a', 0)).toMatchObject({
        secret: { active: 2, versions: [1, 2] },
        version: sealedVersion(2),
      })
      expect((await store.read('a', 1))?.version).toEqual(sealedVersion(1))
    })

    test('removeVersion erases one value and leaves its number as a tombstone', async () => {
      for (let count = 0; count < 3; count++) await hand.append('a')
      await hand.removeVersion('a', 3)
      const row = await store.find('a')
      expect(row).toMatchObject({ active: 1, highest: 3, versions: [1, 2], removed: [3] })
      expect(await store.read('a', 3)).toEqual({ secret: row })
      expect((await store.read('a', 2))?.version).toEqual(sealedVersion(2))
    })

    test('remove erases every value; the name and its numbers stay', async () => {
      for (let count = 0; count < 3; count++) await hand.append('a')
      await hand.append('b')
      await hand.removeVersion('a', 2)
      await hand.remove('a')
      const row = await store.find('a')
      expect(row).toMatchObject({ incarnation: 1, active: 0, highest: 3, versions: [] })
      expect(row?.removed).toEqual([1, 2, 3])
      expect(await store.read('a', 0)).toEqual({ secret: row })
      expect(await store.read('a', 1)).toEqual({ secret: row })
      expect((await store.list()).map((secret) => secret.name)).toEqual(['b'])
    })

    test('a name used again is another incarnation and gets higher numbers', async () => {
      await hand.append('a')
      await hand.append('a')
      await hand.remove('a')
      await hand.append('a')
      expect(await store.find('a')).toMatchObject({
        incarnation: 2,
        active: 3,
        highest: 3,
        versions: [3],
        removed: [1, 2],
      })
      expect((await store.read('a', 0))?.version).toEqual(sealedVersion(3))
      expect((await store.list()).map((secret) => secret.name)).toEqual(['a'])
    })

    refusals(() => store)
    bytesAndNames(() => store)
    manyAtOnce(() => store)
    wrapChanges(
      () => store,
      () => made.reopen(),
    )
    rootChanges(
      () => store,
      () => made.reopen(),
    )
    keyringChanges(
      () => store,
      () => made.reopen(),
    )
    mirrors(
      () => store,
      () => made.reopen(),
    )
    backendChanges(
      () => store,
      () => made.reopen(),
    )
    rotations(
      () => store,
      () => made.reopen(),
    )

    test('history tells who did what when, also after the secret is gone', async () => {
      await hand.append('a', { by: app })
      await hand.append('other')
      await hand.append('a', { version: 9, by: alice })
      await hand.activate('a', 9, app)
      await hand.removeVersion('a', 1)
      await hand.remove('a')
      await hand.append('a')
      const line = (audit: number): object => ({ revision: audit, audit, at: timeOf(audit) })
      expect(await store.history('a')).toEqual([
        { ...line(1), verb: 'append', incarnation: 1, version: 1, by: app },
        { ...line(3), verb: 'append', incarnation: 1, version: 9, by: alice },
        { ...line(4), verb: 'activate', incarnation: 1, version: 9, by: app },
        { ...line(5), verb: 'remove-version', incarnation: 1, version: 1, by: alice },
        { ...line(6), verb: 'remove', incarnation: 1, by: alice },
        { ...line(7), verb: 'append', incarnation: 2, version: 10, by: alice },
      ])
    })

    test('the last change of each secret that there is', async () => {
      await hand.append('b')
      await hand.append('a')
      await hand.append('gone')
      await hand.append('a')
      await hand.remove('gone')
      expect(await store.lastChanges()).toEqual([
        { name: 'a', at: timeOf(4) },
        { name: 'b', at: timeOf(1) },
      ])
    })

    test('the head counts changes and names the newest intent', async () => {
      await hand.append('a')
      expect(await store.head()).toEqual({ revision: 1, audit: { id: 1, hash: hashOf(1) } })
      hand.intent = 40
      await hand.append('a')
      expect(await store.head()).toEqual({ revision: 2, audit: { id: 41, hash: hashOf(41) } })
      // Intents of two secrets may be committed in another order than they were recorded in.
      hand.intent = 20
      await hand.append('b')
      expect(await store.head()).toEqual({ revision: 3, audit: { id: 41, hash: hashOf(41) } })
    })

    test('remember moves the head forward, never back', async () => {
      await store.remember({ id: 5, hash: 'five' })
      expect(await store.head()).toEqual({ revision: 0, audit: { id: 5, hash: 'five' } })
      await store.remember({ id: 4, hash: 'four' })
      await store.remember({ id: 5, hash: 'another five' })
      expect(await store.head()).toEqual({ revision: 0, audit: { id: 5, hash: 'five' } })
      await hand.append('a')
      await store.remember({ id: 6, hash: 'six' })
      expect(await store.head()).toEqual({ revision: 1, audit: { id: 6, hash: 'six' } })
    })

    test('committed tells which intents came to pass, behind the changes called before', async () => {
      await hand.append('a')
      hand.intent = 6
      await hand.append('a')
      expect(await store.committed([])).toEqual(new Set())
      expect(await store.committed([1, 2, 6, 7, 8])).toEqual(new Set([1, 7]))
      const change = changeTo(8, undefined, afterAppend('b', undefined))
      const appended = store.append(change, sealedVersion(1))
      expect(await store.committed([8])).toEqual(new Set([8]))
      await appended
    })

    test('close finishes what was accepted, and then nothing is', async () => {
      const names = Array.from({ length: 40 }, (_, index) => `c/${index}`)
      const accepted = names.map((each, index) =>
        store.append(
          changeTo(index + 1, undefined, afterAppend(each, undefined)),
          sealedVersion(1),
        ),
      )
      const closing = store.close()
      const late = changeTo(99, undefined, afterAppend('late', undefined))
      await expect(store.append(late, sealedVersion(1))).rejects.toMatchObject({
        code: 'store_unavailable',
      })
      await closing
      await store.close()
      expect((await Promise.all(accepted)).toSorted((a, b) => a - b)).toEqual(
        names.map((_, index) => index + 1),
      )
      const unavailable = { name: 'SottoError', code: 'store_unavailable' }
      await expect(store.head()).rejects.toMatchObject(unavailable)
      await expect(store.list()).rejects.toMatchObject(unavailable)
      await expect(store.find('c/1')).rejects.toMatchObject(unavailable)
      await expect(store.read('c/1', 0)).rejects.toMatchObject(unavailable)
      await expect(store.history('c/1')).rejects.toMatchObject(unavailable)
      await expect(store.keys()).rejects.toMatchObject(unavailable)
      await expect(store.keyUse()).rejects.toMatchObject(unavailable)
      await expect(store.wrappedBy(1, 0, 1)).rejects.toMatchObject(unavailable)
      await expect(store.committed([1])).rejects.toMatchObject(unavailable)
      await expect(store.remember({ id: 1, hash: 'x' })).rejects.toMatchObject(unavailable)
      await expect(store.check()).rejects.toMatchObject(unavailable)
      const again = await made.reopen()
      expect(await again.list()).toHaveLength(names.length)
    })

    test('a store that was closed and opened again is the same', async () => {
      await hand.append('a')
      await hand.append('a')
      await hand.activate('a', 2)
      await hand.removeVersion('a', 1)
      await hand.append('b')
      await hand.remove('b')
      await store.remember({ id: 77, hash: 'seventy-seven' })
      const before = await everything(store, ['a', 'b'])
      const keys = await store.keys()
      await store.close()
      const again = await made.reopen()
      expect(again.identity).toEqual(store.identity)
      expect(await again.keys()).toEqual(keys)
      expect(await everything(again, ['a', 'b'])).toEqual(before)
      const more = new Hand(again, 100)
      expect(await more.append('b')).toBe(before.head.revision + 1)
    })

    snapshots(
      () => store,
      (path) => made.openCopy(path),
    )
    storeProperties(() => store)
  })
}
