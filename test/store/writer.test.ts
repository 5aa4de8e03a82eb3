import { renameSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import { describe, expect, test, vi } from 'vitest'
import type { Change, Store } from '../../server/store/contract.ts'
import type { OpenOptions } from '../../server/store/sqlite/store.ts'
import {
  afterAppend,
  alice,
  changeTo,
  hashOf,
  sealedVersion,
  withMac,
} from '../contract/store-states.ts'
import { makeStore } from './made.ts'

/** Holds the write lock as another program would, until the end of the scope or `release`. */
function holdLock(path: string): { release(): void; [Symbol.dispose](): void } {
  const db = new Database(path)
  db.exec('BEGIN IMMEDIATE')
  const release = (): void => {
    db.close()
  }
  return { release, [Symbol.dispose]: release }
}

/** The first version of `name`, told by the audit record `intent`. */
function firstOf(name: string, intent: number): Change {
  return changeTo(intent, undefined, afterAppend(name, undefined))
}

function append(store: Store, name: string, intent: number, bytes = 10): Promise<number> {
  const sealed = { ...sealedVersion(1), sealed: new Uint8Array(bytes).fill(intent) }
  return store.append(firstOf(name, intent), sealed)
}

const stored = {
  type: 'openbao',
  description: '',
  isDefault: false,
  config: '{}',
  createdAt: '2026-01-02T03:04:05.678Z',
}

/** Keeps hold of the writer's thread. */
function tapped(): { options: OpenOptions; worker: () => Worker } {
  let worker: Worker | undefined
  return {
    options: {
      startWriter: (script, options) => {
        worker = new Worker(script, options)
        return worker
      },
    },
    worker: () => worker as Worker,
  }
}

/** Resolves once what was called has been handed to the writer. */
function handedOver(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

describe('while the writer is held up', () => {
  test('a change is given up in time, what was not begun never happens, and reads go on', async () => {
    await using made = await makeStore({ waitMs: 500 })
    const { store, path } = made
    using held = holdLock(path)
    const begun = append(store, 'begun', 1)
    await handedOver()
    const queued = append(store, 'queued', 2)
    const given = await Promise.allSettled([begun, queued])
    for (const [index, name] of ['begun', 'queued'].entries()) {
      expect(given[index]).toMatchObject({
        reason: {
          code: 'store_unavailable',
          message: `Cannot append version 1 of "${name}": the store "${path}" did not answer within 500 ms`,
        },
      })
    }
    expect(await store.head()).toEqual({ revision: 0, audit: null })
    held.release()
    // The writer looks again for the lock now and then; until it has it, it may be too late with an answer.
    const committed = await vi.waitFor(() => store.committed([1, 2]), { timeout: 30_000 })
    expect(committed).toEqual(new Set([1]))
    expect(await store.find('begun')).toBeDefined()
    expect(await store.find('queued')).toBeUndefined()
  })

  test('check and committed do not answer either', async () => {
    await using made = await makeStore({ waitMs: 100 })
    using held = holdLock(made.path)
    const unavailable = { code: 'store_unavailable' }
    await expect(made.store.check()).rejects.toMatchObject(unavailable)
    await expect(made.store.committed([1])).rejects.toMatchObject(unavailable)
    held.release()
  })

  test('no more changes wait than were agreed', async () => {
    await using made = await makeStore({ maxWaiting: 3 })
    using held = holdLock(made.path)
    const changes = [append(made.store, 'a', 1)]
    await handedOver()
    for (const intent of [2, 3, 4]) changes.push(append(made.store, `a${intent}`, intent))
    await expect(append(made.store, 'one too many', 5)).rejects.toMatchObject({
      code: 'overloaded',
      message: 'Cannot append version 1 of "one too many": 3 changes wait already',
    })
    const committed = made.store.committed([1, 2, 3, 4, 5])
    held.release()
    expect(await Promise.all(changes)).toEqual([1, 2, 3, 4])
    expect(await committed).toEqual(new Set([1, 2, 3, 4]))
  })

  test('SQLite gives up in the end, and the next change is done', async () => {
    await using made = await makeStore()
    using held = holdLock(made.path)
    await expect(append(made.store, 'a', 1)).rejects.toMatchObject({
      code: 'store_unavailable',
      message: expect.stringContaining('is held by another program (SQLITE_BUSY)') as string,
    })
    held.release()
    expect(await append(made.store, 'a', 2)).toBe(1)
  })

  test('close does not wait for ever', async () => {
    await using made = await makeStore({ waitMs: 100 })
    using held = holdLock(made.path)
    const change = append(made.store, 'a', 1).catch((error: unknown) => error)
    await handedOver()
    await made.store.close()
    expect(await change).toMatchObject({ code: 'store_unavailable' })
    held.release()
  })
})

describe('when the writer is gone', () => {
  test.each<[string, (worker: Worker) => unknown, string]>([
    ['was ended', (worker) => worker.terminate(), 'it ended with code 1'],
    ['crashed', (worker) => worker.postMessage({ ops: 'none' }, []), 'TypeError'],
  ])('because it %s, every verb says so', async (_, end, reason) => {
    const tap = tapped()
    await using made = await makeStore(tap.options)
    const { store } = made
    await append(store, 'a', 1)
    end(tap.worker())
    const failed = {
      name: 'SottoError',
      code: 'store_unavailable',
      message: expect.stringMatching(new RegExp(`writer stopped: .*${reason}`)) as string,
    }
    await expect(append(store, 'b', 2)).rejects.toMatchObject(failed)
    await expect(store.check()).rejects.toMatchObject(failed)
    await expect(store.find('a')).rejects.toMatchObject(failed)
    await expect(store.list()).rejects.toMatchObject(failed)
    await expect(store.committed([1])).rejects.toMatchObject(failed)
    await expect(store.remember({ id: 9, hash: 'x' })).rejects.toMatchObject(failed)
    await expect(store.close()).resolves.toBeUndefined()
  })
})

describe('a batch', () => {
  const place = { name: 'a', incarnation: 1, version: 1 }
  const megabytes = (text: string): Uint8Array => new Uint8Array(5_000_000).fill(text.length)

  test.each([
    ['appended versions', (store: Store, n: number) => append(store, `n${n}`, n, 5_000_000)],
    [
      'moved values',
      (store: Store, n: number) => {
        const row = withMac({ ...place, active: 1, highest: 1, versions: [1], removed: [] })
        const moved = { ...sealedVersion(1), sealed: megabytes('moved'), backend: 1 }
        return store.rehome(changeTo(n, row, row), [moved], false)
      },
    ],
    [
      'data keys',
      (store: Store, n: number) => {
        const moved = { ...place, expected: megabytes('one'), wrappedKey: megabytes('other') }
        return store.moveKeys({ intent: { id: n, hash: hashOf(n) }, by: 'root', at: '' }, 2, [
          moved,
        ])
      },
    ],
    [
      'backends',
      (store: Store, n: number) => {
        const backend = { ...stored, id: n, name: `${n}`, mac: megabytes('mac') }
        const change = { intent: { id: n, hash: hashOf(n) }, by: alice, at: '' }
        return store.saveBackend(change, { backend, expected: null })
      },
    ],
  ])('is bounded by the bytes of its ops: %s', async (_, change) => {
    const { options, worker } = tapped()
    await using made = await makeStore(options)
    const batches: number[] = []
    const post = worker().postMessage.bind(worker())
    worker().postMessage = (message: { ops?: unknown[] }, moved) => {
      if (message.ops) batches.push(message.ops.length)
      post(message, moved as ArrayBuffer[])
    }
    await Promise.allSettled([1, 2, 3].map((n) => change(made.store, n)))
    expect(batches).toEqual([1, 1, 1])
  })
})

describe('when there is no room', () => {
  test('a change is refused whole, smaller ones are done, and room made is used', async () => {
    await using made = await makeStore({ maxBytes: 375_000 })
    const { store, hand } = made
    await append(store, 'kept', 1, 150_000)
    const before = await store.head()
    const full = {
      code: 'store_unavailable',
      message: expect.stringContaining('the disk is full (SQLITE_FULL)') as string,
      hint: 'Free space on the disk of the store.',
    }
    await expect(append(store, 'large', 2, 250_000)).rejects.toMatchObject(full)
    expect(await store.head()).toEqual(before)
    expect(await store.find('large')).toBeUndefined()
    const together = await Promise.allSettled([
      append(store, 'small', 3),
      append(store, 'large', 4, 250_000),
      append(store, 'small too', 5),
    ])
    expect(together).toMatchObject([
      { status: 'fulfilled', value: 2 },
      { status: 'rejected', reason: full },
      { status: 'fulfilled', value: 3 },
    ])
    hand.intent = 5
    await hand.remove('kept')
    expect(await append(store, 'large', 7, 150_000)).toBe(5)
    expect(await store.head()).toEqual({ revision: 5, audit: { id: 7, hash: hashOf(7) } })
    await expect(store.check()).resolves.toBeUndefined()
  })
})

test('changes that come together share a transaction', async () => {
  const tap = tapped()
  await using made = await makeStore(tap.options)
  let answers = 0
  tap.worker().on('message', () => answers++)
  const changes = Array.from({ length: 200 }, (_, index) =>
    append(made.store, `a/${index}`, index + 1),
  )
  await Promise.all(changes)
  expect(answers).toBe(1)
})

test('large changes that come together are all done', async () => {
  await using made = await makeStore()
  const changes = Array.from({ length: 12 }, (_, index) =>
    append(made.store, `a/${index}`, index + 1, 1_500_000),
  )
  expect(await Promise.all(changes)).toEqual(Array.from(changes, (_, index) => index + 1))
})

test('asking what was committed is a write, which takes the place of one that failed', async () => {
  await using made = await makeStore()
  await append(made.store, 'a', 1)
  const beside = new Database(made.path, { readonly: true })
  const before = beside.pragma('data_version', { simple: true })
  expect(await made.store.committed([2])).toEqual(new Set())
  expect(beside.pragma('data_version', { simple: true })).not.toBe(before)
  beside.close()
})

test('check tells a file that was replaced, and one that is gone', async () => {
  await using made = await makeStore()
  await expect(made.store.check()).resolves.toBeUndefined()
  renameSync(made.path, `${made.path}.away`)
  await expect(made.store.check()).rejects.toMatchObject({ code: 'no_store' })
  writeFileSync(made.path, 'another file')
  await expect(made.store.check()).rejects.toMatchObject({
    code: 'store_unavailable',
    message: expect.stringContaining('was replaced by another') as string,
  })
})
