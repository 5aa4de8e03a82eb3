/** A backup proves itself, and whatever is wrong with one is told by name. */
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { CreatedBackup } from '../../server/backup/create.ts'
import { sealBackup } from '../../server/backup/file.ts'
import { fileSource, type BackupSource } from '../../server/backup/source.ts'
import { type VerifiedBackup, verifyBackup } from '../../server/backup/restore/verify.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import type { StoredWrap } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { recordsIn } from '../support/service.ts'
import { backupServer } from './job.ts'
import { fill, madeState, type MadeState } from './made.ts'

// Servers start and stop in these, which takes its time on a machine that is busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let made: MadeState
let backup: CreatedBackup
let file: Buffer
/** Where the chunks begin. */
let body: number

/** Bytes of a whole chunk in the file. */
const CHUNK = 65_552

beforeAll(async () => {
  made = madeState()
  await fill(made.state)
  backup = await made.backUp()
  file = readFileSync(made.pathOf(backup))
  body = 20 + file.readUInt32BE(16) + 61
})

afterAll(() => made[Symbol.dispose]())

async function verify(source: BackupSource, keyFile?: string): Promise<VerifiedBackup> {
  using keys = made.keys(keyFile)
  return await verifyBackup(source, keys)
}

function inMemory(bytes: Uint8Array, name = backup.name): BackupSource {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.byteLength; at += 10_000) yield bytes.subarray(at, at + 10_000)
  }
  return { name, size: bytes.byteLength, read: async () => pieces() }
}

test('a backup of a store with a history verifies, and tells what it has', async () => {
  expect(backup.name).toMatch(/^sotto-20260506T070809\.010Z-[0-9a-f]{32}-r\d+\.backup$/)
  const verified = await verify(await fileSource(made.pathOf(backup)))
  expect(verified).toMatchObject({
    name: backup.name,
    size: file.length,
    values: 6,
    manifest: {
      created: '2026-05-06T07:08:09.010Z',
      store: { counts: { names: 6, secrets: 5, versions: 6, tombstones: 3 } },
      follows: null,
    },
  })
  expect(verified.openedWith).toMatch(/^local key [0-9a-f]{16}$/)
  expect(verified.manifest).toEqual(backup.manifest)
  expect(readdirSync(made.state).filter((name) => name.endsWith('.snapshot'))).toEqual([])
})

test('nothing of a name, a caller or a time stands in the clear behind the head', () => {
  const text = file.toString('latin1')
  for (const word of ['prod/a', 'team/b', 'alice@example.com', 'gone', 'SQLite', '"kind"']) {
    expect(text).not.toContain(word)
  }
})

test('a backup is announced on the audit log before it is there', () => {
  const found = recordsIn(join(made.state, 'audit')).filter(({ kind }) => kind === 'backup')
  expect(found).toMatchObject([
    { backup: backup.name, target: made.backups, operator: 'op on host' },
  ])
})

test('a byte that is flipped anywhere is told, by name', async () => {
  // Every byte up to the manifest, then some of each chunk, its tag above all.
  const places = [...Array(body + 40).keys()]
  for (let at = body; at < file.length; at += CHUNK) places.push(at, at + 20_000, at + CHUNK - 1)
  places.push(file.length - 1, file.length - 16, file.length - 17)
  for (const at of places.filter((each) => each < file.length)) {
    const altered = Uint8Array.from(file)
    altered[at]! ^= 1 << (at % 8)
    await expect(verify(inMemory(altered)), `byte ${at}`).rejects.toMatchObject({
      name: 'SottoError',
      code: expect.stringMatching(/^(?:backup_damaged|store_newer|key_wrong)$/),
    })
  }
})

test('a file that is cut at any place is told, as is one that goes on', async () => {
  const places = [
    0,
    1,
    12,
    16,
    20,
    100,
    200,
    body - 61,
    body - 1,
    file.length - 1,
    file.length - 16,
  ]
  for (let at = body; at < file.length; at += CHUNK) places.push(at, at - 1, at + 1)
  for (const at of places) {
    const cut = file.subarray(0, at)
    const error = await verify(inMemory(cut)).catch((reason: unknown) => reason)
    expect(error, `cut at ${at}`).toMatchObject({ code: 'backup_damaged' })
    // Where the length is not known beforehand, as on a stream, the chunks tell it.
    const blind = { ...inMemory(cut), size: file.length }
    await expect(verify(blind), `cut at ${at}`).rejects.toMatchObject({ code: 'backup_damaged' })
  }
  const longer = Buffer.concat([file, Buffer.from([0])])
  await expect(verify(inMemory(longer))).rejects.toThrow('it has bytes after its end')
  const blind = { ...inMemory(longer), size: file.length }
  await expect(verify(blind)).rejects.toThrow('it has bytes after its end')
})

test('chunks that change places, or come from another backup, are told', async () => {
  const again = await made.backUp('2026-05-06T07:09:00.000Z', true)
  const other = readFileSync(made.pathOf(again))
  const at = body + 2 * CHUNK
  expect(Math.min(file.length, other.length)).toBeGreaterThan(at + CHUNK)
  const swapped = Buffer.from(file)
  file.copy(swapped, at - CHUNK, at, at + CHUNK)
  file.copy(swapped, at, at - CHUNK, at)
  await expect(verify(inMemory(swapped))).rejects.toThrow(/chunk \d+ was altered/)
  const mixed = Buffer.from(file)
  other.copy(mixed, at, at, at + CHUNK)
  await expect(verify(inMemory(mixed))).rejects.toThrow(/chunk \d+ was altered/)
})

