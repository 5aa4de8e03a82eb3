import { execFileSync } from 'node:child_process'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import type { KeyChange, StoredWrap } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { alice, bytes, hashOf, timeOf } from '../contract/store-states.ts'
import { type Made, makeStore } from './made.ts'

/**
 * All bytes of the store's files. Another process reads them: were this one to open and close a
 * file that SQLite has open here, the kernel would let go of SQLite's locks on it.
 */
function onDisk({ directory }: Made): string {
  const files = readdirSync(directory).map((name) => join(directory, name))
  return execFileSync('cat', files, { encoding: 'latin1', maxBuffer: 64 * 1024 * 1024 })
}

async function appendMarked({ hand }: Made, name: string, marker: string): Promise<void> {
  const version = ((await hand.store.find(name))?.highest ?? 0) + 1
  const sealed = bytes(`<${marker}>`.repeat(version * 20))
  const wrappedKey = bytes(`[${marker}]`)
  await hand.append(name, { sealed: { version, keyId: 1, wrappedKey, sealed } })
}

test('erased bytes leave the files of an open store soon, small and large', async () => {
  await using made = await makeStore()
  for (let version = 1; version <= 30; version++) {
    await appendMarked(made, 'a', `kept-${version}`)
    await appendMarked(made, 'b', `gone-${version}`)
    await appendMarked(made, 'c', `gone too-${version}`)
  }
  expect(onDisk(made)).toContain('gone-7')
  for (let version = 2; version <= 30; version++) await made.hand.removeVersion('b', version)
  await made.hand.remove('c')
  await vi.waitFor(() => expect(onDisk(made)).not.toMatch(/[<[]gone-([2-9]|\d\d)|gone too/), {
    timeout: 30_000,
    interval: 100,
  })
  const left = onDisk(made)
  for (let version = 1; version <= 30; version++) expect(left).toContain(`<kept-${version}>`)
  expect(left).toContain('<gone-1>')
})

test('an erased entry of the keyring takes with it what it wrapped, in all files', async () => {
  await using made = await makeStore()
  const { store, hand } = made
  for (let count = 1; count <= 60; count++) {
    // Values of many sizes: rows are rewritten in place, elsewhere, and with pages of their own.
    const sealed = bytes('<kept>'.repeat(count ** 2))
    const wrappedKey = bytes(`[gone-${count}]`)
    await hand.append(`s/${count}`, { sealed: { version: 1, keyId: 1, wrappedKey, sealed } })
  }
  const stamp = (): KeyChange => ({
    intent: { id: ++hand.intent, hash: hashOf(hand.intent) },
    by: alice,
    at: timeOf(hand.intent),
  })
  const moved = (await store.wrappedBy(1, 0, 100)).map(({ name, version, wrappedKey }) => ({
    name,
    version,
    expected: wrappedKey,
    wrappedKey: bytes(`[new ${name}]`),
  }))
  expect(await store.moveKeys(stamp(), 2, moved)).toMatchObject({ count: 60 })
  expect(onDisk(made)).toContain('[gone-60]')
  expect(onDisk(made)).toContain('key 1')
  await store.eraseKey(stamp(), 1)
  await vi.waitFor(() => expect(onDisk(made)).not.toMatch(/gone-|key 1/), {
    timeout: 30_000,
    interval: 100,
  })
  expect(onDisk(made)).toContain('key 2')
  expect((await store.read('s/60', 0))?.version?.sealed).toEqual(bytes('<kept>'.repeat(3600)))
})

test('a wrap that was made anew leaves nothing of the one before', async () => {
  await using made = await makeStore()
  const { store } = made
  const [wrap] = (await store.keys()).wraps as [StoredWrap]
  const change = { intent: { id: 1, hash: hashOf(1) }, by: 'root', at: timeOf(1) }
  await store.replaceWrap(change, { ...wrap, wrapped: bytes('anew') }, wrap.wrapped)
  await vi.waitFor(() => expect(onDisk(made)).not.toContain('wrapped by local'), {
    timeout: 30_000,
    interval: 100,
  })
})

test('erased bytes that a crash left in the log leave it when the store is opened', async () => {
  let worker: Worker | undefined
  await using made = await makeStore({
    startWriter: (script, options) => {
      worker = new Worker(script, options)
      return worker
    },
  })
  await appendMarked(made, 'a', 'kept')
  await appendMarked(made, 'a', 'gone')
  await made.hand.removeVersion('a', 2)
  await worker?.terminate()
  await made.store.close()
  expect(onDisk(made)).toContain('<gone>')
  const again = await openStore(made.path)
  expect(onDisk(made)).not.toContain('gone')
  expect(onDisk(made)).toContain('<kept>')
  await again.close()
})

test('erased bytes are in no snapshot, and snapshots that a crash left go when the store is opened', async () => {
  await using made = await makeStore()
  for (let version = 1; version <= 30; version++) {
    await appendMarked(made, 'a', `kept-${version}`)
    await appendMarked(made, 'b', `gone-${version}`)
  }
  for (let version = 2; version <= 30; version++) await made.hand.removeVersion('b', version)
  // Before the log was emptied: the snapshot is of pages, wherever they are.
  {
    await using snapshot = await made.store.snapshot()
    const copied = execFileSync('cat', [snapshot.path], {
      encoding: 'latin1',
      maxBuffer: 64 * 1024 * 1024,
    })
    expect(copied).not.toMatch(/[<[]gone-([2-9]|\d\d)/)
    for (let version = 1; version <= 30; version++) expect(copied).toContain(`<kept-${version}>`)
  }
  await made.store.close()
  for (const ending of ['', '-wal']) {
    writeFileSync(`${made.path}.0123abcd.snapshot${ending}`, 'left')
  }
  writeFileSync(`${made.path}.other`, 'kept')
  await (await openStore(made.path)).close()
  expect(readdirSync(made.directory).toSorted()).toEqual(['store.db', 'store.db.other'])
})

test('after a snapshot that was broken off, the log of the store is emptied as before', async () => {
  await using made = await makeStore()
  for (let count = 0; count < 40; count++) {
    const sealed = {
      version: 1,
      keyId: 1,
      wrappedKey: bytes('k'),
      sealed: bytes('x'.repeat(500_000)),
    }
    await made.hand.append(`big/${count}`, { sealed })
  }
  const stop = new AbortController()
  const seen: number[] = []
  await expect(
    made.store.snapshot({
      signal: stop.signal,
      progress: (done) => {
        seen.push(done)
        stop.abort()
      },
    }),
  ).rejects.toMatchObject({ code: 'local' })
  expect(seen).not.toEqual([])
  expect(readdirSync(made.directory).filter((name) => name.endsWith('.snapshot'))).toEqual([])
  await made.hand.remove('big/1')
  await vi.waitFor(() => expect(statSync(`${made.path}-wal`).size).toBe(0), { timeout: 30_000 })
})
