/** A secret is moved back to a backend from which its values are still being removed. */
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Leaf } from '../../server/backends/contract.ts'
import { DOUBT_MS } from '../../server/secrets/doubts.ts'
import type { Timers } from '../../client/platform/timers.ts'
import { ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, startService } from '../support/service.ts'
import { spec } from './elsewhere.ts'

const name = 'app/key'
const text = (value: Uint8Array): string => Buffer.from(value).toString()

/** A server with the backends `one` and `two`, and a secret that was moved from the first to the second, which has a value of it yet. */
async function startMoved(timers?: Timers) {
  const places = new Map<string, SharedMemory>()
  const hooks: { afterRead?: ((leaf: Leaf) => Promise<void>) | undefined; removes: boolean } = {
    removes: false,
  }
  const service = await startService(
    {
      ...(timers && { timers }),
      openBackend({ pathPrefix }, { owner }) {
        const place = places.get(pathPrefix) ?? new SharedMemory()
        place.identity = pathPrefix
        places.set(pathPrefix, place)
        const isFirst = pathPrefix.endsWith('one')
        place.before = (method) => {
          if (method !== 'removeLeaf' || !isFirst || hooks.removes) return
          throw new SottoError('backend_unavailable', 'Cannot remove it: no answer in time')
        }
        const backend = new MemoryBackend(owner, place)
        const readLeaf = backend.readLeaf.bind(backend)
        backend.readLeaf = async (leaf) => {
          const found = await readLeaf(leaf)
          if (isFirst) await hooks.afterRead?.(leaf)
          return found
        }
        return backend
      },
    },
    { backendOrigins: [ORIGIN] },
  )
  const client = service.client()
  await client.put('backends/token', bytes('token'))
  for (const each of ['one', 'two']) await client.operate('backend-create', spec(each))
  await client.put(name, bytes('the value'))
  const move = (From: string, To: string) =>
    client.operate('migrate-secret', { Name: name, From, To, KeepSource: false })
  await move('default', 'one')
  expect(await move('one', 'two')).toMatchObject({
    Result: 'migrated',
    Reason: expect.stringContaining('it waits to be removed') as string,
  })
  return { service, client, move, hooks, places }
}

test('D5: what a move has written is not taken for what an earlier one left', async () => {
  // No removal is in doubt any more.
  let ahead = 0
  const timers: Timers = {
    now: () => performance.now() + ahead,
    after(ms, act) {
      const timer = setTimeout(act, ms)
      return () => clearTimeout(timer)
    },
  }
  const { service, client, move, hooks, places } = await startMoved(timers)
  await using _ = service
  const clear = () => client.operate('job-run', { Name: 'backends' })
  expect(await clear()).toMatchObject({ LastResult: 'failed' })
  ahead = DOUBT_MS
  let runs = 0
  hooks.afterRead = async () => {
    hooks.afterRead = undefined
    hooks.removes = true
    runs++
    await clear()
  }
  expect(await move('two', 'one')).toEqual({ Result: 'migrated', Versions: 1 })
  expect(runs).toBe(1)
  expect(text((await client.get(name)).Value)).toBe('the value')
  expect([...places].map(([at, { leaves }]) => [at, leaves.size])).toEqual([
    ['sotto/one', 1],
    ['sotto/two', 0],
  ])
})

test('D5: nothing is brought back to where a removal may still come about', async () => {
  const { service, client, move, places } = await startMoved()
  await using _ = service
  await expect(move('two', 'one')).rejects.toMatchObject({
    code: 'backend_unavailable',
    message: expect.stringContaining('which may still happen') as string,
  })
  // It comes about.
  places.get('sotto/one')?.leaves.clear()
  expect(text((await client.get(name)).Value)).toBe('the value')
  expect(await move('two', 'default')).toMatchObject({ Result: 'migrated' })
  expect(text((await client.get(name)).Value)).toBe('the value')
})
