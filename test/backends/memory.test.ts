import { canonical } from '../../server/backends/content.ts'
import { backendContract } from '../contract/backend.ts'
import { MemoryBackend, ownerOf, SharedMemory } from '../support/memory-backend.ts'

backendContract('the memory of a test', async () => {
  const shared = new SharedMemory()
  const revisionOf = (name: string): number => shared.projections.get(name)?.revision ?? 0
  return {
    backend: new MemoryBackend(ownerOf('one'), shared),
    again: new MemoryBackend(ownerOf('one'), shared),
    sibling: new MemoryBackend(ownerOf('one', { backend: 2 }), shared),
    successor: new MemoryBackend(
      ownerOf('one', { branch: 'c'.repeat(16), former: ['b'.repeat(16)] }),
      shared,
    ),
    stray: new MemoryBackend(ownerOf('one', { branch: 'd'.repeat(16) }), shared),
    other: new MemoryBackend(ownerOf('two'), shared),
    marks: true,
    takesBytes: 760 * 1024,
    secrets: [],
    async write(name, fields) {
      const content = canonical(fields)
      shared.projections.set(name, { revision: revisionOf(name) + 1, content })
    },
    async deleteNewest(name) {
      shared.projections.set(name, { revision: revisionOf(name) })
    },
    async deleteLeaf({ name, version }) {
      const stored = shared.leaves.get(JSON.stringify([name, version]))
      if (stored) stored.value = undefined
    },
    async [Symbol.asyncDispose]() {},
  }
})
