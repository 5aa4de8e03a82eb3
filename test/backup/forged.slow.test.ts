/**
 * A backup of a store that somebody made up: of the victim's store id, under a root key of their own that is wrapped
 * for the victim's recovery key, whose recipient is public.
 */
import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identityToRecipient, generateIdentity } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { beginning } from '../../audit/line.ts'
import { createBackup, type CreatedBackup } from '../../server/backup/create.ts'
import { restoreCopy } from '../../server/backup/restore/restore-copy.ts'
import { type RestoreParts, restoreBackup } from '../../server/backup/restore/restore.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { type BackupKeys, fileSource, providerKeys } from '../../server/backup/source.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import { identityProvider, recipientProvider } from '../../server/crypto/recovery.ts'
import { withKeys } from '../../server/start/offline.ts'
import { createStore } from '../../server/store/sqlite/create.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { bytes, recordsIn, startService } from '../support/service.ts'
import { backupServer } from './job.ts'
import { fill, type MadeState, madeState } from './made.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

let victim: MadeState
let attacker: MadeState
let identity: KeyProvider
let recipient: KeyProvider
let genuine: CreatedBackup
let forged: CreatedBackup
/** The victim's audit log as it was before any backup was recorded. */
let audit: string
let runs = 0

beforeAll(async () => {
  victim = madeState()
  await fill(victim.state)
  const file = join(victim.path, 'recovery.txt')
  const secret = await generateIdentity()
  writeFileSync(file, `${secret}\n`)
  chmodSync(file, 0o600)
  identity = identityProvider(file)
  recipient = await recipientProvider(await identityToRecipient(secret))
  const of = (state: string) => ({ stateDir: state, keyFile: undefined })
  await withKeys(of(victim.state), { operator: 'op' }, ({ wraps }) => wraps.add(recipient))
  audit = join(victim.path, 'audit-before')
  cpSync(join(victim.state, 'audit'), audit, { recursive: true })
  genuine = await victim.backUp()

  attacker = madeState()
  await makeUp(attacker, genuine.manifest.store.id)
  {
    await using service = await startService({}, { state: attacker.state })
    await service.client().put('db/password', bytes('attacker chose this'))
  }
  forged = await attacker.backUp('2026-06-01T00:00:00.000Z')
})

afterAll(() => {
  victim[Symbol.dispose]()
  attacker[Symbol.dispose]()
})

/** Makes an empty store of that id under a root key of its own. */
async function makeUp({ state, keyFile }: MadeState, id: string): Promise<void> {
  mkdirSync(state, { mode: 0o700 })
  await createKeyFile(keyFile)
  const { rootKey, ...made } = Keyring.create(id)
  const createdAt = '2026-01-01T00:00:00.000Z'
  const wraps = []
  for (const provider of [localKeyProvider(keyFile), recipient]) {
    const wrapped = await provider.wrap(Uint8Array.from(rootKey), id)
    const fingerprint = await provider.fingerprint()
    wraps.push({ provider: provider.name, fingerprint, wrapped, createdAt })
  }
  const branch = '0123456789abcdef'
  const seed = { ...made, identity: { id, development: true, createdAt, branch }, wraps }
  createStore(join(state, 'sotto.db'), seed)
}

function keys(): BackupKeys {
  return providerKeys([identity])
}

async function restored(file: string, more: Partial<RestoreParts> = {}) {
  using opened = keys()
  const to = join(victim.path, `restored-${++runs}`)
  const source = await fileSource(file)
  return await restoreBackup({ source, keys: opened, to, operator: 'op', ...more })
}

