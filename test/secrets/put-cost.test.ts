/** What a put costs a server: how often it reads the secret, and what it wakes. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { BackendRegistry } from '../../server/backends/registry.ts'
import { SecretCache } from '../../server/catalog/cache.ts'
import { Scheduler } from '../../server/jobs/scheduler.ts'
import { MemoryBackend } from '../support/memory-backend.ts'
import { mirroredBackend, ORIGIN } from '../support/backend-spec.ts'
import { bytes, type Service, startService } from '../support/service.ts'

let service: Service

beforeEach(async () => {
  service = await startService(
    { openBackend: (_, { owner }) => new MemoryBackend(owner) },
    { backendOrigins: [ORIGIN] },
  )
})

afterEach(async () => {
  vi.restoreAllMocks()
  await service[Symbol.asyncDispose]()
})

test('a put reads its secret once, and without a mirror wakes nothing and reads no backends', async () => {
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  const reads = vi.spyOn(SecretCache.prototype, 'read')
  const backends = vi.spyOn(BackendRegistry.prototype, 'read')
  const wakes = vi.spyOn(Scheduler.prototype, 'wake')
  expect(await client.put('prod/a', bytes('two'))).toBe(2)
  expect(reads).toHaveBeenCalledTimes(1)
  await client.put('prod/b', bytes('new'))
  await client.operate('job-run', { Name: 'mirror' })
  expect(backends).not.toHaveBeenCalled()
  expect(wakes).not.toHaveBeenCalled()
})

test('with a mirror, setting it up and a put wake its job', async () => {
  const client = service.client()
  await client.put('backends/vault', bytes('token'))
  const wakes = vi.spyOn(Scheduler.prototype, 'wake')
  const mirror = {
    secrets: ['prod/*'],
    history: 'none',
    onDrift: 'report',
    onDelete: 'keep',
  } as const
  await client.operate(
    'backend-create',
    mirroredBackend(ORIGIN, { ...mirror, secrets: ['prod/*'] }),
  )
  expect(wakes.mock.calls).toEqual([['mirror']])
  await client.put('prod/a', bytes('one'))
  expect(wakes.mock.calls).toEqual([['mirror'], ['mirror']])
})
