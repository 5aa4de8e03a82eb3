/** The keyring of a store is rotated while the store is used: nothing is lost, and nobody notices. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test, vi } from 'vitest'
import type { OperationResponse } from '../../client/api/operations.ts'
import { bytes, recordsIn, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

type KeyStatus = OperationResponse<'key-status'>

async function textOf(service: Service, name: string, version?: number): Promise<string> {
  const client = service.client()
  const { Value } = await (version === undefined
    ? client.get(name)
    : client.getVersion(name, version))
  return Buffer.from(Value).toString()
}

/** Resolves with the keys once no rotation is under way. */
async function ended(service: Service): Promise<KeyStatus> {
  return vi.waitFor(
    async () => {
      const status = await service.client().operate('key-status', {})
      expect(status.Entries.map(({ State }) => State)).toEqual(['active'])
      return status
    },
    { timeout: 60_000, interval: 50 },
  )
}

/** Entries as `1 retiring 12`. */
function entriesOf({ Entries }: KeyStatus): string[] {
  return Entries.map(({ Id, State, Versions }) => `${Id} ${State} ${Versions}`)
}

function keyringRecords(state: string): string[] {
  return recordsIn(join(state, 'audit'))
    .filter(({ kind }) => kind === 'keyring')
    .map(({ verb, entry, versions = '', principal }) => {
      const { user } = principal as { user: string }
      return `${user} ${String(verb)} ${String(entry)} ${String(versions)}`.trim()
    })
}

test('a rotation moves every data key to a new entry and erases the one before', async () => {
  await using service = await startService()
  const client = service.client()
  for (let at = 0; at < 130; at++) await client.put(`prod/${at}`, bytes(`value ${at}`))
  await client.put('prod/0', bytes('second'))
  await client.deleteVersion('prod/0', 2)
  const [before] = (await client.operate('key-status', {})).Entries
  expect(before).toMatchObject({ Id: 1, State: 'active', Versions: 130 })
  const begun = await client.operate('key-rotate', {})
  expect(begun.Entries.map(({ Id, State }) => [Id, State])).toEqual([
    [1, 'retiring'],
    [2, 'active'],
  ])
  const done = await ended(service)
  expect(done).toMatchObject({ Entries: [{ Id: 2, State: 'active', Versions: 130 }] })
  expect(done.Entries[0]?.Fingerprint).not.toBe(before?.Fingerprint)
  for (let at = 0; at < 130; at++) expect(await textOf(service, `prod/${at}`)).toBe(`value ${at}`)
  expect(await client.put('prod/0', bytes('third'))).toBe(3)
  expect(keyringRecords(service.state)).toEqual([
    'root@example.com add 2',
    'system:rotation move 2 100',
    'system:rotation move 2 30',
    'system:rotation erase 1',
  ])
})

test('while a rotation goes on every request is answered, and new versions are under the new entry', async () => {
  await using service = await startService()
  const client = service.client()
  const names = Array.from({ length: 20 }, (_, at) => `prod/${at}`)
  for (const name of names) for (const text of ['one', 'two']) await client.put(name, bytes(text))
  const expected = new Map(names.map((name) => [name, new Map<number, string>()]))
  const going = new AbortController()
  const load = names.map(async (name, lane) => {
    for (let round = 0; !going.signal.aborted; round++) {
      const text = `${name} in round ${round}`
      const version = await client.put(name, bytes(text))
      expected.get(name)?.set(version, text)
      if (lane % 2 === 0) await client.activate(name, version)
      expect(await textOf(service, name, version)).toBe(text)
      if (lane % 3 === 0 && version > 4) {
        await client.deleteVersion(name, version - 1)
        expected.get(name)?.delete(version - 1)
      }
    }
  })
  for (let count = 2; count <= 4; count++) {
    await client.operate('key-rotate', {})
    expect(entriesOf(await ended(service))[0]).toMatch(new RegExp(`^${count} active`))
  }
  going.abort()
  await Promise.all(load)
  for (const [name, versions] of expected) {
    for (const [version, text] of versions) {
      expect(await textOf(service, name, version), `${name} ${version}`).toBe(text)
    }
  }
  const abandoned = service.records().filter(({ kind }) => kind === 'abandoned')
  expect(abandoned).toEqual([])
})