describe('a made-up backup that opens with the recovery key', () => {
  test('A4: verifies, and shows a root key that is not that of the store, which can be demanded', async () => {
    using opened = keys()
    const source = await fileSource(attacker.pathOf(forged))
    const verified = await verifyBackup(source, opened)
    expect(verified.root).toBe(forged.root)
    expect(verified.root).not.toBe(genuine.root)
    expect(opened.provesRoot).toBe(false)
    expect(verified.opens.map(({ provider }) => provider)).toEqual(['local', 'recovery'])
    await expect(verifyBackup(source, opened, { expectRoot: genuine.root })).rejects.toMatchObject({
      code: 'store_foreign',
      message: expect.stringContaining(`${genuine.root} is expected`),
    })
    const own = await fileSource(victim.pathOf(genuine))
    expect((await verifyBackup(own, opened, { expectRoot: genuine.root })).values).toBe(6)
  })

  test('A4: is not restored where nothing vouches for it; neither is a genuine one', async () => {
    for (const [file, root] of [
      [attacker.pathOf(forged), forged.root],
      [victim.pathOf(genuine), genuine.root],
    ] as const) {
      await expect(restored(file)).rejects.toMatchObject({
        code: 'local',
        message: expect.stringContaining(`its root key is ${root}`),
        hint: expect.stringContaining(`--expect-root ${root}`),
      })
    }
    const expectRoot = genuine.root
    await expect(restored(attacker.pathOf(forged), { expectRoot })).rejects.toMatchObject({
      code: 'store_foreign',
    })
    expect((await restored(victim.pathOf(genuine), { expectRoot })).root).toBe(expectRoot)
  })

  test('A4: is not restored with the log of the store, which vouches for the genuine one', async () => {
    const log = join(victim.state, 'audit')
    await expect(restored(attacker.pathOf(forged), { audit: log })).rejects.toMatchObject({
      code: 'store_foreign',
      message: expect.stringContaining(genuine.root),
    })
    const { opens } = await restored(victim.pathOf(genuine), { audit: log })
    expect(opens.map(({ provider }) => provider)).toEqual(['local', 'recovery'])
  })

  test('A4: which has nothing of a log is not restored with one that has changes', async () => {
    using other = madeState()
    await makeUp(other, genuine.manifest.store.id)
    const store = await openStore(join(other.state, 'sotto.db'))
    const stored = await store.keys()
    const { rootKey } = await openRootKey(
      [localKeyProvider(other.keyFile)],
      stored.wraps,
      store.identity.id,
    )
    const made = await createBackup({
      store,
      keyring: Keyring.open(store.identity.id, rootKey, stored.keys),
      auditDirectory: join(other.state, 'audit'),
      logHead: () => beginning,
      target: directoryTarget(other.backups),
      records: { announce: async () => {}, abandon: async () => {} },
      alone: true,
    })
    await store.close()
    expect(made.manifest.log).toBeNull()
    const wish = { audit, expectRoot: made.root }
    await expect(restored(other.pathOf(made), wish)).rejects.toMatchObject({
      code: 'audit_damaged',
      message: expect.stringContaining('the backup has nothing of a log'),
    })
  })

  test('A4: is neither counted nor proven by a server, under any name', async () => {
    using copy = madeState(victim.state)
    await using server = await backupServer(copy, {
      keep: { last: 1, daily: 0, weekly: 0, monthly: 0 },
      providers: [identity],
    })
    await server.run()
    const written = server.memory.newest?.name ?? ''
    cpSync(attacker.pathOf(forged), join(copy.backups, forged.name))
    server.timers.advance(60_000)
    await server.run(true)
    expect(server.job.findings.all()).toContainEqual({
      kind: 'stranger',
      words: expect.stringContaining(`is under root key ${forged.root}`),
    })
    expect(readdirSync(copy.backups)).toContain(written)
    cpSync(attacker.pathOf(forged), join(copy.backups, server.memory.newest?.name ?? ''))
    await expect(server.rehearse()).rejects.toMatchObject({ code: 'backup_damaged' })
  })

  test('A4: a copy of such a store alone is not restored either', async () => {
    const parts = { copy: join(attacker.state, 'sotto.db'), providers: [identity], operator: 'op' }
    const to = (): string => join(victim.path, `restored-${++runs}`)
    await expect(restoreCopy({ ...parts, to: to() })).rejects.toMatchObject({ code: 'local' })
    const expectRoot = genuine.root
    await expect(restoreCopy({ ...parts, to: to(), expectRoot })).rejects.toMatchObject({
      code: 'store_foreign',
    })
  })
})

test('A4: a local key vouches for what it opens: only who has it could make that', async () => {
  using opened = victim.keys()
  const source = await fileSource(victim.pathOf(genuine))
  const to = join(victim.path, `restored-${++runs}`)
  expect((await restoreBackup({ source, keys: opened, to, operator: 'op' })).root).toBe(
    genuine.root,
  )
  const own = await fileSource(attacker.pathOf(forged))
  await expect(verifyBackup(own, opened)).rejects.toMatchObject({ code: 'key_wrong' })
})

test('A6: two restores of one backup are two branches, not adopted, and their logs say so', async () => {
  const expectRoot = genuine.root
  const both = [
    await restored(victim.pathOf(genuine), { expectRoot }),
    await restored(victim.pathOf(genuine), { expectRoot }),
  ]
  const found = await Promise.all(
    both.map(async ({ to }) => {
      const store = await openStore(join(to, 'sotto.db'))
      await store.close()
      return store.identity
    }),
  )
  const branches = [genuine.manifest.store.branch, ...found.map(({ branch }) => branch)]
  expect(new Set(branches).size).toBe(3)
  expect(found.map(({ adopted }) => adopted)).toEqual([false, false])
  for (const { to, branch } of both) {
    expect(recordsIn(join(to, 'audit')).find(({ kind }) => kind === 'restore')).toMatchObject({
      branch,
      root: genuine.root,
    })
  }
})
