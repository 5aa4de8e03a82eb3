/** `GET /metrics` of a whole server: who gets it, and that everything is counted once, failures included. */
import { readdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { askOnce, goodHead, RawConnection, requestText } from '../http/raw.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { askForMetrics, type Page, scrape } from '../support/scrape.ts'
import { bytes, startService } from '../support/service.ts'

describe('who gets the page', () => {
  test('is who may: it is text of a known version, and leaves no record', async () => {
    await using service = await startService()
    const before = service.records().length
    const { status, headers, body } = await askForMetrics(service.url)
    expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      'no-store',
    ])
    expect(body).toContain('\n# TYPE sotto_requests_total counter\n'.trimStart())
    await scrape(service.url)
    expect(service.records()).toHaveLength(before)
  })

  test('and nobody else: refusals are recorded as any other', async () => {
    await using service = await startService()
    const denied = await askForMetrics(service.url, '127.0.0.2')
    expect([denied.status, denied.body]).toEqual([403, 'access denied\n'])
    expect(service.records().at(-1)).toMatchObject({
      kind: 'access',
      action: 'metrics',
      operation: 'metrics',
      authorized: false,
      result: 'denied',
      principal: { hostname: 'app-1' },
    })
    const unknown = await askForMetrics(service.url, '127.0.0.9')
    expect([unknown.status, unknown.body]).toEqual([500, 'unable to identify caller\n'])
    expect(service.records().at(-1)).toMatchObject({ kind: 'unidentified', ip: '127.0.0.9' })
  })

  test('the pattern of a rule must match the empty name', async () => {
    const node = { name: 'prometheus', tags: ['tag:monitoring'] }
    const ruled = (secret: string[]) => ({ ...node, rules: [{ action: ['metrics'], secret }] })
    await using service = await startService(
      {},
      { tailnet: { nodes: { '127.0.0.1': ruled(['*']), '127.0.0.2': ruled(['prod/*']) } } },
    )
    expect((await askForMetrics(service.url)).status).toBe(200)
    expect((await askForMetrics(service.url, '127.0.0.2')).status).toBe(403)
  })

  test.each([
    ['POST', [], 404],
    ['HEAD', [], 200],
    ['GET', ['Sec-Fetch-Site: none'], 200],
    ['GET', ['Sec-Fetch-Site: cross-site'], 403],
  ])('%s with %j is answered %d', async (method, more, status) => {
    await using service = await startService()
    using connection = await RawConnection.open(service.url)
    const request = { method, target: '/metrics', head: goodHead.slice(0, 1), more }
    expect((await connection.ask({ ...request, body: undefined })).status).toBe(status)
  })
})

