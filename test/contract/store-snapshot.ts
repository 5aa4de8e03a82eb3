/** Copies of a store as of one moment, and its pages, in every store. */
import { existsSync } from 'node:fs'
import { beforeEach, describe, expect, test } from 'vitest'
import type { PlacedVersion, SecretRow, Store } from '../../server/store/contract.ts'
import { everything, Hand } from './store-hand.ts'
import { bytes, sealedVersion } from './store-states.ts'

/** Registers tests for the store that `current` gives in each of them. */
export function snapshots(current: () => Store, openCopy: (path: string) => Promise<Store>): void {
  describe('a snapshot', () => {
    let store: Store
    let hand: Hand

    beforeEach(() => {
      store = current()
      hand = new Hand(store)
    })

    test('is the store as it was, with its deleted names, history and keys', async () => {
      for (let count = 0; count < 3; count++) await hand.append('a')
      await hand.activate('a', 2)
      await hand.removeVersion('a', 1)
      await hand.append('b')
      await hand.remove('b')
      await store.remember({ id: 70, hash: 'seventy' })
      const before = await everything(store, ['a', 'b'])
      const keys = await store.keys()
      await using snapshot = await store.snapshot()
      expect(snapshot).toMatchObject({
        head: before.head,
        counts: { names: 2, secrets: 1, versions: 2, tombstones: 2 },
        keys: keys.keys,
        wraps: keys.wraps,
      })
      await hand.append('a')
      const copy = await openCopy(snapshot.path)
      expect(copy.identity).toEqual(store.identity)
      expect(await everything(copy, ['a', 'b'])).toEqual(before)
      expect(await copy.keys()).toEqual(keys)
    })

    test('goes when it is disposed of', async () => {
      const snapshot = await store.snapshot()
      expect(existsSync(snapshot.path)).toBe(true)
      await snapshot[Symbol.asyncDispose]()
      expect(existsSync(snapshot.path)).toBe(false)
    })

    test('is of one moment while changes go on, and each change is in it or not', async () => {
      const writing = (async () => {
        for (let count = 0; count < 150; count++) await hand.append(`s/${count % 10}`)
      })()
      await new Promise((resolve) => setImmediate(resolve))
      await using snapshot = await store.snapshot()
      await writing
      const { revision } = snapshot.head
      const copy = await openCopy(snapshot.path)
      expect((await copy.head()).revision).toBe(revision)
      expect(await allVersions(copy)).toHaveLength(revision)
      expect(snapshot.counts.versions).toBe(revision)
    })

    test('that is stopped leaves nothing, and the store as it was', async () => {
      await hand.append('a')
      await expect(store.snapshot({ signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'local',
        message: expect.stringContaining('was stopped'),
      })
      const stop = new AbortController()
      const taking = store.snapshot({ signal: stop.signal, progress: () => stop.abort() })
      // What is done in one step cannot be stopped any more.
      await taking.then((snapshot) => snapshot[Symbol.asyncDispose]()).catch(() => {})
      await hand.append('a')
      expect((await store.find('a'))?.versions).toEqual([1, 2])
    })

    test('of a store that is closed is refused, and closing ends one that is taken', async () => {
      const taking = store.snapshot().then(
        (snapshot) => snapshot[Symbol.asyncDispose](),
        (error: unknown) => expect(error).toMatchObject({ code: 'local' }),
      )
      await store.close()
      await taking
      await expect(store.snapshot()).rejects.toMatchObject({ code: 'store_unavailable' })
    })
  })

  describe('pages', () => {
    test('have every name and every value once, in order', async () => {
      const store = current()
      const hand = new Hand(store)
      for (const name of ['b', 'a', 'a/1', 'é', 'z', '\u{10ffff}']) {
        await hand.append(name)
        await hand.append(name)
      }
      await hand.removeVersion('b', 2)
      await hand.remove('z')
      expect((await allStates(store)).map(({ name }) => name)).toEqual([
        'a',
        'a/1',
        'b',
        'z',
        'é',
        '\u{10ffff}',
      ])
      for (const row of await allStates(store)) expect(row).toEqual(await store.find(row.name))
      expect((await allVersions(store)).map(({ name, version }) => `${name} ${version}`)).toEqual([
        'a 1',
        'a 2',
        'a/1 1',
        'a/1 2',
        'b 1',
        'é 1',
        'é 2',
        '\u{10ffff} 1',
        '\u{10ffff} 2',
      ])
      const [first] = await store.versions(undefined)
      expect(first).toEqual({ name: 'a', incarnation: 1, ...sealedVersion(1) })
    })

    test('go on where a secret has more than fits into one', async () => {
      const store = current()
      const hand = new Hand(store)
      const sealed = bytes('x'.repeat(400_000))
      for (let version = 1; version <= 7; version++) {
        await hand.append('big', { sealed: { ...sealedVersion(version), sealed } })
      }
      expect((await store.versions(undefined)).length).toBeLessThan(7)
      expect((await allVersions(store)).map(({ version }) => version)).toEqual([
        1, 2, 3, 4, 5, 6, 7,
      ])
    })
  })
}

async function allStates(store: Store): Promise<SecretRow[]> {
  const all: SecretRow[] = []
  for (;;) {
    const page = await store.states(all.at(-1)?.name)
    if (page.length === 0) return all
    all.push(...page)
  }
}

async function allVersions(store: Store): Promise<PlacedVersion[]> {
  const all: PlacedVersion[] = []
  for (;;) {
    const page = await store.versions(all.at(-1))
    if (page.length === 0) return all
    all.push(...page)
  }
}
