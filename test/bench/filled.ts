/** A state directory with many secrets, written in one go. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Keyring } from '../../server/crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { configureWriter } from '../../server/store/sqlite/open.ts'
import { createStore } from '../../server/store/sqlite/store.ts'

const VALUE_BYTES = 1024
/** No record of a server that serves the store later has such an id, and each is newer. */
const FIRST_AUDIT = -(2 ** 40)

/** Makes a store of `--dev` with `count` secrets of 1 KiB, or so many bytes, `fill/1` and so on, in `directory`. */
export async function makeFilled(
  directory: string,
  count: number,
  bytes: number = VALUE_BYTES,
): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const id = '00112233445566778899aabbccddeeff'
  const createdAt = '2026-01-01T00:00:00.000Z'
  const { keyring, rootKey, keys } = Keyring.create(id)
  const keyFile = join(directory, 'local.key')
  await createKeyFile(keyFile)
  const key = localKeyProvider(keyFile)
  const wrapped = await key.wrap(rootKey, id)
  const wrap = { provider: key.name, fingerprint: await key.fingerprint(), createdAt, wrapped }
  const path = join(directory, 'sotto.db')
  createStore(path, {
    identity: { id, development: true, createdAt, branch: '0'.repeat(16) },
    keys,
    wraps: [wrap],
  })
  const db = new Database(path)
  configureWriter(db)
  const secret = db.prepare(`
    INSERT INTO secret (id, name, incarnation, active, highest, versions, removed, mac)
    VALUES (?, ?, 1, 1, 1, '1', '', ?)`)
  const change = db.prepare(`
    INSERT INTO change (revision, audit_id, audit_hash, verb, secret, incarnation, version, by, at)
    VALUES (?, ?, ?, 'append', ?, 1, 1, '{"hostname":"bench","ip":"127.0.0.1"}', ?)`)
  const version = db.prepare(`
    INSERT INTO version (secret, number, incarnation, added, key_id, wrapped_key, sealed)
    VALUES (?, 1, 1, ?, ?, ?, ?)`)
  db.transaction(() => {
    for (let at = 1; at <= count; at++) {
      const name = `fill/${at}`
      const state = { name, incarnation: 1, active: 1, highest: 1, versions: [1], removed: [] }
      const value = Buffer.alloc(bytes, String(at))
      const { keyId, wrappedKey, sealed } = keyring.seal(
        { name, incarnation: 1, version: 1 },
        value,
      )
      secret.run(at, name, keyring.mac(state))
      change.run(at, FIRST_AUDIT + at, '0'.repeat(64), at, createdAt)
      version.run(at, at, keyId, wrappedKey, sealed)
    }
    db.prepare('UPDATE meta SET revision = ?').run(count)
  }).immediate()
  db.close()
}