describe('requests', () => {
  test('are each counted once, by what they were for and how they came out', async () => {
    await using service = await startService({ limits: { headersTimeout: 300 } })
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    const posts: [method: string, body: unknown][] = [
      ['get', { Name: 'prod/a' }],
      ['get', { Name: 'prod/a', Version: 1, UpdateIfChanged: true }],
      ['get', { Name: 'prod/none' }],
      ['get', '{'],
      ['put', { Name: '', Value: '' }],
      ['put', { Name: 'prod/large', Value: 'x'.repeat(2 ** 21) }],
      ['create-version', { Name: 'prod/a', Version: 1, Value: '' }],
      ['list', {}],
      ['job-run', { Name: 'none' }],
      ['none', {}],
    ]
    for (const [method, body] of posts) await service.post(method, body)
    await expect(service.client('127.0.0.4').get('prod/a')).rejects.toThrow('denied')
    await expect(service.client('127.0.0.9').get('prod/a')).rejects.toThrow('identify')
    await askOnce(service.url, { target: '/api/get?more' })
    await askOnce(service.url, { method: 'GET', body: undefined })
    await askOnce(service.url, { head: ['Host: localhost'] })
    await fetch(`${service.url}/healthz`)
    using broken = await RawConnection.open(service.url)
    broken.send('no HTTP\r\n\r\n')
    await broken.answers()
    using slow = await RawConnection.open(service.url)
    slow.send('POST /api/get HTTP/1.1\r\n')
    await slow.answers()

    const page = await scrape(service.url)
    const counted = page.all('sotto_requests_total').filter(([, count]) => count > 0)
    const expected: [method: string, code: string, count: number][] = [
      ['put', 'ok', 1],
      ['get', 'ok', 2],
      ['get', 'unchanged', 1],
      ['get', 'not_found', 1],
      ['get', 'bad_request', 1],
      ['get', 'denied', 1],
      ['get', 'unidentified', 1],
      ['get', 'not_post', 1],
      ['get', 'content_type', 1],
      ['put', 'invalid_name', 1],
      ['put', 'too_large', 1],
      ['create-version', 'version_taken', 1],
      ['list', 'ok', 1],
      ['job-run', 'not_found', 1],
      ['other', 'no_such_method', 1],
      ['other', 'ok', 1],
      ['other', 'bad_request', 1],
      ['other', 'timeout', 1],
    ]
    expect(Object.fromEntries(counted)).toEqual(
      Object.fromEntries(
        expected.map(([method, code, count]) => [
          `sotto_requests_total{method="${method}",code="${code}"}`,
          count,
        ]),
      ),
    )
    expect(page.get('sotto_request_seconds_count{method="get"}')).toBe(9)
    expect(page.get('sotto_request_seconds_bucket{method="get",le="+Inf"}')).toBe(9)
    expect(page.get('sotto_request_seconds_sum{method="get"}')).toBeGreaterThan(0)
    // The page that is being made is not answered yet.
    expect(page.requests('metrics', 'ok')).toBe(0)
    expect((await scrape(service.url)).requests('metrics', 'ok')).toBe(1)
  })

  test('that came to wait, to be refused, or to connect in vain are seen as that', async () => {
    const disk = faultyFiles()
    await using service = await startService({
      load: { connections: 20, requests: 8, bytes: 2 ** 23 },
      auditFiles: disk.files,
    })
    await service.client().put('prod/a', bytes('one'))
    disk.set('hangs')
    const before = disk.writes()
    const waiting = Array.from({ length: 4 }, () => askOnce(service.url, {}, '127.0.0.2'))
    await expect.poll(() => disk.writes()).toBeGreaterThan(before)
    expect((await askOnce(service.url, {}, '127.0.0.2')).status).toBe(503)
    const busy = await scrape(service.url)
    expect(busy.get('sotto_requests_in_flight')).toBe(5)
    expect(busy.get('sotto_requests_limit')).toBe(8)
    expect(busy.requests('get', 'overloaded')).toBe(1)
    expect(busy.requests('get', 'ok')).toBe(0)
    disk.set('works')
    await Promise.all(waiting)
    const open: RawConnection[] = []
    for (let count = 0; count < 20; count++) {
      open.push(await RawConnection.open(service.url, '127.0.0.3'))
    }
    const after = await scrape(service.url)
    expect(after.get('sotto_requests_in_flight')).toBe(1)
    expect(after.requests('get', 'ok')).toBe(4)
    expect(after.get('sotto_connections_limit')).toBe(20)
    const refused = after.get('sotto_connections_refused_total') ?? 0
    expect(refused).toBeGreaterThan(0)
    expect((after.get('sotto_connections') ?? 0) - open.length + refused).toBeLessThan(5)
    for (const connection of open) connection[Symbol.dispose]()
  })

  test('sent too far ahead are seen as a connection that was cut', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files })
    await service.client().put('prod/a', bytes('one'))
    disk.set('hangs')
    using greedy = await RawConnection.open(service.url, '127.0.0.2')
    greedy.send(requestText().repeat(40))
    await greedy.closed
    expect((await scrape(service.url)).get('sotto_connections_cut_total')).toBe(1)
    disk.set('works')
  })

  test('bodies that are held are seen while they are', async () => {
    await using service = await startService()
    using slow = await RawConnection.open(service.url)
    slow.send(
      requestText({ target: '/api/put', more: ['Content-Length: 1000000'], body: undefined }),
    )
    slow.send(' '.repeat(500_000))
    const held = async () => (await scrape(service.url)).get('sotto_held_bytes') ?? 0
    await expect.poll(held).toBeGreaterThan(400_000)
    slow[Symbol.dispose]()
    await expect.poll(held).toBe(0)
  })
})

