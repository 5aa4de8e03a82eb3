/** What the parts of a server note that a development server on one machine does not show. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { bounded } from '../../server/crypto/bounded.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { keyMetrics, measured } from '../../server/crypto/metrics.ts'
import { openbaoTransitProvider } from '../../server/crypto/openbao-transit.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { identityProvider } from '../../server/crypto/recovery.ts'
import { whoIsMetrics } from '../../server/identity/tailscale/metrics.ts'
import { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { jobMetrics } from '../../server/jobs/metrics.ts'
import { Scheduler } from '../../server/jobs/scheduler.ts'
import { Registry } from '../../server/metrics/registry.ts'
import type { Adoption } from '../../server/store/adoption.ts'
import { BackendMetrics } from '../../server/backends/metrics.ts'
import { OpenBackends } from '../../server/backends/opened.ts'
import type { BackendRegistry } from '../../server/backends/registry.ts'
import { followStore, storeMetrics } from '../../server/store/metrics.ts'
import { afterAppend, changeTo, sealedVersion } from '../contract/store-states.ts'
import { makeStore } from '../store/made.ts'
import { ManualTimers, settled } from '../audit/fixtures.ts'
import { makePair } from '../support/certificates.ts'
import { recorded, StubLocalApi, withFields } from '../support/local-api.ts'
import { MemoryBackend, ownerOf, SharedMemory } from '../support/memory-backend.ts'
import { Page } from '../support/scrape.ts'
import { loopbackDoor, startOnTailnet } from '../support/tailnet-service.ts'

const pageOf = async (registry: Registry): Promise<Page> => new Page(await registry.page())

test('changes of a store are told by their outcome, and measuring it never holds up a page', async () => {
  const registry = new Registry()
  const metrics = storeMetrics(registry)
  await using made = await makeStore({ waitMs: 300, metrics })
  const { store, path, hand } = made
  followStore(registry, metrics, store)
  const changes = async () => {
    const page = await pageOf(registry)
    return ['done', 'refused', 'unknown'].map((result) =>
      page.get(`sotto_store_changes_total{result="${result}"}`),
    )
  }
  await hand.append('a')
  await hand.append('a')
  expect(await changes()).toEqual([2, 0, 0])
  const stale = changeTo(77, undefined, afterAppend('a', undefined))
  await expect(store.append(stale, sealedVersion(1))).rejects.toMatchObject({ code: 'conflict' })
  expect(await changes()).toEqual([2, 1, 0])
  const commits = (await pageOf(registry)).get('sotto_store_commits_total')
  expect(commits).toBe(2)

  const other = new Database(path)
  other.exec('BEGIN IMMEDIATE')
  const late = store.append(changeTo(78, undefined, afterAppend('b', undefined)), sealedVersion(1))
  const waiting = await pageOf(registry)
  expect(waiting.get('sotto_store_waiting_changes')).toBe(1)
  await expect(late).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(await changes()).toEqual([2, 1, 1])
  other.close()
  // The writer gets to it after all: a commit, whatever its caller was told.
  await store.committed([78])
  const after = await pageOf(registry)
  expect(after.get('sotto_store_secrets')).toBe(2)
  expect(after.get('sotto_store_commits_total')).toBeGreaterThan(commits ?? 0)
  await store.close()
  const closed = await pageOf(registry)
  expect(closed.all('sotto_store_bytes')).toEqual([])
  expect(closed.get('sotto_store_secrets')).toBeUndefined()
})

test('calls to key providers are told by provider and outcome, those that are late included', async () => {
  const registry = new Registry()
  const metrics = keyMetrics(registry)
  const failing = (name: string, fail: () => Promise<never>): KeyProvider => ({
    name,
    fingerprint: async () => 'f',
    wrap: fail,
    unwrap: fail,
  })
  const bytes = new Uint8Array(1)
  const refused = failing('aws-kms', async () => {
    throw new SottoError('key_missing', 'gone')
  })
  const broken = failing('of-tomorrow', async () => {
    throw new Error('a fault')
  })
  const silent = failing('recovery', () => new Promise(() => {}))
  await expect(measured(refused, metrics).unwrap(bytes, 'id')).rejects.toThrow('gone')
  await expect(measured(broken, metrics).wrap(bytes, 'id')).rejects.toThrow('a fault')
  await expect(measured(bounded(silent, 10), metrics).unwrap(bytes, 'id')).rejects.toThrow('10 ms')
  expect(await measured(refused, metrics).fingerprint()).toBe('f')
  const page = await pageOf(registry)
  expect(page.all('sotto_key_calls_total').map(([series]) => series)).toEqual([
    'sotto_key_calls_total{provider="aws-kms",call="unwrap",result="key_missing"}',
    'sotto_key_calls_total{provider="other",call="wrap",result="failed"}',
    'sotto_key_calls_total{provider="recovery",call="unwrap",result="key_missing"}',
    'sotto_key_calls_total{provider="aws-kms",call="fingerprint",result="ok"}',
  ])
  expect(page.get('sotto_key_call_seconds_count{provider="aws-kms"}')).toBe(1)
  expect(page.get('sotto_key_call_seconds_sum{provider="recovery"}')).toBeGreaterThan(0)
})

test('every key provider that there is goes by its own name', () => {
  const registry = new Registry()
  keyMetrics(registry)
  const named = registry.heads.map(({ labels }) => labels['provider'] ?? [])
  for (const { name } of [
    localKeyProvider('/none'),
    identityProvider('/none'),
    awsKmsProvider({ key: 'alias/a', region: 'eu-central-1' }),
    openbaoTransitProvider({
      url: 'http://127.0.0.1:1',
      key: 'k',
      mount: 'transit',
      login: { method: 'token', token: { file: '/none' } },
    }),
  ]) {
    expect(named.every((names) => names.includes(name))).toBe(true)
  }
})

test('questions to tailscaled are told by outcome', async () => {
  const registry = new Registry()
  await using stub = await StubLocalApi.start()
  const localApi = new LocalApi({ path: stub.path, metrics: whoIsMetrics(registry) })
  stub.whois.set('100.64.0.1', recorded('whois-user'))
  stub.whois.set('100.64.0.2', 'no JSON')
  await localApi.whois('100.64.0.1')
  await localApi.whois('100.64.0.3')
  await expect(localApi.whois('100.64.0.2')).rejects.toThrow('is not JSON')
  await localApi.status()
  const page = await pageOf(registry)
  const calls = ['known', 'unknown', 'failed'].map((result) =>
    page.get(`sotto_identity_calls_total{result="${result}"}`),
  )
  expect(calls).toEqual([1, 1, 1])
  expect(page.get('sotto_identity_call_seconds_count')).toBe(3)
  await localApi.close()
})

test('a server on a tailnet tells of its questions, of its certificate and of its parts', async () => {
  const registry = new Registry()
  const pair = makePair(['server.tail-test.ts.net'])
  const localApi = await StubLocalApi.start()
  const status = JSON.parse(recorded('status')) as { Self: object }
  localApi.status = withFields('status', {
    TailscaleIPs: ['127.0.0.1'],
    Self: { ...status.Self, TailscaleIPs: ['127.0.0.1'] },
  })
  await using service = await startOnTailnet({
    localApi,
    door: (scratch) => {
      const certificate = join(scratch, 'tls.crt')
      const key = join(scratch, 'tls.key')
      writeFileSync(certificate, pair.certificate)
      writeFileSync(key, pair.key, { mode: 0o600 })
      return { ...loopbackDoor, tls: { certificate, key } }
    },
    world: { registry },
  })
  expect(service.url).toMatch(/^https:/)
  const page = await pageOf(registry)
  const ends = page.get('sotto_certificate_expires_timestamp_seconds') ?? 0
  expect(ends).toBeGreaterThan(Date.now() / 1000)
  expect(ends).toBeLessThan(Date.now() / 1000 + 400 * 86_400)
  expect(page.all('sotto_ready').map(([, state]) => state)).toEqual([1, 1, 1, 1])
  expect(page.get('sotto_identity_calls_total{result="failed"}')).toBe(0)
  localApi.status = { status: 500, text: 'down' }
  expect((await pageOf(registry)).get('sotto_ready{part="identity"}')).toBe(0)
})

test('backends tell how calls came out, and of their logins while they are open', async () => {
  const registry = new Registry()
  const shared = new SharedMemory()
  const record = {
    id: 1,
    name: 'vault',
    mac: new Uint8Array([1]),
    config: { url: 'https://bao.example.com:8200' },
  }
  const open = new OpenBackends({
    registry: { find: async () => record } as unknown as BackendRegistry,
    owner: ownerOf('id'),
    adoption: { demand: () => {} } as unknown as Adoption,
    knows: async () => true,
    origins: ['https://bao.example.com:8200'],
    credential: async () => 'token',
    open: () => {
      const backend = new MemoryBackend(ownerOf('id'), shared)
      backend.status = () => ({
        tokenTtlMs: 1500,
        logins: 3,
        failedLogins: 1,
        renewals: 7,
        failedRenewals: 2,
      })
      return backend
    },
    metrics: new BackendMetrics(registry),
    now: () => 0,
  })
  const read = () => open.use(1, (backend) => backend.leaves('a'))
  await read()
  for (const code of ['backend_refused', 'conflict', 'backend_unavailable'] as const) {
    shared.before = () => {
      throw new SottoError(code, 'so it is', { found: 'so it is' })
    }
    await expect(read()).rejects.toThrow('so it is')
  }
  // The look whether it is back counts as the call that it stands for.
  await expect(read()).rejects.toThrow('so it is')
  const numbers = async (start: string) => (await pageOf(registry)).all(start)
  const calls = (result: string) => `sotto_backend_calls_total{backend="vault",result="${result}"}`
  expect(await numbers('sotto_backend_calls_total')).toEqual([
    [calls('ok'), 1],
    [calls('unavailable'), 2],
    [calls('refused'), 1],
    [calls('failed'), 1],
  ])
  const page = await pageOf(registry)
  expect(page.get('sotto_backend_call_seconds_count{backend="vault"}')).toBe(5)
  expect(page.get('sotto_backend_token_ttl_seconds{backend="vault"}')).toBe(1.5)
  expect(page.all('sotto_backend_logins_total').map(([, count]) => count)).toEqual([3, 1])
  expect(page.all('sotto_backend_renewals_total').map(([, count]) => count)).toEqual([7, 2])
  await open.close()
  expect(await numbers('sotto_backend_logins_total')).toEqual([])
  expect(await numbers('sotto_backend_token_ttl_seconds')).toEqual([])
})

test('jobs tell how their runs ended, whether they run, and when one last succeeded', async () => {
  const registry = new Registry()
  const timers = new ManualTimers()
  const clock = () => new Date(1_700_000_000_000 + timers.now())
  const scheduler = new Scheduler({ timers, clock, metrics: jobMetrics(registry) })
  scheduler.start()
  let run = Promise.withResolvers<string>()
  scheduler.add({
    name: 'copy',
    action: 'backup',
    rules: [],
    everyMs: 1000,
    retryMs: 1000,
    maxMs: 500,
    run: () => run.promise,
  })
  const state = async () => {
    const page = await pageOf(registry)
    const runs = (result: string) => page.get(`sotto_job_runs_total{job="copy",result="${result}"}`)
    return [
      runs('ok'),
      runs('failed'),
      page.get('sotto_job_running{job="copy"}'),
      page.get('sotto_job_last_success_timestamp_seconds{job="copy"}'),
    ]
  }
  expect(await state()).toEqual([0, 0, 0, undefined])
  void scheduler.run('copy')
  expect(await state()).toEqual([0, 0, 1, undefined])
  timers.advance(250)
  run.resolve('done')
  await settled()
  expect(await state()).toEqual([1, 0, 0, 1_700_000_000.25])
  run = Promise.withResolvers()
  void scheduler.run('copy')
  run.reject(new Error('no'))
  await settled()
  expect(await state()).toEqual([1, 1, 0, 1_700_000_000.25])
  await scheduler.close()
})
