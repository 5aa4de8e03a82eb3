/** What a rotation overtakes, or is overtaken by: nothing is lost, and nobody notices. */
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { SecretCache } from '../../server/catalog/cache.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import type { KeyActs } from '../../server/gate/key-acts.ts'
import { Rotation } from '../../server/keys/rotation.ts'
import type { Store } from '../../server/store/contract.ts'
import { createStore, openStore } from '../../server/store/sqlite/store.ts'
import { alice, changeTo, hashOf, seed, timeOf } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const storeId = seed.identity.id
const place = { name: 'a', incarnation: 1, version: 1 }
const state = { ...place, active: 1, highest: 1, versions: [1], removed: [] }

let scratch: ReturnType<typeof temporaryDirectory>
let store: Store
let keyring: Keyring
let rootKey: Buffer
let intents: number

beforeEach(async () => {
  scratch = temporaryDirectory()
  const created = Keyring.create(storeId)
  ;({ keyring, rootKey } = created)
  const path = join(scratch.path, 'store.db')
  createStore(path, { ...seed, keys: created.keys, lasting: created.lasting })
  store = await openStore(path)
  intents = 0
})

afterEach(async () => {
  await store.close()
  scratch[Symbol.dispose]()
})

const acts: KeyActs = {
  async changeKeys(_intent, commit) {
    const id = ++intents
    await commit({ intent: { id, hash: hashOf(id) }, by: alice, at: timeOf(id) })
  },
}

/** Opens the wraps of the seed, and what it wrapped itself. */
function providerOf(name: string): KeyProvider {
  return {
    name,
    fingerprint: async () => `f-${name}`,
    wrap: async (key) => Buffer.from(key),
    unwrap: async (wrapped) =>
      Buffer.from(Buffer.from(wrapped).toString() === `wrapped by ${name}` ? rootKey : wrapped),
  }
}

/** The store, with some of its verbs done otherwise. */
function storeWith(over: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const own = over[name as keyof Store] ?? target[name as keyof Store]
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
}

function rotation(over: Partial<Store> = {}): Rotation {
  return new Rotation({
    store: storeWith(over),
    keyring,
    providers: async () => [providerOf('local'), providerOf('age')],
    clock: () => new Date(),
    shared: false,
    alone: (_of, task) => task(),
  })
}

async function put(): Promise<void> {
  const next = { ...state, mac: keyring.mac(state) }
  const sealed = { version: 1, ...keyring.seal(place, Buffer.from('value')) }
  await store.append(changeTo(++intents, undefined, next), sealed)
}

test('a read that the erasing of an entry overtakes is done again', async () => {
  await put()
  const stale = await store.read('a', 0)
  await rotation().begin(acts)
  expect(await rotation().run(acts)).toBe(1)
  let reads = 0
  const slow = storeWith({
    read: async (name, version) => (reads++ === 0 ? stale : store.read(name, version)),
  })
  const found = await new SecretCache(slow, keyring, 0).read('a', 0)
  const version = found?.versions.get(1)
  if (version === undefined) throw new Error('there is no version')
  expect(keyring.openSealed(place, version.dataKey, version.sealed).toString()).toBe('value')
  expect(reads).toBe(2)
})

test.each(['addKey', 'moveKeys', 'eraseKey'] as const)(
  'a %s that was carried out, and whose answer was lost, is found by the next run',
  async (verb) => {
    await put()
    let lost = 0
    // The change comes to pass; whoever asked for it is told that nobody knows.
    const unanswered = {
      [verb]: async (...args: unknown[]) => {
        await Reflect.apply(store[verb] as (...given: unknown[]) => Promise<unknown>, store, args)
        lost++
        throw new SottoError('store_unavailable', 'no answer')
      },
    }
    const broken = rotation(unanswered)
    const failed = broken.begin(acts).then(() => broken.run(acts))
    await expect(failed).rejects.toThrow('no answer')
    const early = verb === 'addKey'
    expect(broken.failure?.message).toBe(early ? undefined : 'no answer')
    // Until a run has caught up, versions go on to be sealed under the entry before.
    expect(keyring.active().id).toBe(early ? 1 : 2)
    expect(lost).toBe(1)
    await rotation().run(acts)
    expect(keyring.fingerprints().map(({ id }) => id)).toEqual([2])
    expect((await store.keys()).keys.map(({ id, state: of }) => [id, of])).toEqual([[2, 'active']])
    const found = await new SecretCache(store, keyring, 0).read('a', 0)
    expect(found?.versions.get(1)).toBeDefined()
  },
)

