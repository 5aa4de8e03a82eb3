import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import type { OpenOptions } from '../../server/store/sqlite/store.ts'
import { makeStore } from './made.ts'

/** A message of no reads that holds up the thread which gets it, as a disk without an answer would. */
const holdUp = Object.assign([], { holdUp: true })

/** Keeps hold of the reader's thread, and of a gate that it can be held up at. */
function tapped(): { options: OpenOptions; worker: () => Worker; open: () => void } {
  let worker: Worker | undefined
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const preface = `
    const { parentPort, workerData } = require('node:worker_threads')
    parentPort.on('message', (message) => {
      if (message.holdUp) Atomics.wait(workerData.gate, 0, 0)
    })
    import(workerData.script)`
  return {
    options: {
      startReader: (script, options) => {
        const workerData = { ...(options.workerData as object), gate, script: script.href }
        worker = new Worker(preface, { ...options, workerData, eval: true })
        return worker
      },
    },
    worker: () => worker as Worker,
    open: () => {
      Atomics.store(gate, 0, 1)
      Atomics.notify(gate, 0)
    },
  }
}

describe('while the reader is held up', () => {
  test('reads are given up in time, changes are made, and reads go on after it', async () => {
    const tap = tapped()
    await using made = await makeStore({ ...tap.options, waitMs: 300 })
    const { store, hand, path } = made
    await hand.append('a')
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    tap.worker().postMessage(holdUp)
    const reads = await Promise.allSettled([
      store.read('a', 0),
      store.find('b'),
      store.head(),
      store.list(),
      store.history('a'),
      store.check(),
    ])
    for (const [index, attempt] of [
      'read "a"',
      'find "b"',
      'read its head',
      'list the secrets',
      'read the history of "a"',
      'read its head',
    ].entries()) {
      expect(reads[index]).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'store_unavailable',
          message: `Cannot ${attempt}: the store "${path}" did not answer within 300 ms`,
        },
      })
    }
    expect(await store.committed([1])).toEqual(new Set([1]))
    tap.open()
    expect((await store.read('a', 0))?.version?.version).toBe(1)
    expect(await store.list()).toHaveLength(1)
  })

  test('E1: walks that were given up are not gone on with, so that those who come later do not wait for them', async () => {
    const tap = tapped()
    await using made = await makeStore({ ...tap.options, waitMs: 300 })
    const { store, hand } = made
    await hand.append('a')
    let slices = 0
    tap.worker().on('message', (answers: readonly object[]) => {
      slices += answers.filter((answer) => 'slice' in answer).length
    })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    tap.worker().postMessage(holdUp)
    const given = await Promise.allSettled(Array.from({ length: 50 }, () => store.list()))
    expect(given.map(({ status }) => status)).toEqual(Array.from(given, () => 'rejected'))
    tap.open()
    expect((await store.find('a'))?.name).toBe('a')
    await expect.poll(async () => (await store.list()).length).toBe(1)
    // The first may have begun before the reader heard that it was given up.
    expect(slices).toBeLessThan(10)
  })

  test('close does not wait for ever', async () => {
    const tap = tapped()
    await using made = await makeStore({ ...tap.options, waitMs: 100 })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    tap.worker().postMessage(holdUp)
    const read = made.store.find('a').catch((error: unknown) => error)
    await made.store.close()
    expect(await read).toMatchObject({ code: 'store_unavailable' })
    tap.open()
  })
})

test('when the reader is gone, every read says so', async () => {
  const tap = tapped()
  await using made = await makeStore(tap.options)
  const { store } = made
  await tap.worker().terminate()
  const failed = {
    name: 'SottoError',
    code: 'store_unavailable',
    message: expect.stringContaining('its reader stopped: it ended with code 1') as string,
    hint: 'Restart the server.',
  }
  await expect(store.find('a')).rejects.toMatchObject(failed)
  await expect(store.list()).rejects.toMatchObject(failed)
  await expect(store.check()).rejects.toMatchObject(failed)
  await expect(store.close()).resolves.toBeUndefined()
})
