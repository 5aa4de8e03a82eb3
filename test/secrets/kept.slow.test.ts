/** What a move leaves at its source until someone says otherwise: under rotations of keys, in backups, and on the log. */
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test, vi } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import { restoreBackup } from '../../server/backup/restore/restore.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { fileSource, providerKeys } from '../../server/backup/source.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { backUp } from '../../server/start/offline.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, recordsIn, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { copyOf, identityOf, Thief } from '../support/thief.ts'

vi.setConfig({ testTimeout: 60_000 })

/** A server on `state` with the backend `one`, whose values are in `shared`. */
function serve(state: string, shared: SharedMemory): Promise<Service> {
  return startService(
    { openBackend: (_, { owner }) => new MemoryBackend(owner, shared) },
    { state, backendOrigins: [ORIGIN] },
  )
}

async function setUp(client: Client): Promise<void> {
  await client.put('backends/token', bytes('the token'))
  await client.operate('backend-create', backendSpec('one'))
}

const plan = (client: Client, From: string, To: string, Names: string[], KeepSource: boolean) =>
  client.operate('migrate-plan', { From, To, Names, KeepSource })

const move = (client: Client, Name: string, From: string, To: string, KeepSource = false) =>
  client.operate('migrate-secret', { Name, From, To, KeepSource })

async function valuesOf(client: Client, name: string): Promise<string[]> {
  const { Versions } = await client.info(name)
  const values: string[] = []
  for (const version of Versions) {
    values.push(Buffer.from((await client.getVersion(name, version)).Value).toString())
  }
  return values
}

/** From now on the backend does not answer. */
function breakDown(shared: SharedMemory): void {
  shared.before = () => {
    throw new SottoError('backend_unavailable', 'it is down')
  }
}

test('R1: what the store keeps besides opens after key rotate --root, and an old copy opens nothing of later', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const shared = new SharedMemory()
  await using service = await serve(state, shared)
  const client = service.client()
  await setUp(client)
  for (const value of ['one', 'two']) await client.put('team/a', bytes(value))
  await client.put('team/b', bytes('b one'))
  await move(client, 'team/a', 'default', 'one', true)
  const stolenKey = join(scratch.path, 'stolen.key')
  cpSync(join(state, 'local.key'), stolenKey)
  const old = await copyOf(state, scratch.path)
  const thief = await Thief.with((await identityOf(old)).id, old, stolenKey)
  expect(await thief.reads(old)).toEqual(
    expect.arrayContaining(['team/a 1', 'team/a 2', 'team/b 1']),
  )

  await client.operate('key-rotate', { Root: true })
  await vi.waitFor(
    async () => {
      const { Root, Entries } = await client.operate('key-status', {})
      expect([Root.Number, Root.Remade, Entries.length]).toEqual([2, undefined, 1])
    },
    { timeout: 60_000, interval: 50 },
  )
  // What is kept from now on is under the new one as well.
  await move(client, 'team/b', 'default', 'one', true)
  await client.put('team/a', bytes('three'))
  expect(await thief.reads(await copyOf(state, scratch.path))).toEqual([])

  const all = ['one', 'two', 'three']
  expect(await valuesOf(client, 'team/a')).toEqual(all)
  // The version that was put since is in the backend alone; those that were kept need no backend.
  shared.before = (method, name) => {
    if (method === 'readLeaf' && name === 'team/b')
      throw new SottoError('backend_unavailable', 'no')
  }
  expect(await move(client, 'team/b', 'one', 'default', true)).toMatchObject({ Result: 'migrated' })
  expect(await valuesOf(client, 'team/b')).toEqual(['b one'])
  expect(await move(client, 'team/a', 'one', 'default', true)).toMatchObject({ Versions: 3 })
  breakDown(shared)
  expect(await valuesOf(client, 'team/a')).toEqual(all)
})

test('R1: a backup has what the store keeps besides: proven, restored, and of use without the backend', async () => {
  using scratch = temporaryDirectory()
  const [state, backups] = [join(scratch.path, 'state'), join(scratch.path, 'backups')]
  mkdirSync(backups)
  const shared = new SharedMemory()
  {
    await using service = await serve(state, shared)
    const client = service.client()
    await setUp(client)
    for (const value of ['one', 'two']) await client.put('team/a', bytes(value))
    await move(client, 'team/a', 'default', 'one', true)
  }
  const made = () =>
    backUp(
      { stateDir: state, keyFile: undefined },
      { operator: 'op' },
      { target: directoryTarget(backups), wholeLog: false },
    )
  const { name } = await made()
  using keys = providerKeys([localKeyProvider(join(state, 'local.key'))])
  const source = await fileSource(join(backups, name))
  expect(await verifyBackup(source, keys)).toMatchObject({ values: 3 })
  const to = join(scratch.path, 'restored')
  await restoreBackup({ source, keys, to, operator: 'op' })
  cpSync(join(state, 'local.key'), join(to, 'local.key'))
  {
    await using service = await serve(to, shared)
    const client = service.client()
    const [own] = await client.operate('backend-list', {})
    expect(own).toMatchObject({ Name: 'default', Copies: 1 })
    breakDown(shared)
    await expect(client.get('team/a')).rejects.toMatchObject({ code: 'backend_unavailable' })
    expect(await move(client, 'team/a', 'one', 'default', true)).toEqual({
      Result: 'migrated',
      Versions: 2,
    })
    expect(await valuesOf(client, 'team/a')).toEqual(['one', 'two'])
  }

  // One that was altered in the file is found by the next backup that is verified.
  const db = new Database(join(state, 'sotto.db'))
  db.exec(`UPDATE version SET kept = zeroblob(length(kept)) WHERE kept IS NOT NULL`)
  db.close()
  const altered = await fileSource(join(backups, (await made()).name))
  await expect(verifyBackup(altered, keys)).rejects.toMatchObject({ code: 'backup_damaged' })
})