test.each(['rotateRoot', 'remakeMacs', 'moveKeys', 'eraseKey', 'settleRoot'] as const)(
  'A5: a %s that was carried out, and whose answer was lost, is found by the next run',
  async (verb) => {
    await put()
    const { rootFingerprint } = keyring
    let lost = 0
    const unanswered = {
      [verb]: async (...args: unknown[]) => {
        await Reflect.apply(store[verb] as (...given: unknown[]) => Promise<unknown>, store, args)
        lost++
        throw new SottoError('store_unavailable', 'no answer')
      },
    }
    const broken = rotation(unanswered)
    await expect(broken.beginRoot(acts, []).then(() => broken.run(acts))).rejects.toThrow(
      'no answer',
    )
    expect(lost).toBeGreaterThan(0)
    // Whatever the run had done, the record verifies and the value opens.
    const between = await new SecretCache(store, keyring, 0).read('a', 0)
    expect(between?.versions.get(1)).toBeDefined()
    await rotation().run(acts)
    expect([keyring.rootNumber, keyring.takesPrevious]).toEqual([2, false])
    expect(keyring.rootFingerprint).not.toBe(rootFingerprint)
    expect(keyring.fingerprints().map(({ id }) => id)).toEqual([2])
    const { root, keys } = await store.keys()
    expect([root, keys.length]).toEqual([{ number: 2 }, 1])
    const found = await new SecretCache(store, keyring, 0).read('a', 0)
    expect(found?.versions.get(1)).toBeDefined()
  },
)

test('A5: the root key is replaced while a rotation of the keyring runs, which then settles both', async () => {
  await put()
  let begun: Promise<boolean> | undefined
  const running = rotation({
    moveKeys: async (...args) => {
      begun ??= running.beginRoot(acts, [])
      return store.moveKeys(...args)
    },
  })
  await running.begin(acts)
  expect(await running.run(acts)).toBe(2)
  expect(await begun).toBe(true)
  expect(await store.keys()).toMatchObject({ root: { number: 2 }, keys: [{ id: 3 }] })
  expect(keyring.takesPrevious).toBe(false)
})

test('A5: a change that was computed before the root key was replaced is stored, and made again', async () => {
  const next = { ...state, mac: keyring.mac(state) }
  const sealed = { version: 1, ...keyring.seal(place, Buffer.from('value')) }
  await rotation().beginRoot(acts, [])
  await store.append(changeTo(++intents, undefined, next), sealed)
  expect(keyring.isOfPrevious(next, next.mac)).toBe(true)
  expect(await rotation().run(acts)).toBe(1)
  const row = await store.find('a')
  expect(Buffer.from(row?.mac ?? [])).toEqual(keyring.mac(state))
  expect(() => keyring.verify(next, next.mac)).toThrow('Cannot trust the record of secret "a"')
})

test('A5: a record that was altered is not made again, and the root key before is kept for it', async () => {
  await put()
  const next = { ...state, name: 'b', mac: Buffer.alloc(32) }
  const sealed = { version: 1, ...keyring.seal({ ...place, name: 'b' }, Buffer.from('value')) }
  await store.append(changeTo(++intents, undefined, next), sealed)
  await rotation().beginRoot(acts, [])
  await expect(rotation().run(acts)).rejects.toMatchObject({
    code: 'store_damaged',
    message: expect.stringContaining(
      '1 records do not verify, the first one: Cannot trust the record of secret "b"',
    ),
  })
  keyring.verify(state, (await store.find('a'))?.mac ?? new Uint8Array())
  expect(keyring.takesPrevious).toBe(true)
})

test('a rotation that is told to stop does so between batches, and keeps what it moved', async () => {
  for (const at of Array.from({ length: 250 }, (_, index) => index)) {
    const name = `s/${at}`
    const next = { ...state, name, mac: keyring.mac({ ...state, name }) }
    const sealed = { version: 1, ...keyring.seal({ ...place, name }, Buffer.from('value')) }
    await store.append(changeTo(++intents, undefined, next), sealed)
  }
  const abort = new AbortController()
  const stopping = rotation({
    moveKeys: async (...args) => {
      abort.abort(new Error('the server stops'))
      return store.moveKeys(...args)
    },
  })
  await stopping.begin(acts)
  await expect(stopping.run(acts, abort.signal)).rejects.toThrow('the server stops')
  expect(stopping.failure).toBeUndefined()
  expect(await store.keyUse()).toEqual(
    new Map([
      [1, 150],
      [2, 100],
    ]),
  )
  expect(await rotation().run(acts)).toBe(150)
})