describe('the audit log', () => {
  const numbers = (page: Page) => ({
    up: page.get('sotto_audit_up'),
    records: page.get('sotto_audit_records_total'),
    batches: page.get('sotto_audit_batches_total'),
    syncs: page.get('sotto_audit_sync_seconds_count'),
    lost: page.get('sotto_audit_lost_records_total'),
  })

  test('has as many records, batches and bytes as are on the disk', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await Promise.all(Array.from({ length: 20 }, () => client.get('prod/a')))
    await expect(service.client('127.0.0.4').get('prod/a')).rejects.toThrow('denied')
    const page = await scrape(service.url)
    const found = numbers(page)
    expect(found).toMatchObject({ up: 1, records: service.records().length, lost: 0 })
    expect(found.syncs).toBe(found.batches)
    expect(found.batches).toBeLessThan(found.records ?? 0)
    const folder = join(service.state, 'audit')
    const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size)
    expect(page.get('sotto_audit_segments')).toBe(sizes.length)
    expect(page.get('sotto_audit_disk_bytes')).toBe(sizes.reduce((sum, size) => sum + size, 0))
    expect(page.get('sotto_audit_free_bytes')).toBeGreaterThan(0)
    expect(page.get('sotto_audit_low_space')).toBe(0)
    const written = page.get('sotto_audit_written_bytes_total') ?? 0
    expect(written).toBeGreaterThan(0)
    expect(written).toBeLessThan(page.get('sotto_audit_disk_bytes') ?? 0)
  })

  test('U4: is measured beside a segment that cannot be looked at', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    const folder = join(service.state, 'audit')
    const [own = ''] = readdirSync(folder)
    const { size } = statSync(join(folder, own))
    symlinkSync('00000000000000999999.jsonl', join(folder, '00000000000000999999.jsonl'))
    symlinkSync('gone', join(folder, 'latest'))
    const page = await scrape(service.url)
    expect(page.get('sotto_audit_disk_bytes')).toBe(size)
    expect(page.get('sotto_audit_segments')).toBe(2)
  })

  test('that cannot be written is told, with what was lost, and again when it is back', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files })
    await service.client().put('prod/a', bytes('one'))
    const before = numbers(await scrape(service.url))
    disk.set('full')
    expect((await service.post('get', { Name: 'prod/a' })).status).toBe(500)
    expect((await service.post('info', { Name: 'prod/a' })).status).toBe(200)
    const down = await scrape(service.url)
    expect(numbers(down)).toEqual({ ...before, up: 0, lost: 1 })
    expect(down.get('sotto_audit_failures_total')).toBeGreaterThan(0)
    expect(down.requests('get', 'audit_unavailable')).toBe(1)
    expect(down.requests('info', 'ok')).toBe(1)
    expect(down.get('sotto_ready{part="audit"}')).toBe(0)
    expect(down.get('sotto_ready{part="store"}')).toBe(1)
    disk.set('works')
    await expect.poll(async () => (await service.post('get', { Name: 'prod/a' })).status).toBe(200)
    const back = await scrape(service.url)
    expect(numbers(back)).toMatchObject({ up: 1, lost: 1, records: service.records().length })
    expect(back.get('sotto_ready{part="audit"}')).toBe(1)
  })

  test('that hangs does not keep the page from coming, and its waiting records are seen', async () => {
    const disk = faultyFiles()
    await using service = await startService({ auditFiles: disk.files, waitMs: 60_000 })
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    disk.set('hangs')
    const before = disk.writes()
    const first = client.get('prod/a')
    await expect.poll(() => disk.writes()).toBeGreaterThan(before)
    const more = [client.get('prod/a'), client.get('prod/a')]
    const waiting = async () => (await scrape(service.url)).get('sotto_audit_waiting_records')
    await expect.poll(waiting).toBe(2)
    disk.set('works')
    await Promise.all([first, ...more])
    expect(await waiting()).toBe(0)
  })
})