describe('on the log', () => {
  test('R1, R6: who had each version read, what kept it, and each value that was removed later', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const shared = new SharedMemory()
    await using service = await serve(state, shared)
    const client = service.client()
    await setUp(client)
    for (const value of ['one', 'two']) await client.put('team/a', bytes(value))
    const told = async (act: () => Promise<unknown>) => {
      const before = recordsIn(join(state, 'audit')).length
      await act()
      return recordsIn(join(state, 'audit'))
        .slice(before)
        .map(({ kind, action, verb, result, secret, secretVersion, backend }) =>
          [kind, action, verb, result, backend, secret, secretVersion].filter(Boolean).join(' '),
        )
        .toSorted()
    }
    const reads = ['access get ok team/a 1', 'access get ok team/a 2']
    const flip = 'change migrate migrate team/a'
    expect(await told(() => move(client, 'team/a', 'default', 'one', true))).toEqual([
      ...reads,
      flip,
    ])
    // What the store kept is given up by reading and sealing anew, so it is told in the same way.
    expect(await told(() => move(client, 'team/a', 'default', 'one'))).toEqual([...reads, flip])
    await move(client, 'team/a', 'one', 'default', true)
    const cleared = await told(() => move(client, 'team/a', 'one', 'default'))
    expect(cleared.filter((line) => line.includes('remove'))).toEqual([
      'place remove one team/a 1',
      'place remove one team/a 2',
    ])
    expect(shared.leaves.size).toBe(0)
    expect(
      (await client.operate('audit-query', { Secret: 'team/a', Action: 'migrate' })).Records,
    ).toHaveLength(3)
  })
})

test('R4: names that match nothing move nothing, are each named, and are on the log', async () => {
  using scratch = temporaryDirectory()
  const shared = new SharedMemory()
  await using service = await serve(join(scratch.path, 'state'), shared)
  const client = service.client()
  await setUp(client)
  await client.put('team/a', bytes('one'))
  await client.put('team/odd,name', bytes('one'))
  for (const [names, missing] of [
    [['typo'], ['typo']],
    [
      ['team/a', 'team/b', 'x*'],
      ['team/b', 'x*'],
    ],
    // The whole name, byte for byte: no prefix, no other case, no space around it.
    [
      ['team', 'TEAM/A', ' team/a'],
      ['team', 'TEAM/A', ' team/a'],
    ],
  ] as const) {
    for (const keeps of [false, true]) {
      await expect(plan(client, 'default', 'one', [...names], keeps)).rejects.toMatchObject({
        code: 'not_found',
        message: `There is no secret for ${missing.map((each) => JSON.stringify(each)).join(', ')}`,
      })
    }
  }
  expect(shared.leaves.size).toBe(0)
  const refused = service.records().filter(({ result }) => result === 'not-found')
  expect(refused[0]).toMatchObject({
    operation: 'migrate-plan',
    asked: expect.stringContaining('"Names":["typo"]'),
  })
  const found = await plan(client, 'default', 'one', ['team/odd,name', 'team/*'], false)
  expect(found.Secrets).toHaveLength(2)
})

test('R5: a dry run says of every kind of secret what the run then does', async () => {
  using scratch = temporaryDirectory()
  const shared = new SharedMemory()
  await using service = await serve(join(scratch.path, 'state'), shared)
  const client = service.client()
  await setUp(client)
  for (const name of ['plain', 'there', 'kept', 'deleted']) {
    await client.put(name, bytes(name))
  }
  await client.delete('deleted')
  await move(client, 'there', 'default', 'one')
  await move(client, 'kept', 'default', 'one', true)
  for (const keeps of [true, false]) {
    const planned = (await plan(client, 'default', 'one', [], keeps)).Secrets
    const names = planned.map(({ Name }) => Name)
    expect(names).toEqual(['backends/token', 'kept', 'plain', 'there'])
    const done = []
    for (const Name of names) {
      const { Versions: _, ...result } = await move(client, Name, 'default', 'one', keeps)
      done.push({ Name, ...result })
    }
    expect(done).toEqual(planned)
  }
})
