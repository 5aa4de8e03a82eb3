/** The audit log asked through a server: who may, what it leaves on the log, and its bounds. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, startService } from '../support/service.ts'

describe('audit-query', () => {
  test('tells who read a secret, when, and which version', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await service.client('127.0.0.2').get('prod/a')
    await expect(service.client('127.0.0.4').get('prod/a')).rejects.toThrow('denied')
    const { Records, ...rest } = await client.operate('audit-query', {
      Secret: 'prod/*',
      Action: 'get',
    })
    expect(rest).toEqual({})
    expect(Records).toEqual(service.records().filter(({ action }) => action === 'get'))
    expect(Records).toMatchObject([
      { principal: { hostname: 'app-1' }, secret: 'prod/a', secretVersion: 1, result: 'ok' },
      { principal: { hostname: 'other' }, secret: 'prod/a', result: 'denied' },
    ])
  })

  test('is on the log itself before it is answered', async () => {
    await using service = await startService()
    const { Records } = await service.client().operate('audit-query', { Newest: true, Limit: 1 })
    expect(Records).toMatchObject([
      {
        kind: 'access',
        action: 'audit',
        operation: 'audit-query',
        principal: { hostname: 'root' },
        authorized: true,
        result: 'ok',
      },
    ])
  })

  test('is for who may audit, and a refusal is on the log', async () => {
    await using service = await startService()
    const asked = service.client('127.0.0.2').operate('audit-query', {})
    await expect(asked).rejects.toMatchObject({ code: 'denied' })
    expect(service.records().at(-1)).toMatchObject({
      action: 'audit',
      operation: 'audit-query',
      authorized: false,
      result: 'denied',
    })
  })

  test.each([
    [{ Limit: 0 }, 'Limit'],
    [{ Limit: 1001 }, 'Limit'],
    [{ Since: 'yesterday' }, 'Since'],
    [{ Until: '2026-02-31T25:00:00Z' }, 'Until'],
    [{ Result: 'fine' }, 'Result'],
    [{ After: -1 }, 'After'],
    [{ Secret: '' }, 'Secret'],
    [{ secret: 'a' }, 'secret'],
  ])('%j is refused and leaves no record', async (body, named) => {
    await using service = await startService()
    const before = service.records().length
    const { status, headers } = await service.post('audit-query', body)
    expect([status, headers.get('sotto-error')]).toEqual([400, 'bad_request'])
    expect(headers.get('sotto-detail')).toContain(named)
    expect(service.records()).toHaveLength(before)
  })

  test('is not answered while its own record cannot be written', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files })
    disk.set('full')
    const { status, headers } = await service.post('audit-query', {})
    expect([status, headers.get('sotto-error')]).toEqual([500, 'audit_unavailable'])
    disk.set('works')
  })

  test('several at once are answered in turn, and too many are told so', async () => {
    await using service = await startService()
    const asked = Array.from({ length: 20 }, () => service.post('audit-query', { Limit: 1 }))
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(16)
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true)
    expect((await service.post('audit-query', { Limit: 1 })).status).toBe(200)
  })

  test('of a log that cannot be read is a fault that the operator is told of', async () => {
    await using service = await startService()
    const folder = join(service.state, 'audit')
    await service.client().put('prod/a', bytes('one'))
    renameSync(folder, `${folder}.away`)
    const { status, text } = await service.post('audit-query', {})
    renameSync(`${folder}.away`, folder)
    expect([status, text]).toEqual([500, 'internal error\n'])
    expect(service.said.join('\n')).toContain('Cannot read the audit log')
  })
})
