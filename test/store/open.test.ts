import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NEWEST_SCHEMA } from '../../server/store/sqlite/migrate.ts'
import { createStore, openStore } from '../../server/store/sqlite/store.ts'
import { Hand } from '../contract/store-hand.ts'
import { seed } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { makeStore } from './made.ts'

let directory: ReturnType<typeof temporaryDirectory>
let path: string

beforeEach(() => {
  directory = temporaryDirectory()
  path = join(directory.path, 'store.db')
})

afterEach(() => directory[Symbol.dispose]())

/** Changes the file of a closed store behind its back. */
function tamper(sql: string): void {
  const db = new Database(path)
  db.exec(sql)
  db.close()
}

/** A closed store that holds some secrets. */
async function fill(): Promise<void> {
  createStore(path, seed)
  const store = await openStore(path)
  const hand = new Hand(store)
  for (const name of ['a', 'b', 'a', 'c', 'a']) await hand.append(name)
  await hand.removeVersion('a', 2)
  await store.close()
}

describe('creating a store', () => {
  test('makes one file, for its owner alone, and nothing beside it', () => {
    createStore(path, seed)
    expect(readdirSync(directory.path)).toEqual(['store.db'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('never replaces what is there', () => {
    writeFileSync(path, 'something')
    expect(() => createStore(path, seed)).toThrow(
      expect.objectContaining({ name: 'SottoError', code: 'store_exists' }),
    )
    expect(readFileSync(path, 'utf8')).toBe('something')
    expect(readdirSync(directory.path)).toEqual(['store.db'])
  })

  test('never replaces a link that leads nowhere', () => {
    symlinkSync('nowhere', path)
    expect(() => createStore(path, seed)).toThrow(expect.objectContaining({ code: 'store_exists' }))
    expect(readdirSync(directory.path)).toEqual(['store.db'])
  })

  test('refuses beside the log of a store whose file is gone', () => {
    writeFileSync(`${path}-wal`, 'a log')
    expect(() => createStore(path, seed)).toThrow(expect.objectContaining({ code: 'store_exists' }))
  })

  test('says so where the directory is missing, and leaves nothing after a seed it cannot keep', () => {
    const local = expect.objectContaining({ code: 'local' }) as Error
    expect(() => createStore(join(directory.path, 'no', 'store.db'), seed)).toThrow(local)
    const twice = { ...seed, keys: [...seed.keys, ...seed.keys] }
    expect(() => createStore(path, twice)).toThrow(local)
    expect(readdirSync(directory.path)).toEqual([])
  })
})

describe('opening a store', () => {
  test('never makes one', async () => {
    await expect(openStore(path)).rejects.toMatchObject({ name: 'SottoError', code: 'no_store' })
    await expect(openStore(join(path, 'deeper'))).rejects.toMatchObject({ code: 'no_store' })
    expect(readdirSync(directory.path)).toEqual([])
  })

  test.each<[string, () => void]>([
    ['a text', () => writeFileSync(path, 'this is a text, long enough to have a header'.repeat(9))],
    ['an empty file', () => writeFileSync(path, '')],
    ['another program’s database', () => tamper('CREATE TABLE t (x); PRAGMA user_version = 1')],
    ['a directory', () => mkdirSync(path)],
  ])('refuses %s and leaves it as it is', async (_, make) => {
    make()
    const before = readdirSync(directory.path)
    const bytes = statSync(path).isFile() ? readFileSync(path) : undefined
    await expect(openStore(path)).rejects.toMatchObject({ code: 'store_foreign' })
    expect(readdirSync(directory.path)).toEqual(before)
    expect(statSync(path).isFile() ? readFileSync(path) : undefined).toEqual(bytes)
  })

  test('refuses a store of a newer release and says what to do', async () => {
    await fill()
    tamper('PRAGMA user_version = 99')
    await expect(openStore(path)).rejects.toMatchObject({
      code: 'store_newer',
      message: expect.stringContaining(
        `found schema 99, this release knows ${NEWEST_SCHEMA}`,
      ) as string,
      hint: expect.stringContaining('Upgrade the program') as string,
    })
  })

  test.each([
    ['a number left out', "UPDATE secret SET versions = '1' WHERE name = 'a'"],
    ['a tombstone left out', "UPDATE secret SET removed = '' WHERE name = 'a'"],
    ['a pointer to no version', "UPDATE secret SET active = 2 WHERE name = 'a'"],
    ['no schema', 'PRAGMA user_version = 0'],
  ])('refuses a store with %s', async (_, sql) => {
    await fill()
    tamper(sql)
    await expect(openStore(path)).rejects.toMatchObject({
      code: 'store_damaged',
      hint: expect.stringContaining('restore the store from a backup') as string,
    })
  })

  test('refuses a store with a page overwritten, wherever it is', async () => {
    await fill()
    const pages = statSync(path).size / 4096
    const whole = readFileSync(path)
    for (let page = 1; page < pages; page += 4) {
      const file = openSync(path, 'r+')
      writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096)
      closeSync(file)
      await expect(openStore(path)).rejects.toMatchObject({ code: 'store_damaged' })
      writeFileSync(path, whole)
    }
    await (await openStore(path)).close()
  })

  test.each([
    [
      'trigger "keep"',
      `CREATE TABLE kept (value BLOB);
       CREATE TRIGGER keep AFTER UPDATE ON version BEGIN INSERT INTO kept VALUES (old.sealed); END`,
    ],
    ['view "secrets"', 'CREATE VIEW secrets AS SELECT name FROM secret'],
  ])('B2: refuses a store in which somebody left a %s', async (what, sql) => {
    await fill()
    tamper(sql)
    await expect(openStore(path)).rejects.toMatchObject({
      code: 'store_damaged',
      message: `Cannot open the store "${path}": it has the ${what}, not of Sotto's making`,
    })
  })

  test('refuses a store cut short', async () => {
    await fill()
    const whole = readFileSync(path)
    writeFileSync(path, whole.subarray(0, whole.length - 4096))
    await expect(openStore(path)).rejects.toMatchObject({ code: 'store_damaged' })
  })

  test('keeps a write-ahead log, for its owner alone, and ends it when closed', async () => {
    await using made = await makeStore()
    await made.hand.append('a')
    const modes = readdirSync(made.directory).map((name) => [
      name,
      statSync(join(made.directory, name)).mode & 0o777,
    ])
    expect(modes).toEqual([
      ['store.db', 0o600],
      ['store.db-shm', 0o600],
      ['store.db-wal', 0o600],
    ])
    const beside = new Database(made.path, { readonly: true })
    expect(beside.pragma('journal_mode', { simple: true })).toBe('wal')
    beside.close()
    await made.store.close()
    expect(readdirSync(made.directory)).toEqual(['store.db'])
  })

  test('is bounded in time', async () => {
    await fill()
    await expect(openStore(path, { openMs: 1 })).rejects.toMatchObject({
      code: 'store_unavailable',
      message: expect.stringContaining(`"${path}" did not answer within 1 ms`) as string,
    })
  })
})
