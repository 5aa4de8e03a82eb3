/** What a rotation overtakes, or is overtaken by: nothing is lost, and nobody notices. */
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { SecretCache } from '../../server/catalog/cache.ts'
import type { KeyActs } from '../../server/gate/key-acts.ts'
import { Rotation } from '../../server/keys/rotation.ts'
import type { OpenedKeyring } from '../../server/keys/wraps.ts'
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
  createStore(path, { ...seed, keys: created.keys })
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

async function openAnew(): Promise<OpenedKeyring> {
  const { keys, wraps } = await store.keys()
  const [wrap] = wraps as [(typeof wraps)[0]]
  const opened = Keyring.open(storeId, rootKey, keys)
  return { keyring: opened, rootKey: Buffer.from(rootKey), wrap, failures: [] }
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
  const parts = { store: storeWith(over), keyring, openAnew, clock: () => new Date() }
  return new Rotation({ ...parts, shared: false })
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
