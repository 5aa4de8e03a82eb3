/** Secrets whose values are in a backend, on a whole server: every verb, and what fails on the way. */
import Database from 'better-sqlite3'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { DOUBT_MS } from '../../server/secrets/doubts.ts'
import { processTimers } from '../../client/platform/timers.ts'
import type { Backend, Owner } from '../../server/backends/contract.ts'
import type { World } from '../../server/start/server.ts'
import { fileSource } from '../../server/backup/source.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { madeState } from '../backup/made.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, type Line, type Service, startService } from '../support/service.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'

/** A server whose new secrets are in a backend in memory, and all that the backend was asked. */
interface Elsewhere extends AsyncDisposable {
  readonly service: Service
  readonly shared: SharedMemory
  readonly calls: string[]
  /** Makes the methods of the backend that are named fail. */
  readonly fail: (...methods: (keyof Backend)[]) => void
}

interface Options {
  readonly state?: string
  readonly shared?: SharedMemory
  readonly world?: World
}

async function start(options: Options = {}): Promise<Elsewhere> {
  const { state, shared = new SharedMemory(), world = {} } = options
  const calls: string[] = []
  let failing: readonly (keyof Backend)[] = []
  shared.before = (method, name) => {
    calls.push(`${method} ${name}`)
    if (failing.includes(method)) {
      throw new SottoError('backend_unavailable', `Cannot ${method}: it is down`, {
        hint: 'Start it.',
        found: 'it is down',
      })
    }
  }
  const openBackend = (_: unknown, { owner }: { owner: Owner }): Backend =>
    new MemoryBackend(owner, shared)
  const service = await startService(
    { ...world, openBackend },
    { backendOrigins: [ORIGIN], ...(state !== undefined && { state }) },
  )
  const backends = await service.client().operate('backend-list', {})
  if (backends.length === 1) await setUp(service)
  return {
    service,
    shared,
    calls,
    fail: (...methods) => {
      failing = methods
    },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}

async function setUp(service: Service, isDefault = true): Promise<void> {
  const client = service.client()
  await client.put('backends/token', bytes('the token'))
  await client.operate('backend-create', { ...backendSpec('vault'), Default: isDefault })
}

const text = (value: Uint8Array): string => new TextDecoder().decode(value)

const leavesIn = ({ shared }: Elsewhere): string[] => [...shared.leaves.keys()].toSorted()

const verbs = (records: readonly Line[], secret: string): unknown[] =>
  records
    .filter((record) => record['secret'] === secret)
    .map(({ kind, verb, action, secretVersion, result }) =>
      kind === 'change' ? [verb, secretVersion] : [action, secretVersion, result],
    )

describe('a secret whose values are in a backend', () => {
  test('is put, read, activated and deleted like any other', async () => {
    await using elsewhere = await start()
    const { service } = elsewhere
    const client = service.client()
    expect(await client.put('prod/a', bytes('one'))).toBe(1)
    expect(await client.put('prod/a', bytes('two'))).toBe(2)
    await client.createVersion('prod/a', 7, bytes('seven'))
    expect(await client.info('prod/a')).toEqual({
      Name: 'prod/a',
      Versions: [1, 2, 7],
      ActiveVersion: 7,
    })
    expect(text((await client.get('prod/a')).Value)).toBe('seven')
    expect(text((await client.getVersion('prod/a', 1)).Value)).toBe('one')
    await client.activate('prod/a', 2)
    expect(text((await client.get('prod/a')).Value)).toBe('two')
    expect(leavesIn(elsewhere)).toEqual(['["prod/a",1]', '["prod/a",2]', '["prod/a",7]'])
    await client.deleteVersion('prod/a', 1)
    await expect.poll(() => leavesIn(elsewhere)).toEqual(['["prod/a",2]', '["prod/a",7]'])
    await client.delete('prod/a')
    await expect.poll(() => leavesIn(elsewhere)).toEqual([])
    expect(await client.put('prod/a', bytes('again'))).toBe(8)
    expect(text((await client.get('prod/a')).Value)).toBe('again')
    expect((await client.list()).map(({ Name }) => Name)).toEqual(['backends/token', 'prod/a'])
  })

  test('its value is in the backend alone, and the store has a reference', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const value = 'CANARY-elsewhere-7713'
    const shared = new SharedMemory()
    {
      await using elsewhere = await start({ state, shared })
      await elsewhere.service.client().put('prod/a', bytes(value))
    }
    const db = new Database(join(state, 'sotto.db'), { readonly: true })
    const rows = db.prepare('SELECT number, backend, length(sealed) AS size FROM version').all()
    db.close()
    expect(rows).toEqual([
      { number: 1, backend: null, size: 29 + 'the token'.length },
      { number: 1, backend: 1, size: 29 + 36 },
    ])
    expect(readFileSync(join(state, 'sotto.db')).includes(value)).toBe(false)
    await using elsewhere = await start({ state, shared })
    expect(text((await elsewhere.service.client().get('prod/a')).Value)).toBe(value)
  })

  test('what needs no value asks no backend: 304, lists, activate', async () => {
    await using elsewhere = await start()
    const { service, calls, fail } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.put('prod/a', bytes('two'))
    calls.length = 0
    fail('readLeaf', 'writeLeaf', 'leaves', 'removeLeaf')
    expect(await client.getIfChanged('prod/a', 1)).toBeUndefined()
    await client.activate('prod/a', 2)
    expect(await client.info('prod/a')).toMatchObject({ ActiveVersion: 2 })
    expect(await client.list()).toHaveLength(2)
    expect(calls).toEqual([])
  })

  test('is told apart from one that is not there while its backend is down, and holds up no other', async () => {
    await using elsewhere = await start()
    const { service, fail } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    fail('readLeaf', 'writeLeaf', 'leaves', 'removeLeaf')
    const { status, headers, text: body } = await service.post('get', { Name: 'prod/a' })
    expect([status, headers.get('sotto-error'), body]).toEqual([
      503,
      'backend_unavailable',
      'the backend of this secret is unavailable, try again later\n',
    ])
    const error = { code: 'backend_unavailable', message: expect.stringContaining('it is down') }
    await expect(client.put('prod/a', bytes('two'))).rejects.toMatchObject(error)
    await expect(client.put('prod/new', bytes('two'))).rejects.toMatchObject(error)
    await expect(client.createVersion('prod/a', 9, bytes('x'))).rejects.toMatchObject(error)
    expect(text((await client.get('backends/token')).Value)).toBe('the token')
    await expect(client.get('prod/none')).rejects.toMatchObject({ code: 'not_found' })
    const records = service.records()
    const left = records.find(({ secret, action }) => secret === 'prod/a' && action === 'get')
    expect(records).toContainEqual(expect.objectContaining({ kind: 'abandoned', of: left?.['id'] }))
    // R3: nobody read it and nobody changed it but by the first put, and no answer says otherwise.
    const asked = async (Result: 'ok' | 'abandoned', more = {}) => {
      const question = { Secret: 'prod/*', Result, ...more }
      const { Records } = await client.operate('audit-query', question)
      return Records.map(({ id, outcome }) => [id, outcome])
    }
    const put = records.filter(({ secret, kind }) => secret === 'prod/a' && kind === 'change')
    for (const more of [{}, { Newest: true }]) {
      expect(await asked('ok', more)).toEqual(put.slice(0, 2).map(({ id }) => [id, 'ok']))
      expect(await asked('abandoned', more)).toContainEqual([left?.['id'], 'abandoned'])
    }
    const { stdout } = await runSotto([
      'audit',
      'query',
      join(service.state, 'audit'),
      '--secret=prod/a',
    ])
    expect(stdout).toMatch(/ get +prod\/a +1 +abandoned$/m)
    expect(stdout).not.toMatch(/ get .* ok/)
    fail()
    expect(await client.get('prod/a')).toMatchObject({ Version: 1 })
    // The backend was looked at before a number was taken.
    expect(await client.put('prod/a', bytes('two'))).toBe(2)
  })

  test('a write that comes to nothing burns its number, and is cleared once it can come about no more', async () => {
    let ahead = 0
    const timers = { ...processTimers, now: () => processTimers.now() + ahead }
    await using elsewhere = await start({ world: { timers } })
    const { service, fail, shared } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    fail('writeLeaf')
    await expect(client.put('prod/a', bytes('two'))).rejects.toMatchObject({
      code: 'backend_unavailable',
    })
    expect(verbs(service.records(), 'prod/a').slice(2)).toEqual([
      ['reserve', 2],
      ['put', 2, 'failed'],
    ])
    expect(await client.info('prod/a')).toMatchObject({ Versions: [1] })
    // It had got there, though no answer said so.
    const [leaf] = shared.leaves.values()
    shared.leaves.set('["prod/a",2]', leaf as typeof leaf & {})
    fail()
    expect(await client.put('prod/a', bytes('two'))).toBe(3)
    await expect(client.createVersion('prod/a', 2, bytes('x'))).rejects.toMatchObject({
      code: 'version_taken',
    })
    expect(await client.operate('job-run', { Name: 'backends' })).toMatchObject({
      LastResult: 'ok',
      LastMessage: 'nothing to clear',
    })
    expect(leavesIn(elsewhere)).toHaveLength(3)
    ahead = DOUBT_MS
    await client.operate('job-run', { Name: 'backends' })
    expect(leavesIn(elsewhere)).toEqual(['["prod/a",1]', '["prod/a",3]'])
    const { Leftovers } = await client.operate('backend-describe', { Name: 'vault' })
    expect(Leftovers).toBe(0)
  })

  test('what was altered or removed in the backend is told, and never revealed', async () => {
    await using elsewhere = await start()
    const { service, shared } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    const leaf = shared.leaves.get('["prod/a",1]')
    if (!leaf) throw new Error('there is no leaf')
    const refused = async (reason: string): Promise<void> => {
      const { status, headers, text: body } = await service.post('get', { Name: 'prod/a' })
      expect([status, headers.get('sotto-error')]).toEqual([502, 'backend_altered'])
      expect(headers.get('sotto-detail')).toContain(reason)
      expect(body).not.toContain('other')
    }
    leaf.value = Buffer.from('other')
    await refused('it is not the value that was written')
    shared.leaves.delete('["prod/a",1]')
    await refused('it is gone')
    // The latest version is known without it.
    expect(await client.put('prod/a', bytes('one'))).toBe(1)
    expect(await client.put('prod/a', bytes('two'))).toBe(2)
  })

  test('numbers that a copy of the store gave in the backend are passed over', async () => {
    await using elsewhere = await start()
    const { service, shared } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    const [leaf] = shared.leaves.values()
    for (const number of [2, 3, 9]) {
      shared.leaves.set(`["prod/a",${number}]`, {
        ...leaf,
        value: Buffer.from('later'),
      } as typeof leaf & {})
    }
    expect(await client.put('prod/a', bytes('two'))).toBe(10)
    await expect(client.createVersion('prod/a', 3, bytes('x'))).rejects.toMatchObject({
      code: 'version_taken',
    })
    expect(text((await client.getVersion('prod/a', 10)).Value)).toBe('two')
  })

  test('nothing is asked of a backend before its record is durable', async () => {
    const disk = faultyFiles()
    await using elsewhere = await start({ world: { auditFiles: disk.files, waitMs: 1000 } })
    const { service, calls } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    calls.length = 0
    disk.set('full')
    const answers = await Promise.all([
      service.post('get', { Name: 'prod/a' }),
      service.post('put', { Name: 'prod/a', Value: 'dHdv' }),
      service.post('put', { Name: 'prod/a', Value: 'b25l' }),
      service.post('delete', { Name: 'prod/a' }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 500, 500])
    // A look at the place of a value that is about to be written reveals and changes nothing.
    expect(calls.every((call) => call === 'readLeaf prod/a')).toBe(true)
    expect(calls.length).toBeLessThanOrEqual(2)
    expect(leavesIn(elsewhere)).toEqual(['["prod/a",1]'])
    disk.set('works')
    await expect
      .poll(
        () =>
          client.get('prod/a').then(
            ({ Version }) => Version,
            () => 0,
          ),
        { timeout: 30_000 },
      )
      .toBe(1)
  })

  test('what could not be removed there is removed later, and its backend waits for that', async () => {
    await using elsewhere = await start()
    const { service, fail } = elsewhere
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    await client.operate('backend-apply', {
      Name: 'default',
      Type: 'sotto',
      Description: '',
      Default: true,
    })
    await expect(
      client.operate('backend-delete', { Name: 'vault', LeaveValues: true }),
    ).rejects.toMatchObject({
      code: 'backend_in_use',
      message: expect.stringContaining('1 secret'),
    })
    fail('removeLeaf')
    await client.delete('prod/a')
    expect(await client.operate('job-run', { Name: 'backends' })).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining('it is down'),
    })
    expect(await client.operate('backend-describe', { Name: 'vault' })).toMatchObject({
      Secrets: 0,
      Leftovers: 1,
    })
    const gone = { Name: 'vault', LeaveValues: false }
    await expect(client.operate('backend-delete', gone)).rejects.toMatchObject({
      code: 'backend_in_use',
    })
    fail()
    expect(await client.operate('job-run', { Name: 'backends' })).toMatchObject({
      LastResult: 'ok',
    })
    expect(leavesIn(elsewhere)).toEqual([])
    await client.operate('backend-delete', gone)
  })

  test('secrets stay where they are when the default changes', async () => {
    await using service = await startService(
      { openBackend: (_, { owner }) => new MemoryBackend(owner) },
      { backendOrigins: [ORIGIN] },
    )
    const client = service.client()
    await client.put('prod/here', bytes('one'))
    await setUp(service)
    await client.put('prod/there', bytes('one'))
    await client.put('prod/here', bytes('two'))
    const where = async (): Promise<unknown[]> =>
      (await client.operate('backend-list', {})).map(({ Name, Secrets }) => [Name, Secrets])
    // The token and prod/here are in the store.
    expect(await where()).toEqual([
      ['default', 2],
      ['vault', 1],
    ])
    await client.operate('backend-apply', {
      Name: 'default',
      Type: 'sotto',
      Description: '',
      Default: true,
    })
    await client.put('prod/there', bytes('two'))
    await client.put('prod/new', bytes('one'))
    expect(await where()).toEqual([
      ['default', 3],
      ['vault', 1],
    ])
    expect(text((await client.getVersion('prod/there', 2)).Value)).toBe('two')
  })

  test('what a backend logs in with stays in the store, also when it is put anew', async () => {
    await using elsewhere = await start()
    const { service, calls } = elsewhere
    const client = service.client()
    await client.delete('backends/token')
    await client.put('backends/token', bytes('another'))
    expect(calls).toEqual([])
    expect(text((await client.get('backends/token')).Value)).toBe('another')
    await client.put('prod/a', bytes('one'))
    expect(text((await client.get('prod/a')).Value)).toBe('one')
  })

  test('references move to a new entry of the keyring as values do', async () => {
    await using elsewhere = await start()
    const client = elsewhere.service.client()
    for (const name of ['prod/a', 'prod/b']) await client.put(name, bytes(`value of ${name}`))
    await client.operate('key-rotate', {})
    await client.put('prod/a', bytes('two'))
    await expect
      .poll(async () => (await client.operate('key-status', {})).Entries.length, {
        timeout: 15_000,
      })
      .toBe(1)
    expect(text((await client.getVersion('prod/a', 2)).Value)).toBe('two')
    for (const name of ['prod/a', 'prod/b']) {
      expect(text((await client.get(name)).Value)).toBe(`value of ${name}`)
    }
  })

  test('a backup has the references, and proves them without the backend', async () => {
    using made = madeState()
    {
      await using elsewhere = await start({ state: made.state })
      await elsewhere.service.client().put('prod/a', bytes('one'))
      await elsewhere.service.client().put('prod/a', bytes('two'))
    }
    const backup = await made.backUp()
    using keys = made.keys()
    const verified = await verifyBackup(await fileSource(made.pathOf(backup)), keys)
    expect(verified.values).toBe(3)
  })

  test('a record that was moved to another backend, or turned into a value, does not open', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const shared = new SharedMemory()
    {
      await using elsewhere = await start({ state, shared })
      const client = elsewhere.service.client()
      for (const name of ['prod/a', 'prod/b']) await client.put(name, bytes('one'))
      await client.operate('backend-create', backendSpec('other', { pathPrefix: 'other' }))
      const db = new Database(join(state, 'sotto.db'))
      const of = (name: string): string => `secret = (SELECT id FROM secret WHERE name = '${name}')`
      db.exec(`
        UPDATE version SET backend = 2 WHERE ${of('prod/a')};
        UPDATE version SET backend = NULL WHERE ${of('prod/b')};`)
      db.close()
      for (const name of ['prod/a', 'prod/b']) {
        const { status, headers } = await elsewhere.service.post('get', { Name: name })
        expect([status, headers.get('sotto-error')]).toEqual([500, 'store_damaged'])
      }
    }
    await using elsewhere = await start({ state, shared })
    for (const name of ['prod/a', 'prod/b']) {
      const { status, headers } = await elsewhere.service.post('get', { Name: name })
      expect([status, headers.get('sotto-error')]).toEqual([500, 'store_damaged'])
    }
  })
})
