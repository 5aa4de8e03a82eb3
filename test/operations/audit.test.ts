/** The audit log asked through a server: who may, what it leaves on the log, and its bounds. */
import { appendFileSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import { auditKeysOf } from '../../server/start/offline.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, recordsIn, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

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
    expect(rest).toEqual({ Looked: service.records().length })
    const read = service.records().filter(({ action }) => action === 'get')
    expect(Records).toEqual(read.map((each) => ({ ...each, outcome: each['result'] })))
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
  ])('%j is refused, and recorded as refused', async (body, named) => {
    await using service = await startService()
    const before = service.records().length
    const { status, headers } = await service.post('audit-query', body)
    expect([status, headers.get('sotto-error')]).toEqual([400, 'bad_request'])
    expect(headers.get('sotto-detail')).toContain(named)
    expect(service.records().slice(before)).toEqual([
      expect.objectContaining({ result: 'refused', reason: 'bad_request' }),
    ])
  })

  test('is not answered while its own record cannot be written', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files })
    disk.set('full')
    const { status, headers } = await service.post('audit-query', {})
    expect([status, headers.get('sotto-error')]).toEqual([500, 'audit_unavailable'])
    disk.set('works')
  })

  test('B6: a record that was added while no server ran is marked, by a server and by the files', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const audit = join(state, 'audit')
    {
      await using service = await startService({}, { state })
      await service.client().put('prod/a', bytes('one'))
    }
    const { last } = await verifyLog(audit)
    const { id = 0, hash = '' } = last ?? {}
    const added = { ...recordsIn(audit).find(({ kind }) => kind === 'change'), id: id + 1 }
    const line = JSON.stringify({ ...added, kind: 'access', result: 'ok', prev: hash })
    const segment = join(audit, readdirSync(audit).toSorted().at(-1) ?? '')
    appendFileSync(segment, `${line}\n`)
    const verified = async () => {
      const keys = await auditKeysOf({ stateDir: state, keyFile: undefined })
      return verifyLog(audit, keys)
    }
    expect(await verified()).toMatchObject({
      ok: false,
      damage: { damage: 'forged', id: id + 1 },
    })
    await using service = await startService({}, { state })
    expect(service.said.join('\n')).toContain(
      `warn: 1 audit records from ${id + 1} on are not this`,
    )
    const { Records } = await service.client().operate('audit-query', { Principal: 'root' })
    expect(Records.filter((record) => 'unconfirmed' in record)).toMatchObject([
      { id: id + 1, unconfirmed: true },
    ])
    expect(await verified()).toMatchObject({ ok: true, unconfirmed: 1 })
  })

  test('several at once are answered in turn, and too many are told so', async () => {
    await using service = await startService({ waitMs: 50_000 })
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
