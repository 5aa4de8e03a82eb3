/** What somebody with the keys of before the root key was replaced could make a store say, with copies of later. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import type { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { covered, digestOfShape, macOf } from '../../server/gate/mac-fields.ts'
import { openKeyring } from '../../server/keys/wraps.ts'
import { withKeys } from '../../server/start/offline.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const NAME = 'pay/key'
const BY = '{"hostname":"root","ip":"127.0.0.1"}'
const AT = '2026-01-01T00:00:00.000Z'

/** The keys in a copy of a store, which change no more. */
async function keysIn(path: string, keyFile: string): Promise<Keyring> {
  const store = await openStore(path)
  const providers = [localKeyProvider(keyFile)]
  const { keyring } = await openKeyring(store.identity.id, await store.keys(), providers)
  await store.close()
  return keyring
}

/** Has the secret be again what it was in `copy`, by a change that is signed with `keyring`. */
function putBack(state: string, copy: string, keyring: Keyring): void {
  const db = new Database(join(state, 'sotto.db'))
  db.pragma('foreign_keys = OFF')
  db.prepare('ATTACH ? AS old').run(copy)
  db.exec(`
    DELETE FROM secret; INSERT INTO secret SELECT * FROM old.secret;
    DELETE FROM version; INSERT INTO version SELECT * FROM old.version`)
  const meta = db
    .prepare<[], { id: string; revision: number }>(
      'UPDATE meta SET revision = revision + 1 RETURNING store_id AS id, revision',
    )
    .get() as { id: string; revision: number }
  const { secret, text } = db
    .prepare<[], { secret: number; text: string }>(`
      SELECT id AS secret, concat_ws(' ', incarnation, active, versions, removed, '', name) AS text
      FROM secret`)
    .get() as { secret: number; text: string }
  const change = { id: 900_000, hash: '0'.repeat(64), by: BY, at: AT }
  const of = { about: 'secret', verb: 'activate', name: NAME, incarnation: 1, version: 1 } as const
  const stated = { ...change, ...of, state: digestOfShape(text) }
  db.prepare(`
    INSERT INTO change (revision, audit_id, audit_hash, verb, secret, incarnation, version, by, at)
    VALUES (:revision, :id, :hash, :verb, :secret, :incarnation, :version, :by, :at)`).run({
    ...change,
    ...of,
    secret,
    revision: meta.revision,
  })
  const signed = macOf(keyring, covered(meta.id, stated))
  db.prepare('INSERT INTO change_mac (revision, state, mac) VALUES (?, ?, ?)').run(
    meta.revision,
    signed.state,
    signed.mac,
  )
  db.close()
}

test('D8: a change that is signed with a key from before the root key was replaced is refused', async () => {
  using scratch = temporaryDirectory()
  const [state, old, later] = ['state', 'old.db', 'later.db'].map((name) =>
    join(scratch.path, name),
  ) as [string, string, string]
  const served = async <T>(act: (service: Service) => Promise<T>): Promise<T> => {
    await using service = await startService({}, { state })
    return await act(service)
  }
  const get = (): Promise<string> =>
    served(async (service) => Buffer.from((await service.client().get(NAME)).Value).toString())
  await served((service) => service.client().put(NAME, bytes('leaked')))
  copyFileSync(join(state, 'sotto.db'), old)
  const keys = await keysIn(old, join(state, 'local.key'))
  await withKeys({ stateDir: state, keyFile: undefined }, { operator: 'op' }, (files) =>
    files.rotate([]),
  )
  expect(await get()).toBe('leaked')
  copyFileSync(join(state, 'sotto.db'), later)
  await served(async (service) => {
    const client = service.client()
    await client.put(NAME, bytes('new'))
    await client.activate(NAME, 2)
    await client.deleteVersion(NAME, 1)
  })
  expect(await get()).toBe('new')
  copyFileSync(join(state, 'sotto.db'), join(scratch.path, 'good.db'))
  putBack(state, later, keys)
  await expect(get()).rejects.toMatchObject({
    code: 'store_damaged',
    message: expect.stringContaining('by a key that was replaced before it') as string,
  })
  copyFileSync(join(scratch.path, 'good.db'), join(state, 'sotto.db'))
  expect(await get()).toBe('new')
})
