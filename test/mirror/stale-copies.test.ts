/** A mirror that an earlier release set up to keep older versions, on a whole server. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import type { Client } from '../../client/client.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { covered, digestOfBackend, macOf } from '../../server/gate/mac-fields.ts'
import { openKeyring } from '../../server/keys/wraps.ts'
import type { Keyring } from '../../server/crypto/keyring.ts'
import type { Store, StoredBackend } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const origin = 'http://127.0.0.1:9'

const shared = new SharedMemory()

function start(state: string): Promise<Service> {
  return startService(
    { openBackend: (_, { owner }) => new MemoryBackend(owner, shared) },
    { state, backendOrigins: [origin] },
  )
}

function apply(client: Client, mirror: object): Promise<unknown> {
  const Config = {
    url: origin,
    mount: 'kv',
    pathPrefix: 'sotto',
    tokenSecretRef: { name: 'backends/vault' },
    mirror: { secrets: ['prod/*'] as string[], onDrift: 'report', onDelete: 'keep', ...mirror },
  } as const
  const spec = { Name: 'vault', Type: 'openbao', Description: '', Default: false, Config } as const
  return client.operate('backend-apply', spec)
}

/** Makes of the store in `state` one whose mirror has `history` and copied versions of two secrets. */
async function asBefore(state: string): Promise<void> {
  const path = join(state, 'sotto.db')
  const store = await openStore(path)
  const { keyring } = await openKeyring(store.identity.id, await store.keys(), [
    localKeyProvider(join(state, 'local.key')),
  ])
  const [stored] = (await store.backends()).backends
  const { secrets: _, orphans: __, ...row } = stored as NonNullable<typeof stored>
  const config = row.config.replace('"secrets":["prod/*"]', '$&,"history":"all"')
  const old: StoredBackend = { ...row, config, mac: keyring.backendMac({ ...row, config }) }
  await store.signChanges([await changeThatMade(old, store, keyring)])
  await store.close()
  const db = new Database(path)
  db.prepare('UPDATE backend SET config = ?, mac = ?').run(old.config, old.mac)
  const copy = db.prepare('INSERT INTO stale_copy SELECT 1, id, ? FROM secret WHERE name = ?')
  copy.run('1-2', 'prod/a b')
  copy.run('1', 'prod/c')
  db.close()
}

/** The change of the backend, signed as if it had led to `backend`. */
async function changeThatMade(backend: StoredBackend, store: Store, keyring: Keyring) {
  const change = (await store.changes(0)).findLast(({ about }) => about === 'backend')
  if (!change) throw new Error('there is no change of a backend')
  const state = digestOfBackend(backend)
  return {
    revision: change.revision,
    ...macOf(keyring, covered(store.identity.id, { ...change, state })),
  }
}

test('a store whose mirror kept older versions opens, and says once where they lie', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const before = await start(state)
  const client = before.client()
  await client.put('backends/vault', bytes('token'))
  await client.put('prod/a b', bytes('one'))
  await client.put('prod/a b', bytes('two'))
  await client.put('prod/c', bytes('three'))
  await apply(client, {})
  await before[Symbol.asyncDispose]()
  expect(before.said.join()).not.toContain('copies')
  await asBefore(state)

  const first = await start(state)
  expect(first.said).toEqual(
    expect.arrayContaining([
      'warn: backend "vault" has 3 copies of versions that its mirror kept; nothing reads them, and Sotto leaves them there',
      'warn: each is removed with: bao kv metadata delete -mount=kv PATH/VERSION',
      'warn: PATH sotto/versions/prod/a=20b: VERSION 1, 2',
      'warn: PATH sotto/versions/prod/c: VERSION 1',
    ]),
  )
  const ended = await first
    .client()
    .operate('mirror-sync', { Backend: 'vault', AcceptMount: false })
  expect(ended).toMatchObject({ LastResult: 'ok' })
  await first[Symbol.asyncDispose]()

  await using second = await start(state)
  expect(second.said.join()).not.toContain('versions/')
  expect(await second.client().operate('mirror-status', {})).toMatchObject([
    { Counts: { ok: 2 }, Items: [] },
  ])
  // The setting in the stored row is no difference.
  expect(await apply(second.client(), {})).toMatchObject({ Result: 'unchanged' })
})

test('a setting `history` that says nothing is accepted, and any other refused', async () => {
  using scratch = temporaryDirectory()
  await using service = await start(join(scratch.path, 'state'))
  const client = service.client()
  await client.put('backends/vault', bytes('token'))
  await apply(client, { history: 'none' })
  expect(await apply(client, {})).toMatchObject({ Result: 'unchanged' })
  for (const history of ['active', 'all', 7]) {
    await expect(apply(client, { history })).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining(
        'field "Config.mirror.history": must be left out: a mirror shows the active version and keeps no others',
      ),
    })
  }
})
