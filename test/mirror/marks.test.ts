/** Which marks a mirror takes for its own: those that this server's store can have written, and no others. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Client } from '../../client/client.ts'
import type { Mark, Projection } from '../../server/backends/contract.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { bytes, type Service, startService } from '../support/service.ts'

const ORIGIN = 'http://127.0.0.1:9'

let shared: SharedMemory
let service: Service
let client: Client

beforeEach(async () => {
  shared = new SharedMemory()
  service = await startService(
    { openBackend: (_, { owner }) => new MemoryBackend(owner, shared) },
    { backendOrigins: [ORIGIN] },
  )
  client = service.client()
  await client.put('backends/vault', bytes('token'))
  const mirror = { secrets: ['prod/*'], onDrift: 'overwrite', onDelete: 'remove' } as const
  const spec = { ...mirror, secrets: [...mirror.secrets] }
  await client.operate('backend-create', mirroredBackend(ORIGIN, spec))
  await client.put('prod/a', bytes('one'))
  await sync()
})

afterEach(() => service[Symbol.asyncDispose]())

async function sync(): Promise<void> {
  await client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false })
}

async function drift(): Promise<string[]> {
  const [status] = await client.operate('mirror-status', { Backend: 'vault' })
  return (status?.Items ?? []).map(({ State, Reason }) => `${State}: ${Reason}`)
}

/** Puts what is shown there again, as revision 2, with another mark: its fingerprint is as good as ever. */
function again(change: Partial<Mark>): Projection {
  const { content, mark } = shared.projections.get('prod/a') ?? {}
  if (!content || !mark) throw new Error('nothing is shown')
  const written = { revision: 2, content, mark: { ...mark, ...change } }
  shared.projections.set('prod/a', written)
  return written
}

const strange = 'drift: another branch or a copy of this store wrote it there'

test.each<[string, Partial<Mark>]>([
  ['a revision that this store never gave', {}],
  ['a start that it never made', { start: 99 }],
  ['another branch', { branch: 'd'.repeat(16) }],
  ['a branch of an earlier release, which it never was', { branch: '0'.repeat(16), start: 0 }],
])('A6: a mark of %s is drift, and is neither overwritten nor removed', async (_, change) => {
  const written = again(change)
  await client.activate('prod/a', await client.put('prod/a', bytes('two')))
  await sync()
  expect(await drift()).toEqual([strange])
  await client.delete('prod/a')
  await sync()
  expect(await drift()).toEqual([strange])
  expect(shared.projections.get('prod/a')).toEqual(written)
})

test('A6: what another branch wrote is taken over by an operator who says so, for one sync', async () => {
  again({ branch: 'd'.repeat(16) })
  await client.activate('prod/a', await client.put('prod/a', bytes('two')))
  await client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false, OnDrift: 'adopt' })
  expect(await drift()).toEqual([])
  expect(String(shared.projections.get('prod/a')?.content)).toBe('{"value":"two"}')
})
