/** A backend that hung and is back: nobody who comes after that is answered by what was asked before it. */
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Backend } from '../../server/backends/contract.ts'
import { BackendMetrics } from '../../server/backends/metrics.ts'
import { OpenBackends } from '../../server/backends/opened.ts'
import type { BackendRegistry } from '../../server/backends/registry.ts'
import { Registry } from '../../server/metrics/registry.ts'
import { shared } from '../../server/platform/turns.ts'
import type { Adoption } from '../../server/store/adoption.ts'
import { MemoryBackend, ownerOf } from '../support/memory-backend.ts'

const late = () => new SottoError('backend_unavailable', 'it did not answer within 10000 ms')
const leaf = { name: 'a', incarnation: 1, version: 1 }

/** Calls of one method that hang, in the order in which they came; they fail when a test says so. */
type Hung = PromiseWithResolvers<never>[]

function open() {
  const memory = new MemoryBackend(ownerOf('id'))
  const hung: Record<'readLeaf' | 'identity' | 'readClaim', Hung> = {
    readLeaf: [],
    identity: [],
    readClaim: [],
  }
  const state = { hangs: false }
  const asked: string[] = []
  const backend = new Proxy<Backend>(memory, {
    get(_, method: keyof Backend) {
      const found = memory[method]
      if (typeof found !== 'function') return found
      return (...args: unknown[]) => {
        asked.push(method)
        if (!state.hangs || !(method in hung)) return Reflect.apply(found, memory, args)
        const call = Promise.withResolvers<never>()
        hung[method as 'identity'].push(call)
        return call.promise
      }
    },
  })
  const record = {
    id: 1,
    name: 'vault',
    mac: new Uint8Array([1]),
    config: { url: 'https://bao.example.com:8200' },
  }
  const backends = new OpenBackends({
    registry: {
      find: async () => record,
      all: async () => [record],
    } as unknown as BackendRegistry,
    owner: ownerOf('id'),
    adoption: { demand: () => {}, start: { number: 1, record: 'r' } } as unknown as Adoption,
    knows: async () => true,
    origins: ['https://bao.example.com:8200'],
    credential: async () => 'token',
    open: () => backend,
    metrics: new BackendMetrics(new Registry()),
    // A clock that stands: whatever counts by time alone never ends.
    now: () => 0,
  })
  return {
    hung,
    asked,
    read: () => backends.use(1, (each) => each.readLeaf(leaf)),
    write: () => backends.change(1, (each) => each.writeLeaf(leaf, Buffer.from('one'))),
    hang: () => void (state.hangs = true),
    recover: () => void (state.hangs = false),
  }
}

async function came(calls: Hung, count = 1): Promise<PromiseWithResolvers<never>> {
  await expect.poll(() => calls.length).toBe(count)
  return calls[count - 1] as PromiseWithResolvers<never>
}

/** The same, while a call from before hangs. */
async function hanging() {
  const world = open()
  world.hang()
  const before = world.read()
  return { ...world, before, call: await came(world.hung.readLeaf) }
}

test('R12: once a call has failed, the next one asks again', async () => {
  const { before, call, recover, read } = await hanging()
  recover()
  call.reject(late())
  await expect(before).rejects.toMatchObject({ code: 'backend_unavailable' })
  expect(await read()).toBeUndefined()
})

test('R12: a call that hung from before fails late, and takes nobody along who came since', async () => {
  const { before, call, recover, read } = await hanging()
  recover()
  expect(await read()).toBeUndefined()
  call.reject(late())
  await expect(before).rejects.toMatchObject({ code: 'backend_unavailable' })
  expect(await read()).toBeUndefined()
})

test('R12: while it is down one look at a time asks, and each caller has the end of one that began after it', async () => {
  const { hung, asked, hang, recover, read } = open()
  hang()
  const first = read()
  const call = await came(hung.readLeaf)
  call.reject(late())
  await expect(first).rejects.toMatchObject({ code: 'backend_unavailable' })
  const second = read()
  const look = await came(hung.identity)
  const others = [read(), read()]
  recover()
  look.reject(late())
  await expect(second).rejects.toMatchObject({ code: 'backend_unavailable' })
  expect(await Promise.all(others)).toEqual([undefined, undefined])
  expect(asked.filter((method) => method === 'identity')).toHaveLength(2)
})

test('R12: who waits for a look is counted: no more than 64 wait', async () => {
  const { hung, hang, recover, read } = open()
  hang()
  const first = read()
  const call = await came(hung.readLeaf)
  call.reject(late())
  await expect(first).rejects.toMatchObject({ code: 'backend_unavailable' })
  const waiting = Array.from({ length: 64 }, read)
  const look = await came(hung.identity)
  await expect(read()).rejects.toThrow('64 calls wait for it already')
  recover()
  look.reject(late())
  const ends = await Promise.allSettled(waiting)
  expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(63)
})

test('R12: whose the place is, is asked again for who came after the question', async () => {
  const { hung, hang, recover, write } = open()
  hang()
  const first = write()
  const claim = await came(hung.readClaim)
  const second = write()
  recover()
  claim.reject(late())
  await expect(first).rejects.toMatchObject({ code: 'backend_unavailable' })
  expect(await second).toBe('written')
})

test('R12: what is shared is shared when it succeeds; its failure is for those who were there at its begin', async () => {
  const runs: PromiseWithResolvers<string>[] = []
  const share = shared(() => {
    const run = Promise.withResolvers<string>()
    runs.push(run)
    return run.promise
  })
  const [first, second] = [share(), share()]
  runs[0]?.resolve('one')
  expect(await Promise.all([first, second])).toEqual(['one', 'one'])
  const [third, fourth, fifth] = [share(), share(), share()]
  runs[1]?.reject(new Error('late'))
  await expect(third).rejects.toThrow('late')
  runs[2]?.resolve('two')
  expect(await Promise.all([fourth, fifth])).toEqual(['two', 'two'])
  expect(runs).toHaveLength(3)
})
