/** Backends that are in use while their settings change: no call is cut off by that. */
import { expect, test } from 'vitest'
import { BackendMetrics } from '../../server/backends/metrics.ts'
import { OpenBackends } from '../../server/backends/opened.ts'
import type { BackendRecord, BackendRegistry } from '../../server/backends/registry.ts'
import { Registry } from '../../server/metrics/registry.ts'
import type { Adoption } from '../../server/store/adoption.ts'
import { MemoryBackend, ownerOf, SharedMemory } from '../support/memory-backend.ts'

const origin = 'https://bao.example.com:8200'

/** Backends that tell when they are closed, and whose reads end when the test says. */
function world() {
  const shared = new SharedMemory()
  const closed: number[] = []
  let opened = 0
  const config = { url: origin, mount: 'secret', pathPrefix: 'sotto' } as BackendRecord['config']
  let record = {
    id: 1,
    name: 'vault',
    config,
    mac: Buffer.from('first'),
  } as unknown as BackendRecord
  const gates: PromiseWithResolvers<number[]>[] = []
  const open = new OpenBackends({
    registry: {
      all: async () => [record],
      find: async () => record,
    } as unknown as BackendRegistry,
    owner: ownerOf('a'.repeat(32)),
    adoption: {} as Adoption,
    knows: async () => true,
    origins: [origin],
    credential: async () => '',
    open: (_, { owner }) => {
      const number = ++opened
      return Object.assign(new MemoryBackend(owner, shared), {
        leaves: () => {
          if (closed.includes(number)) throw new Error('it is closed')
          const gate = Promise.withResolvers<number[]>()
          gates.push(gate)
          return gate.promise.then((found) => {
            if (closed.includes(number)) throw new Error('it was closed meanwhile')
            return found
          })
        },
        close: async () => void closed.push(number),
      })
    },
    metrics: new BackendMetrics(new Registry()),
  })
  return {
    open,
    closed,
    gates,
    read: () => open.use(1, (backend) => backend.leaves('a')),
    change: (more: Partial<BackendRecord>, mac: string) => {
      record = { ...record, ...more, mac: Buffer.from(mac) }
    },
    config,
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}

test('A5: a root key that is replaced closes no backend: its record has another MAC, and is the same', async () => {
  const { open, closed, gates, read, change } = world()
  const first = read()
  await turns()
  change({ secrets: 3 }, 'by another root key')
  const second = read()
  await turns()
  for (const gate of gates) gate.resolve([1])
  expect(await Promise.all([first, second])).toEqual([[1], [1]])
  expect(closed).toEqual([])
  await open.close()
  expect(closed).toEqual([1])
})

test('A5: settings that change close a backend after the calls under way, whose token it has', async () => {
  const { open, closed, gates, read, change, config } = world()
  const first = read()
  await turns()
  change({ config: { ...config, mount: 'other' } }, 'second')
  const second = read()
  await turns()
  expect([gates.length, closed]).toEqual([2, []])
  for (const gate of gates) gate.resolve([1])
  expect(await Promise.all([first, second])).toEqual([[1], [1]])
  expect(closed).toEqual([1])
  // One that nobody uses goes at once; a word of an operator is enough to have it opened again.
  change({ description: 'opened again' }, 'third')
  const third = read()
  await turns()
  expect(closed).toEqual([1, 2])
  gates.at(-1)?.resolve([])
  await third
  await open.close()
})