test('a backup under the name of one of another store is told', async () => {
  const name = backup.name.replace(/[0-9a-f]{32}/, 'f'.repeat(32))
  await expect(verify(inMemory(file, name))).rejects.toMatchObject({
    code: 'backup_damaged',
    message: expect.stringContaining(`its name says store ${'f'.repeat(32)}`),
  })
  expect((await verify(inMemory(file, 'renamed'))).values).toBe(6)
})

test('a missing and a wrong key are told with the keys that would do', async () => {
  await expect(verify(inMemory(file), join(made.path, 'none'))).rejects.toMatchObject({
    code: 'key_missing',
  })
  const other = join(made.path, 'other.key')
  await createKeyFile(other)
  await expect(verify(inMemory(file), other)).rejects.toMatchObject({
    code: 'key_wrong',
    message: expect.stringMatching(/it was sealed under local key [0-9a-f]{16}, the given key is/),
  })
})

test.each([
  ['a pointer', "UPDATE secret SET active = 3 WHERE name = 'prod/a'", /record of secret "prod\/a"/],
  [
    'a value',
    `UPDATE version SET sealed = (SELECT sealed FROM version WHERE number = 7)
      WHERE number = 3 AND secret = (SELECT id FROM secret WHERE name = 'prod/a')`,
    /the value of "prod\/a" version 3/,
  ],
])(
  'a store that a server had open while it was tampered with is told by its backup: %s',
  async (_, sql, told) => {
    using other = madeState(made.state)
    {
      await using server = await backupServer(other)
      const db = new Database(join(other.state, 'sotto.db'))
      db.exec(sql)
      db.close()
      await server.run(true)
    }
    const taken = readdirSync(other.backups).filter((name) => name.endsWith('.backup'))
    expect(taken).toHaveLength(1)
    using keys = other.keys()
    const found = verifyBackup(await fileSource(join(other.backups, taken[0] ?? '')), keys)
    await expect(found).rejects.toMatchObject({
      code: 'backup_damaged',
      message: expect.stringMatching(told),
    })
  },
)

test('of a store that was tampered with while no server ran, a pointer is refused before a backup is made', async () => {
  using other = madeState(made.state)
  const db = new Database(join(other.state, 'sotto.db'))
  db.exec("UPDATE secret SET active = 3 WHERE name = 'prod/a'")
  db.close()
  await expect(other.backUp('2026-06-01T00:00:00.000Z')).rejects.toMatchObject({
    code: 'store_damaged',
    message: expect.stringContaining('secret "prod/a"'),
  })
  expect(readdirSync(other.backups)).toEqual([])
})

test('a backup of a later schema is told with the release that wrote it', async () => {
  const opened = await openKeys()
  const { manifest } = backup
  const later = { ...manifest, program: '9.9.9', store: { ...manifest.store, schema: 99 } }
  const parts = manifest.parts.map(({ name, size }) => ({
    name,
    size,
    read: async function* read() {
      yield Buffer.alloc(size)
    },
  }))
  const pieces: Uint8Array[] = []
  const newFileKey = (hash: string) => opened.keyring.newFileKey(hash)
  const sealed = await sealBackup(
    newFileKey,
    { wraps: opened.wraps, root: opened.keyring.rootFingerprint },
    later,
    parts,
  )
  for await (const piece of sealed.bytes()) {
    pieces.push(piece)
  }
  await expect(verify(inMemory(Buffer.concat(pieces)))).rejects.toMatchObject({
    code: 'store_newer',
    message: expect.stringContaining('its store has schema 99'),
    hint: expect.stringContaining('9.9.9'),
  })
})

async function openKeys(): Promise<{ keyring: Keyring; wraps: readonly StoredWrap[] }> {
  const store = await openStore(join(made.state, 'sotto.db'))
  const { keys, wraps } = await store.keys()
  const { id } = store.identity
  await store.close()
  const { rootKey } = await openRootKey([localKeyProvider(made.keyFile)], wraps, id)
  return { keyring: Keyring.open(id, rootKey, keys), wraps }
}

test('what is no backup is told as such', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(5000), Buffer.from('sotto local key 1\n')]) {
    await expect(verify(inMemory(bytes))).rejects.toMatchObject({
      code: 'backup_damaged',
      message: expect.stringContaining('does not begin as a backup of Sotto does'),
    })
  }
  await expect(fileSource(join(made.path, 'nothing'))).rejects.toMatchObject({ code: 'no_backup' })
  await expect(fileSource(made.path)).rejects.toMatchObject({ code: 'no_backup' })
})

test('a backup that cannot be written leaves none, and the log says so', async () => {
  const away = `${made.backups}.away`
  renameSync(made.backups, away)
  await expect(made.backUp()).rejects.toMatchObject({ code: 'target_unavailable' })
  renameSync(away, made.backups)
  writeFileSync(join(made.backups, backup.name.replace('010Z', '099Z')), '')
  const before = readdirSync(made.backups).length
  await expect(made.backUp('2026-05-06T07:08:09.099Z')).rejects.toMatchObject({
    code: 'target_unavailable',
    message: expect.stringContaining('the name is taken'),
  })
  expect(readdirSync(made.backups)).toHaveLength(before)
  const records = recordsIn(join(made.state, 'audit'))
  const told = records.findLast(({ kind }) => kind === 'backup')
  expect(records).toContainEqual(expect.objectContaining({ kind: 'abandoned', of: told?.['id'] }))
})