describe('what is kept', () => {
  test('secrets, versions and files are as they are in the store, after each kind of change', async () => {
    await using service = await startService()
    const client = service.client()
    const counts = async () => {
      const page = await scrape(service.url)
      return [page.get('sotto_store_secrets'), page.get('sotto_store_versions')]
    }
    expect(await counts()).toEqual([0, 0])
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    await client.createVersion('prod/b', 9, bytes('three'))
    expect(await counts()).toEqual([2, 3])
    await client.deleteVersion('prod/a', 2)
    expect(await counts()).toEqual([2, 2])
    await client.delete('prod/b')
    expect(await counts()).toEqual([1, 1])
    await expect(client.deleteVersion('prod/a', 7)).rejects.toThrow('no version 7')
    const page = await scrape(service.url)
    // The start of the server is one.
    expect(page.get('sotto_store_changes_total{result="done"}')).toBe(6)
    expect(page.get('sotto_store_changes_total{result="refused"}')).toBe(0)
    expect(page.get('sotto_store_commits_total')).toBeGreaterThanOrEqual(5)
    expect(page.get('sotto_store_commit_seconds_count')).toBe(page.get('sotto_store_commits_total'))
    expect(page.get('sotto_store_waiting_changes')).toBe(0)
    const size = (name: string) => statSync(join(service.state, name)).size
    expect(page.get('sotto_store_bytes{file="database"}')).toBe(size('sotto.db'))
    expect(page.get('sotto_store_bytes{file="wal"}')).toBe(size('sotto.db-wal'))
  })

  test('the cache tells what it found and what it holds', async () => {
    await using service = await startService()
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    const cache = async () => {
      const page = await scrape(service.url)
      const reads = (result: string) => page.get(`sotto_cache_reads_total{result="${result}"}`) ?? 0
      return { hits: reads('hit'), misses: reads('miss'), held: page.get('sotto_cache_secrets') }
    }
    const before = await cache()
    expect(before.held).toBe(0)
    for (let round = 0; round < 3; round++) await client.get('prod/a')
    const { hits, misses, held } = await cache()
    expect([hits - before.hits, misses - before.misses, held]).toEqual([2, 1, 1])
    expect((await scrape(service.url)).get('sotto_cache_bytes')).toBeGreaterThan(1000)
  })
})

test('the process tells its release, its age, its memory, its files and its event loop', async () => {
  await using service = await startService()
  const page = await scrape(service.url)
  expect(page.all('sotto_build_info')).toEqual([
    [`sotto_build_info{version="0.1.0",node="${process.version}"}`, 1],
  ])
  const age = Date.now() / 1000 - (page.get('process_start_time_seconds') ?? 0)
  expect(Math.abs(age - process.uptime())).toBeLessThan(2)
  expect(page.get('process_resident_memory_bytes')).toBeGreaterThan(2 ** 24)
  expect(page.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  const files = page.get('process_open_fds') ?? 0
  expect(files > 5 || process.platform !== 'linux').toBe(true)
  const worst = async () =>
    (await scrape(service.url)).get('sotto_event_loop_delay_seconds{quantile="1"}') ?? 0
  const blockedUntil = performance.now() + 300
  while (performance.now() < blockedUntil);
  await expect.poll(worst).toBeGreaterThan(0.2)
  expect(await worst()).toBeLessThan(20)
  const active = page.get('sotto_event_loop_active_seconds_total') ?? 0
  expect((await scrape(service.url)).get('sotto_event_loop_active_seconds_total')).toBeGreaterThan(
    active,
  )
  expect(page.get('sotto_key_calls_total{provider="local",call="unwrap",result="ok"}')).toBe(1)
  expect(page.get('sotto_key_call_seconds_count{provider="local"}')).toBe(1)
})
