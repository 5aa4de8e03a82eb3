/** Stores that earlier releases wrote open, and keep what they have. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { openStore } from '../../server/store/sqlite/store.ts'
import { Hand } from '../contract/store-hand.ts'
import { hashOf, seed } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'

test('a store of schema 1 opens, migrates, and takes changes of every kind', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'sotto.db')
  const old = new Database(path)
  old.exec(readFileSync(new URL('./schema-1.sql', import.meta.url), 'utf8'))
  const before = old.prepare('SELECT * FROM version ORDER BY id').all()
  old.close()
  for (const start of ['first', 'second']) {
    const store = await openStore(path)
    expect(store.identity).toEqual(seed.identity)
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
  expect(migrated.pragma('user_version', { simple: true })).toBe(2)
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
