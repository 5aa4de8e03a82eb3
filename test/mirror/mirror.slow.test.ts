/** Mirrors of a whole server, in a backend in memory. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { BackendSpec } from '../../client/api/backends.ts'
import type { MirrorSpec } from '../../client/api/mirrors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import type { Action } from '../../client/api/types.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, everything, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

type Status = OperationResponse<'mirror-status'>[number]
type Sync = Partial<OperationRequest<'mirror-sync'>>

const origin = 'http://127.0.0.1:9'

function rule(action: Action[], ...secret: string[]): { action: Action[]; secret: string[] } {
  return { action, secret }
}

const operator: Action[] = ['mirror', 'backends:view', 'backends:create', 'backends:edit']

const tailnet = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': {
      name: 'half',
      user: 'half@example.com',
      rules: [
        rule(operator, '*'),
        rule(['get'], 'prod/a/*', 'backends/*'),
        rule(['info'], 'prod/a/*'),
      ],
    },
    '127.0.0.3': { name: 'other', user: 'other@example.com', rules: [rule(['get'], '*')] },
  },
}

describe('a mirror', () => {
  let shared: SharedMemory
  let scratch: ReturnType<typeof temporaryDirectory>
  let service: Service
  let client: Client
  let now: Date
  /** Milliseconds that went by at once, by the clock that never jumps. */
  let later = 0

  async function start(): Promise<void> {
    service = await startService(
      {
        clock: () => now,
        timers: { ...processTimers, now: () => performance.now() + later },
        openBackend: (_, { owner }) => new MemoryBackend(owner, shared, 10_000),
      },
      { state: `${scratch.path}/state`, tailnet, backendOrigins: [origin] },
    )
    client = service.client()
  }

  beforeEach(async () => {
    now = new Date('2026-03-01T10:00:00Z')
    shared = new SharedMemory()
    scratch = temporaryDirectory()
    await start()
    await client.put('backends/vault', bytes('token'))
  })

  afterEach(async () => {
    await service[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  function spec(mirror: Partial<MirrorSpec> = {}): BackendSpec {
    return mirroredBackend(origin, {
      secrets: ['prod/*'],
      onDrift: 'report',
      onDelete: 'keep',
      ...mirror,
    })
  }

  async function setUp(mirror: Partial<MirrorSpec> = {}): Promise<void> {
    await client.operate('backend-apply', spec(mirror))
  }

  async function sync(request: Sync = {}): Promise<OperationResponse<'mirror-sync'>> {
    const { Secrets, OnDrift, AcceptMount = false } = request
    return client.operate('mirror-sync', {
      Backend: 'vault',
      AcceptMount,
      ...(Secrets && { Secrets }),
      ...(OnDrift && { OnDrift }),
    })
  }

  async function status(): Promise<Status> {
    const [found] = await client.operate('mirror-status', { Backend: 'vault' })
    return found as Status
  }

  async function items(): Promise<string[]> {
    return (await status()).Items.map(({ Name, State, Reason }) => `${Name} ${State}: ${Reason}`)
  }

  /** What other readers see. */
  function seen(name: string): unknown {
    const content = shared.projections.get(name)?.content
    return content && (JSON.parse(content.toString()) as unknown)
  }

  function edit(name: string, text: string): void {
    const revision = (shared.projections.get(name)?.revision ?? 0) + 1
    shared.projections.set(name, { revision, content: Buffer.from(`{"value":"${text}"}`) })
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise(setImmediate)
  }

  test('shows the active version of what it is for, and nothing else', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('{"user":"app","port":5432}'))
    await client.put('dev/c', bytes('other'))
    await setUp()
    expect(await sync()).toMatchObject({ LastResult: 'ok' })
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(seen('prod/b')).toEqual({ user: 'app', port: 5432 })
    expect([...shared.projections.keys()].toSorted()).toEqual(['prod/a', 'prod/b'])
    expect([...shared.leaves.keys()]).toEqual([])
    expect(await status()).toMatchObject({
      Backend: 'vault',
      Counts: { ok: 2 },
      LagSeconds: 0,
      LastResult: 'ok',
      Items: [],
    })
  })

  test('follows changes by itself: put, activate and rollback', async () => {
    await setUp()
    await client.put('prod/a', bytes('one'))
    await until(() => seen('prod/a') !== undefined)
    await client.put('prod/a', bytes('two'))
    await client.activate('prod/a', 2)
    await until(() => JSON.stringify(seen('prod/a')) === '{"value":"two"}')
    await client.activate('prod/a', 1)
    await until(() => JSON.stringify(seen('prod/a')) === '{"value":"one"}')
    expect(shared.projections.get('prod/a')?.revision).toBe(3)
  })

  test('reads each value as a caller of its own, on the audit log, and only to write it', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp()
    await sync()
    const reads = (): unknown[] =>
      service
        .records()
        .filter(({ kind }) => kind === 'access')
        .filter(({ principal }) => (principal as { user?: string })?.user === 'system:mirror')
    expect(reads()).toMatchObject([{ action: 'get', secret: 'prod/a', result: 'ok' }])
    await sync()
    await sync()
    expect(reads()).toHaveLength(1)
  })

  test('needs get on every secret that it is set up for, also on those to come', async () => {
    const half = service.client('127.0.0.2')
    for (const secrets of [['prod/*'], ['prod/a/*', '*'], ['prod/a*'], ['backends/x', 'prod/b']]) {
      await expect(half.operate('backend-apply', spec({ secrets }))).rejects.toMatchObject({
        code: 'denied',
      })
    }
    await half.operate('backend-apply', spec({ secrets: ['prod/a/*', 'prod/a/b*c'] }))
    // Whoever changes where it leads needs the same.
    await setUp({ secrets: ['prod/*'] })
    const elsewhere = spec({ secrets: ['prod/*'] })
    await expect(half.operate('backend-apply', elsewhere)).rejects.toMatchObject({ code: 'denied' })
  })

  test('is seen and run by those with the action, who see the names that they may', async () => {
    await setUp()
    await client.put('prod/a/x', bytes('one'))
    await client.put('prod/b', bytes('two'))
    edit('prod/a/x', 'of another')
    edit('prod/b', 'of another')
    await sync()
    expect(await items()).toHaveLength(2)
    const [half] = await service.client('127.0.0.2').operate('mirror-status', {})
    expect(half?.Items.map(({ Name }) => Name)).toEqual(['prod/a/x'])
    expect(half?.Counts).toEqual({ drift: 1 })
    const other = service.client('127.0.0.3')
    for (const operation of ['mirror-status', 'mirror-sync', 'mirror-plan'] as const) {
      const request = { Backend: 'vault', AcceptMount: false }
      const { AcceptMount: _, ...less } = request
      const asked = other.operate(operation, operation === 'mirror-sync' ? request : less)
      await expect(asked).rejects.toMatchObject({ code: 'denied' })
    }
    await expect(client.operate('mirror-status', { Backend: 'none' })).rejects.toMatchObject({
      code: 'not_found',
    })
  })

  test.each([
    ['edited', 'someone else changed it there', () => edit('prod/a', 'by hand')],
    [
      'deleted',
      'someone else deleted it there',
      () => shared.projections.set('prod/a', { revision: 3 }),
    ],
    ['removed', 'someone else removed it there', () => shared.projections.delete('prod/a')],
    [
      'made again',
      'someone else removed it there and recreated it',
      () => {
        shared.projections.delete('prod/a')
        edit('prod/a', 'by hand')
      },
    ],
  ])(
    'what was %s there is reported, and mended when that is asked for',
    async (_, reason, change) => {
      await client.put('prod/a', bytes('one'))
      await setUp()
      await sync()
      await client.put('prod/a', bytes('two'))
      await client.activate('prod/a', 2)
      await sync()
      await client.activate('prod/a', 1)
      await sync()
      change()
      const changed = seen('prod/a')
      await sync()
      expect(await items()).toEqual([expect.stringContaining(`prod/a drift: ${reason}`)])
      expect(seen('prod/a')).toEqual(changed)
      await client.activate('prod/a', 2)
      await sync()
      expect(seen('prod/a')).toEqual(changed)
      await sync({ Secrets: ['prod/a'], OnDrift: 'overwrite' })
      expect(seen('prod/a')).toEqual({ value: 'two' })
      expect(await status()).toMatchObject({ Counts: { ok: 1 }, Items: [] })
    },
  )

  test('what someone else made is never touched, unless it is to be taken over', async () => {
    edit('prod/a', 'older than Sotto')
    await client.put('prod/a', bytes('one'))
    await setUp({ onDrift: 'overwrite', onDelete: 'remove' })
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'older than Sotto' })
    expect(await items()).toEqual(['prod/a drift: someone else made it there'])
    await client.delete('prod/a')
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'older than Sotto' })
    await client.put('prod/a', bytes('two'))
    await sync({ OnDrift: 'adopt' })
    expect(seen('prod/a')).toEqual({ value: 'two' })
    expect(shared.projections.get('prod/a')?.revision).toBe(2)
  })

  test('what is deleted here is kept there, or removed where the mirror is set up so', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('two'))
    await setUp()
    await sync()
    await client.delete('prod/a')
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await items()).toEqual(['prod/a kept: it was deleted here'])
    await setUp({ onDelete: 'remove' })
    await client.delete('prod/b')
    await sync()
    expect(seen('prod/b')).toBeUndefined()
    // It was kept, and is not removed because a setting changed.
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await status()).toMatchObject({ Counts: { kept: 1 } })
  })

  test('what is deleted here is not removed there once someone changed it', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp({ onDelete: 'remove', onDrift: 'overwrite' })
    await sync()
    edit('prod/a', 'by hand')
    await client.delete('prod/a')
    await sync({ OnDrift: 'adopt' })
    expect(seen('prod/a')).toEqual({ value: 'by hand' })
    expect(await items()).toEqual(['prod/a drift: someone else changed it there'])
  })

  test('nothing is removed because a setting changed', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('two'))
    await setUp({ onDelete: 'remove' })
    await sync()
    await setUp({ onDelete: 'remove', secrets: ['prod/b'] })
    await client.activate('prod/a', 1)
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await items()).toEqual(['prod/a left: the mirror is not for it any more'])
    await client.delete('prod/a')
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'one' })
    await setUp({ onDelete: 'remove' })
    await client.put('prod/a', bytes('three'))
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'three' })
  })

  test('a backend that is down is told, and everything is there once it is back', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp()
    shared.before = () => {
      const found = 'it is sealed'
      throw new SottoError('backend_unavailable', `Cannot use the backend: ${found}`, { found })
    }
    expect(await sync()).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining('sealed'),
    })
    later += 90_000
    const { LagSeconds, LastResult } = await status()
    expect(LastResult).toBe('failed')
    expect([90, 91, 92]).toContain(LagSeconds)
    const page = await (await fetch(`${service.url}/metrics`)).text()
    expect(page).toMatch(/sotto_mirror_lag_seconds\{backend="vault"\} 9[012]/)
    expect(page).toContain('sotto_mirror_ok{backend="vault"} 0')
    expect(page).toContain('sotto_mirror_secrets{backend="vault",state="due"} 1')
    shared.before = () => {}
    while ((await sync()).LastResult !== 'ok') await new Promise(setImmediate)
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await status()).toMatchObject({ LastResult: 'ok', Counts: { ok: 1 } })
  })

  test('one secret that fails keeps no other from being shown, and is tried again later', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('two'))
    await client.put('prod/large', bytes('x'.repeat(20_000)))
    await setUp()
    shared.before = (method, name) => {
      if (method === 'writeProjection' && name === 'prod/a') {
        throw new SottoError('backend_refused', 'Cannot write "prod/a": permission denied')
      }
    }
    await sync()
    expect(seen('prod/b')).toEqual({ value: 'two' })
    expect(await items()).toEqual([
      'prod/a failed: Cannot write "prod/a": permission denied',
      'prod/large failed: Cannot write "prod/large": it has 20012 bytes',
    ])
    shared.before = () => {}
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'one' })
    await client.put('prod/large', bytes('small now'))
    await client.activate('prod/large', 2)
    await sync()
    expect(await items()).toEqual([])
  })

  test('a write that was cut short is ours after a restart, whatever was changed since', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp()
    await sync()
    await client.put('prod/a', bytes('two'))
    // Written there, and the server does not live to hear of it.
    let written = false
    shared.before = (method, name) => {
      if (method !== 'writeProjection') return
      written = true
      shared.projections.set(name, { revision: 2, content: Buffer.from('{"value":"two"}') })
      throw new SottoError('backend_unavailable', 'Cannot hear the answer')
    }
    await client.activate('prod/a', 2)
    await sync()
    shared.before = () => {}
    expect(written).toBe(true)
    expect(seen('prod/a')).toEqual({ value: 'two' })
    await service[Symbol.asyncDispose]()
    await start()
    await client.activate('prod/a', 1)
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await items()).toEqual([])
    expect(shared.projections.get('prod/a')?.revision).toBe(3)
  })

  test('a mount that was removed and made again stops the mirror until that is accepted', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp()
    await sync()
    shared.projections.clear()
    shared.identity = 'another'
    expect(await sync()).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining('removed and recreated'),
    })
    expect(seen('prod/a')).toBeUndefined()
    await sync({ AcceptMount: true, OnDrift: 'overwrite' })
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await sync()).toMatchObject({ LastResult: 'ok' })
  })

  test('E3: what several operators demand of one run is all done before each is told that it was', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('two'))
    edit('prod/a', 'of another')
    edit('prod/b', 'of another')
    await setUp()
    await sync()
    const held = Promise.withResolvers<string>()
    const before = shared.identity
    let looks = 0
    shared.before = (method) => {
      if (method === 'identity') looks++
    }
    shared.identity = held.promise
    const running = client.operate('job-run', { Name: 'mirror' })
    await until(() => looks > 0)
    const countOf = (what: string): number =>
      service.records().filter(({ operation }) => operation === what).length
    const synced = ['prod/a', 'prod/b'].map((name) => sync({ Secrets: [name], OnDrift: 'adopt' }))
    await until(() => countOf('mirror-sync') === 3)
    held.resolve(await before)
    await running
    for (const each of synced) expect(await each).toMatchObject({ LastResult: 'ok' })
    expect([seen('prod/a'), seen('prod/b')]).toEqual([{ value: 'one' }, { value: 'two' }])
  })

  test('a plan says what a sync would do, and does nothing', async () => {
    await client.put('prod/a', bytes('one'))
    await client.put('prod/b', bytes('two'))
    edit('prod/b', 'of another')
    // Not set up before: a mirror begins by itself.
    shared.before = (method) => {
      if (method.startsWith('write')) throw new SottoError('backend_refused', 'read only')
    }
    await setUp()
    const plan = await client.operate('mirror-plan', { Backend: 'vault' })
    expect(plan.Items).toEqual([
      { Name: 'prod/a', Action: 'write', Reason: 'other readers see another version, or none' },
      { Name: 'prod/b', Action: 'report', Reason: 'someone else made it there' },
    ])
    const adopting = await client.operate('mirror-plan', { Backend: 'vault', OnDrift: 'adopt' })
    expect(adopting.Items[1]).toMatchObject({ Action: 'write' })
    expect(seen('prod/a')).toBeUndefined()
    shared.before = () => {}
    await sync()
    const after = await client.operate('mirror-plan', { Backend: 'vault' })
    expect(after.Items.map(({ Name }) => Name)).toEqual(['prod/b'])
  })

  test('a backend that is deleted takes its mirror along, and leaves what it showed', async () => {
    await client.put('prod/a', bytes('one'))
    await setUp()
    await sync()
    await client.operate('backend-delete', { Name: 'vault', LeaveValues: false })
    expect(seen('prod/a')).toEqual({ value: 'one' })
    expect(await client.operate('mirror-status', {})).toEqual([])
    // By its marks what it showed is known again.
    await setUp()
    await client.put('prod/a', bytes('two'))
    await client.activate('prod/a', 2)
    await sync()
    expect(seen('prod/a')).toEqual({ value: 'two' })
  })
})
