import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { openStore } from '../../server/store/sqlite/store.ts'
import { bytes } from '../contract/store-states.ts'
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
    timeout: 10_000,
    interval: 100,
  })
  const left = onDisk(made)
  for (let version = 1; version <= 30; version++) expect(left).toContain(`<kept-${version}>`)
  expect(left).toContain('<gone-1>')
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
