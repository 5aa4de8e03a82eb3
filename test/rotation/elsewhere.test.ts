/** A rotation of a secret that lives in a backend, which may be away in the middle of a run. */
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, startService } from '../support/service.ts'
import { generated, LONG, reaches, round, statusOf } from './support.ts'

test('a secret in a backend rotates; while that is away the old version stays the active one', async () => {
  const shared = new SharedMemory()
  let isAway = false
  shared.before = () => {
    if (isAway) throw new SottoError('backend_unavailable', 'Cannot reach it: it is away')
  }
  await using service = await startService(
    { openBackend: (_, { owner }) => new MemoryBackend(owner, shared) },
    { backendOrigins: [ORIGIN] },
  )
  const client = service.client()
  await client.put('backends/token', bytes('the token'))
  await client.operate('backend-create', { ...backendSpec('vault'), Default: true })
  await client.put('prod/a', bytes('one'))
  expect((await client.info('prod/a')).ActiveVersion).toBe(1)
  await client.operate('rotation-create', generated('a', 'prod/a', { deleteOld: true }))

  isAway = true
  await client.operate('rotation-run', { Name: 'a' })
  await round(service)
  const away = await statusOf(service, 'a')
  expect(away).toMatchObject({ Step: 'planned', Error: 'backend_unavailable' })
  expect(away.Attempts).toBeGreaterThan(0)
  const { Versions, ActiveVersion } = await client.info('prod/a')
  expect([Versions, ActiveVersion]).toEqual([[1], 1])

  isAway = false
  await client.operate('rotation-abort', { Name: 'a' })
  await reaches(service, 'a', 'aborted')
  await client.operate('rotation-run', { Name: 'a' })
  await reaches(service, 'a', 'done')
  const { Version = 0 } = await statusOf(service, 'a')
  const after = await client.info('prod/a')
  expect([after.Versions, after.ActiveVersion]).toEqual([[Version], Version])
  expect(Buffer.from((await client.get('prod/a')).Value).toString()).toMatch(/^[\w-]{43}$/)
  await expect.poll(() => shared.leaves.size, LONG).toBe(1)
})