test('a second rotation joins the one that is under way', async () => {
  await using service = await startService()
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  const begun = await Promise.all([
    client.operate('key-rotate', {}),
    client.operate('key-rotate', {}),
  ])
  for (const { Entries } of begun) expect(Math.max(...Entries.map(({ Id }) => Id))).toBe(2)
  await ended(service)
  expect(keyringRecords(service.state).filter((each) => / add /.test(each))).toHaveLength(1)
})

test('a rotation that a stop cut short goes on by itself at the next start', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  {
    // Alarms that never ring: the job does not begin by itself.
    const timers = { now: () => 0, after: () => () => {} }
    await using service = await startService({ timers }, { state })
    for (let at = 0; at < 30; at++) await service.client().put(`prod/${at}`, bytes(`value ${at}`))
    const { Entries } = await service.client().operate('key-rotate', {})
    expect(Entries.map(({ Versions }) => Versions)).toEqual([30, 0])
    await service.client().put('prod/more', bytes('under the new one'))
  }
  await using service = await startService({}, { state })
  expect(entriesOf(await ended(service))).toEqual(['2 active 31'])
  expect(await textOf(service, 'prod/7')).toBe('value 7')
  expect(await textOf(service, 'prod/more')).toBe('under the new one')
})

test('a data key that does not open keeps the entry, and says so; the others are moved', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  {
    await using service = await startService({}, { state })
    for (const name of ['a', 'b', 'c']) await service.client().put(name, bytes(name))
  }
  const db = new Database(join(state, 'sotto.db'))
  db.prepare('UPDATE version SET wrapped_key = zeroblob(61) WHERE id = 2').run()
  db.close()
  await using service = await startService({}, { state })
  const client = service.client()
  await client.operate('key-rotate', {})
  const status = await vi.waitFor(async () => {
    const found = await client.operate('key-status', {})
    expect(found.Failure).toBeDefined()
    return found
  })
  expect(status.Failure).toContain(
    '1 data keys do not open, the first one: Cannot open the data key',
  )
  expect(entriesOf(status)).toEqual(['1 retiring 1', '2 active 2'])
  expect(await textOf(service, 'a')).toBe('a')
  await client.delete('b')
  expect(entriesOf(await ended(service))).toEqual(['2 active 2'])
})

test('only who may work on keys rotates, looks at them, or wraps anew', async () => {
  await using service = await startService()
  const client = service.client('127.0.0.2')
  for (const operation of ['key-status', 'key-rotate', 'key-rewrap'] as const) {
    await expect(client.operate(operation, {})).rejects.toMatchObject({ code: 'denied' })
  }
  expect(keyringRecords(service.state)).toEqual([])
  expect(service.records().find(({ result }) => result === 'denied')).toMatchObject({
    action: 'keys',
    operation: 'key-status',
    authorized: false,
  })
})

test('the root key is wrapped anew while the server serves', async () => {
  await using service = await startService()
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  const wrappedIn = (): unknown => {
    const db = new Database(join(service.state, 'sotto.db'), { readonly: true })
    const wrapped = db.prepare('SELECT wrapped FROM root_wrap').pluck().get()
    db.close()
    return wrapped
  }
  const before = wrappedIn()
  const [wrap] = await client.operate('key-rewrap', {})
  expect(wrap).toMatchObject({ Provider: 'local', Proven: expect.any(String) })
  expect(wrappedIn()).not.toEqual(before)
  expect(service.records().filter(({ kind }) => kind === 'key')).toMatchObject([
    { verb: 'rewrap', provider: 'local', principal: { user: 'root@example.com' } },
  ])
  await expect(client.operate('key-rewrap', { Key: 'kms' })).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining(
      'No key of this store has the provider or the fingerprint "kms"',
    ),
  })
  await service.server.stop()
  await using again = await startService({}, { state: service.state })
  expect(await textOf(again, 'prod/a')).toBe('one')
})
