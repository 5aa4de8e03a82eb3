import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { createStore, openStore } from '../../server/store/sqlite/store.ts'
import { sealedVersion, seed } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const script = new URL('append-child.ts', import.meta.url).pathname

/** Runs the child until it told of `count` versions, then kills it. Returns the last that it told. */
async function appendAndKill(path: string, count: number): Promise<number> {
  const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let last = 0
  let told = -1
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line) || last
    if (++told === count) child.kill('SIGKILL')
  }
  await exited
  expect(child.signalCode).toBe('SIGKILL')
  return last
}

test('what was answered is there after the process was killed, and nothing is half there', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'store.db')
  createStore(path, seed)
  for (const count of [1, 7, 40]) {
    const last = await appendAndKill(path, count)
    const store = await openStore(path)
    const row = await store.find('a')
    // One more may have been committed without the answer having come out.
    expect([last, last + 1]).toContain(row?.highest)
    expect((await store.head()).revision).toBe(row?.highest)
    for (const version of row?.versions ?? []) {
      expect((await store.read('a', version))?.version).toMatchObject({
        sealed: sealedVersion(version).sealed,
      })
    }
    await store.close()
  }
})
