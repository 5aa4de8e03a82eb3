/** Stores that earlier releases wrote open, and keep what they have. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import type { KeyChange, StoredKey, StoredWrap } from '../../server/store/contract.ts'
import { NEWEST_SCHEMA } from '../../server/store/sqlite/migrate.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { Hand } from '../contract/store-hand.ts'
import { alice, bytes, hashOf, seed, timeOf } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** A store of before branches. */
const oldIdentity = {
  ...seed.identity,
  branch: '0'.repeat(16),
  former: [],
  adopted: true,
  starts: 0,
  host: '',
}

test('a store of schema 1 opens, migrates, and takes changes of every kind', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'sotto.db')
  const before = write('schema-1', path)
  for (const start of ['first', 'second']) {
    const store = await openStore(path)
    expect(store.identity).toEqual(oldIdentity)
    expect(await store.head()).toEqual({
      revision: 6,
      audit: { id: 40, hash: 'f'.repeat(64) },
    })
    const { keys, wraps } = await store.keys()
    expect({ keys: keys.length, wraps: wraps.map(({ fingerprint }) => fingerprint) }).toEqual({
      keys: seed.keys.length,
      wraps: ['f-local', 'f-age'],
    })
    expect(wraps.map(({ provenAt }) => provenAt)).toEqual([undefined, undefined])
    expect((await store.find('a'))?.versions, start).toEqual([1, 3])
    expect(await store.history('b')).toHaveLength(2)
    expect(await store.committed([1, 6, 7])).toEqual(new Set([1, 6]))
    await store.close()
  }
  const migrated = new Database(path, { readonly: true })
  expect(migrated.pragma('user_version', { simple: true })).toBe(NEWEST_SCHEMA)
  expect(migrated.prepare('SELECT * FROM version ORDER BY id').all()).toEqual(before)
  migrated.close()

  const store = await openStore(path)
  const intent = { id: 41, hash: hashOf(41) }
  const at = '2026-03-01T00:00:00.000Z'
  expect(await store.removeWrap({ intent, by: 'root', at }, 'age', 'f-age')).toBe(7)
  await store.noteProven('local', 'f-local', at)
  expect((await store.keys()).wraps.map(({ provenAt }) => provenAt)).toEqual([at])
  expect(await new Hand(store, 41).append('b')).toBe(8)
  await store.close()
})

test('a store of schema 2 opens, migrates, and has its keyring rotated', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'sotto.db')
  const before = write('schema-2', path)
  const store = await openStore(path)
  expect(store.identity).toEqual(oldIdentity)
  expect(await store.head()).toEqual({ revision: 8, audit: { id: 42, hash: hashOf(42) } })
  expect(await store.committed([6, 41, 42, 43])).toEqual(new Set([6, 41, 42]))
  const { keys, wraps } = await store.keys()
  expect(wraps.map(({ fingerprint, provenAt }) => [fingerprint, provenAt])).toEqual([
    ['f-local', '2026-02-01T00:00:00.043Z'],
    ['f-recovery', undefined],
  ])
  expect(await store.keyUse()).toEqual(new Map([[2, 2]]))
  const at = '2026-03-01T00:00:00.000Z'
  const stamp = (id: number): KeyChange => ({ intent: { id, hash: hashOf(id) }, by: alice, at })
  const entry = { id: 3, createdAt: at, state: 'active', sealed: bytes('key 3') } as const
  const active = keys[1] as StoredKey
  expect(await store.addKey(stamp(43), entry, { ...active, state: 'retiring' })).toBe(9)
  const moved = (await store.wrappedBy(2, 0, 10)).map(({ name, version, wrappedKey }) => ({
    name,
    version,
    expected: wrappedKey,
    wrappedKey: bytes('moved'),
  }))
  expect(await store.moveKeys(stamp(44), 3, moved)).toEqual({ revision: 10, count: 2 })
  for (const [index, id] of [1, 2].entries()) {
    expect(await store.eraseKey(stamp(45 + index), id)).toBe(11 + index)
  }
  const [wrap] = wraps as [StoredWrap]
  const change = { intent: { id: 47, hash: hashOf(47) }, by: 'root', at }
  expect(await store.replaceWrap(change, { ...wrap, wrapped: bytes('w') }, wrap.wrapped)).toBe(13)
  await store.close()
  const migrated = new Database(path, { readonly: true })
  expect(migrated.pragma('user_version', { simple: true })).toBe(NEWEST_SCHEMA)
  expect(migrated.prepare('SELECT verb FROM wrap_change ORDER BY revision').pluck().all()).toEqual([
    'add',
    'remove',
    'rewrap',
  ])
  const rows = migrated.prepare('SELECT * FROM version ORDER BY id').all() as typeof before
  const unmoved = rows.map((row, index) => ({
    ...row,
    key_id: before[index]?.['key_id'],
    wrapped_key: before[index]?.['wrapped_key'],
  }))
  expect(unmoved).toEqual(before)
  migrated.close()
})

test('a store of schema 6 opens, and remembers which copies mirrors kept until they were reported', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'sotto.db')
  write('schema-6', path)
  const stale = [
    { backend: 1, name: 'gone', versions: [1] },
    { backend: 1, name: 'prod/a', versions: [1, 2, 3] },
  ]
  for (const start of ['first', 'second']) {
    const store = await openStore(path)
    expect(await store.staleCopies(), start).toEqual(stale)
    await store.close()
  }
  const store = await openStore(path)
  expect(await store.mirrorHead(1)).toEqual({
    cursor: 10,
    scope: '["prod/*"]',
    place: 'kv_1',
    checkedAt: timeOf(9),
  })
  expect(await store.mirrorHead(2)).toEqual({ cursor: 4, scope: '["dev/*"]', place: 'kv_2' })
  const shown = { incarnation: 1, fingerprint: 'ab'.repeat(32) }
  const since = { since: timeOf(9), reason: '', attempts: 0 }
  expect(await store.mirrored(1, 0, 10)).toEqual([
    {
      cursor: 1,
      name: 'prod/a',
      state: 'ok',
      ...since,
      shown: { ...shown, revision: 3, version: 3 },
    },
    { cursor: 2, name: 'prod/b', state: 'due', ...since, since: timeOf(8) },
    {
      cursor: 3,
      name: 'gone',
      state: 'kept',
      ...since,
      reason: 'it was deleted here',
      shown: { ...shown, revision: 1, version: 1 },
    },
  ])
  expect(await store.homed(2)).toEqual(['kept'])
  expect(
    (await store.backends()).backends.map(({ name, secrets, copies }) => [name, secrets, copies]),
  ).toEqual([
    ['vault', 0, 1],
    ['other', 1, 0],
  ])
  await store.forgetStaleCopies()
  expect(await store.staleCopies()).toEqual([])
  expect(await new Hand(store, 101).append('prod/b')).toBe(16)
  await store.close()
})

/** Writes the store of an old schema to `path`, and returns its versions, which no backend keeps. */
function write(schema: string, path: string): Record<string, unknown>[] {
  const old = new Database(path)
  old.exec(readFileSync(new URL(`./${schema}.sql`, import.meta.url), 'utf8'))
  const versions = old.prepare('SELECT * FROM version ORDER BY id').all()
  old.close()
  return (versions as Record<string, unknown>[]).map((each) => ({
    ...each,
    backend: null,
    kept: null,
  }))
}
