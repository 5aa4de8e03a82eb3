/**
 * A question to the audit log whose disk does not answer: a file stands in its folder as a segment, and whoever opens
 * it waits without end.
 */
import { unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { TestProcess } from '../support/process.ts'
import { scrape } from '../support/scrape.ts'
import { bytes, type Service, startService } from '../support/service.ts'

/** How long a question may take: on a busy machine, its thread starts slowly. */
const WAIT_MS = 4000

/** A segment that nobody can open. At the end of the scope whoever waits is let go, and it is gone. */
async function silentSegment({ state }: Service): Promise<AsyncDisposable> {
  const path = join(state, 'audit', '00000000000000009999.jsonl')
  writeFileSync(path, '', { mode: 0o600 })
  const script = new URL('silent-file.py', import.meta.url).pathname
  const input = new PassThrough()
  const disk = new TestProcess('python3', [script, path], { input })
  expect(await disk.firstLine()).toBe('mounted')
  return {
    async [Symbol.asyncDispose]() {
      input.end()
      expect(await disk.exited).toBe(0)
      unlinkSync(path)
    },
  }
}

test('questions end in time and do not pile up, callers are served, and it goes on by itself', async () => {
  await using service = await startService({ waitMs: WAIT_MS })
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  await client.operate('audit-query', {})
  const segment = await silentSegment(service)
  const began = performance.now()
  let answered = 0
  const asked = Array.from({ length: 6 }, async () => {
    const { status } = await service.post('audit-query', {})
    answered++
    return status
  })
  const reads = Array.from({ length: 50 }, () => client.get('prod/a'))
  await Promise.all(reads)
  expect(answered).toBe(0)
  const statuses = await Promise.all(asked)
  expect(statuses).toEqual(Array.from({ length: 6 }, () => 500))
  expect(performance.now() - began).toBeLessThan(5 * WAIT_MS)
  expect(service.said.join('\n')).toContain(`did not answer within ${WAIT_MS} ms`)
  // Of the threads of the pool, one is held up: what is left serves all others.
  await client.get('prod/a')
  const page = await scrape(service.url)
  expect(page.get('sotto_audit_up')).toBe(1)
  expect(page.requests('audit-query', 'internal')).toBe(6)
  await segment[Symbol.asyncDispose]()
  await expect
    .poll(async () => (await service.post('audit-query', {})).status, { timeout: 30_000 })
    .toBe(200)
})

test('a server stops in time while a question waits for its disk', async () => {
  const service = await startService({ waitMs: 1000 })
  const segment = await silentSegment(service)
  expect((await service.post('audit-query', {})).status).toBe(500)
  const began = performance.now()
  await service.server.stop()
  expect(performance.now() - began).toBeLessThan(8000)
  await segment[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})
