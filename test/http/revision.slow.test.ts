/** The header that says how far the store was when an answer was read, and where it must not be. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { operations } from '../../client/api/operations.ts'
import { type Service, startService } from '../support/service.ts'

let service: Service

beforeAll(async () => {
  service = await startService()
  await service.client().put('prod/a', Buffer.from('one'))
})

afterAll(() => service[Symbol.asyncDispose]())

const revisionOf = async (method: string, body: unknown): Promise<string | null> =>
  (await service.post(method, body)).headers.get('sotto-revision')

test('get answers it with the value and with a 304, and it grows with each change', async () => {
  const first = await revisionOf('get', { Name: 'prod/a' })
  expect(first).toMatch(/^[0-9a-f]{16}\.\d+$/)
  expect(await revisionOf('get', { Name: 'prod/a', Version: 1, UpdateIfChanged: true })).toBe(first)
  await service.client().put('prod/a', Buffer.from('two'))
  const [branch = '', before] = first?.split('.') ?? []
  expect(await revisionOf('get', { Name: 'prod/a' })).toBe(`${branch}.${Number(before) + 1}`)
})

test('nobody else is told: not who is refused, nor where nothing is found, nor by any other call', async () => {
  await service.client().put('prod/b', Buffer.from('x'.repeat(100_000)))
  expect(await revisionOf('get', { Name: 'prod/b' })).toMatch(/^[0-9a-f]{16}\.\d+$/)
  expect(await revisionOf('get', { Name: 'prod/none' })).toBeNull()
  expect(await revisionOf('get', 'not json')).toBeNull()
  service.policy({ nodes: { '127.0.0.1': { name: 'nobody', user: 'nobody@example.com' } } })
  const refused = await service.post('get', { Name: 'prod/a' })
  expect(refused.status).toBe(403)
  expect(refused.headers.get('sotto-revision')).toBeNull()
  const others = ['list', 'info', 'put', 'activate', 'delete', 'whoami', ...Object.keys(operations)]
  for (const method of others) {
    expect([method, await revisionOf(method, { Name: 'prod/a' })]).toEqual([method, null])
  }
  const page = await fetch(`${service.url}/readyz`)
  expect(page.headers.get('sotto-revision')).toBeNull()
})
