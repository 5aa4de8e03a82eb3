/**
 * A question to the audit log whose disk does not answer: a named pipe that nobody writes to stands
 * in the folder as a segment, and whoever opens it waits without end.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scrape } from '../support/scrape.ts'
import { bytes, startService } from '../support/service.ts'

test('questions end in time and do not pile up, callers are served, and it goes on by itself', async () => {
  await using service = await startService({ waitMs: 2000 })
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  await client.operate('audit-query', {})
  const pipe = join(service.state, 'audit', '00000000000000009999.jsonl')
  execFileSync('mkfifo', [pipe])
  const began = performance.now()
  const asked = Array.from({ length: 6 }, () => service.post('audit-query', {}))
  const reads = Array.from({ length: 50 }, () => client.get('prod/a'))
  await Promise.all(reads)
  expect(performance.now() - began).toBeLessThan(1500)
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  expect(statuses).toEqual(Array.from({ length: 6 }, () => 500))
  expect(performance.now() - began).toBeLessThan(10_000)
  expect(service.said.join('\n')).toContain('did not answer within 2000 ms')
  // Of the threads of the pool, one is held up: what is left serves all others.
  await client.get('prod/a')
  const page = await scrape(service.url)
  expect(page.get('sotto_audit_up')).toBe(1)
  expect(page.requests('audit-query', 'internal')).toBe(6)
  closeSync(openSync(pipe, 'w'))
  unlinkSync(pipe)
  await expect
    .poll(async () => (await service.post('audit-query', {})).status, { timeout: 30_000 })
    .toBe(200)
})

test('a server stops in time while a question waits for its disk', async () => {
  const service = await startService({ waitMs: 1000 })
  const pipe = join(service.state, 'audit', '00000000000000009999.jsonl')
  execFileSync('mkfifo', [pipe])
  expect((await service.post('audit-query', {})).status).toBe(500)
  const began = performance.now()
  await service.server.stop()
  expect(performance.now() - began).toBeLessThan(8000)
  closeSync(openSync(pipe, 'w'))
  await service[Symbol.asyncDispose]()
})
