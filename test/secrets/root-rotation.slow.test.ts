/** The root key of a store is replaced while the store is used: nothing is lost, and a thief of it has nothing new. */
import { cpSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { describe, expect, test, vi } from 'vitest'
import type { OperationResponse } from '../../client/api/operations.ts'
import type { Backend, Owner } from '../../server/backends/contract.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { identityProvider, recipientProvider } from '../../server/crypto/recovery.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import { type KeysOnFiles, withKeys } from '../../server/start/offline.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, recordsIn, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { contentOf, copyOf, identityOf, Thief } from '../support/thief.ts'

type KeyStatus = OperationResponse<'key-status'>

/** Resolves with the keys once no rotation is under way. */
async function ended(service: Service): Promise<KeyStatus> {
  return vi.waitFor(
    async () => {
      const status = await service.client().operate('key-status', {})
      expect(status.Entries.map(({ State }) => State)).toEqual(['active'])
      expect(status.Root.Remade).toBeUndefined()
      return status
    },
    { timeout: 60_000, interval: 50 },
  )
}

async function textOf(service: Service, name: string, version = 0): Promise<string> {
  const client = service.client()
  const { Value } = await (version === 0 ? client.get(name) : client.getVersion(name, version))
  return Buffer.from(Value).toString()
}

function onKeys<T>(stateDir: string, act: (keys: KeysOnFiles) => Promise<T>, keyFile?: string) {
  return withKeys({ stateDir, keyFile }, { operator: 'op' }, act)
}

describe('key rotate --root', () => {
  test('A5: a thief with an old copy and a key that was removed opens nothing that a later store has', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const db = join(state, 'sotto.db')
    const [stolenDb, stolenKey] = [join(scratch.path, 'old.db'), join(scratch.path, 'stolen.key')]
    {
      await using service = await startService({}, { state })
      await service.client().put('pay/key', bytes('before the theft'))
    }
    cpSync(db, stolenDb)
    cpSync(join(state, 'local.key'), stolenKey)
    const { id } = await identityOf(db)
    const thief = await Thief.with(id, stolenDb, stolenKey)
    expect(await thief.reads(stolenDb)).toEqual(['pay/key 1'])

    // What docs/guides/keys.md advised: another key, and a new entry of the keyring.
    const next = join(scratch.path, 'next.key')
    await createKeyFile(next)
    const removed = await onKeys(state, async ({ wraps }) => {
      const [stolen] = await wraps.status()
      await wraps.add(localKeyProvider(next), localKeyProvider(next))
      return stolen?.fingerprint ?? ''
    })
    await onKeys(state, ({ wraps }) => wraps.remove(removed), next)
    renameSync(next, join(state, 'local.key'))
    await using service = await startService({}, { state })
    const client = service.client()
    await client.operate('key-rotate', {})
    await ended(service)
    await client.put('pay/key', bytes('changed after the theft'))
    // It does not help: the root key is the same.
    expect(await thief.reads(await copyOf(service.state, scratch.path))).toEqual([
      'pay/key 1',
      'pay/key 2',
    ])

    const before = await client.operate('key-status', {})
    await client.operate('key-rotate', { Root: true })
    await client.put('pay/key', bytes('since the root key was replaced'))
    const { Root, Entries } = await ended(service)
    expect(Root).toEqual({ Number: 2, Fingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) })
    expect(Root.Fingerprint).not.toBe(before.Root.Fingerprint)
    expect(Entries).toMatchObject([{ Id: 3, State: 'active', Versions: 3 }])
    await client.put('new', bytes('new'))
    expect(await thief.reads(await copyOf(service.state, scratch.path))).toEqual([])
    expect(await textOf(service, 'pay/key', 1)).toBe('before the theft')
    expect(await textOf(service, 'pay/key', 2)).toBe('changed after the theft')
    expect(await textOf(service, 'pay/key', 3)).toBe('since the root key was replaced')
    const records = recordsIn(join(state, 'audit'))
    expect(
      records.flatMap(({ kind, verb, number }) => (kind === 'root-key' ? [[verb, number]] : [])),
    ).toEqual([
      ['rotate', 2],
      ['settle', 2],
    ])
  })

  test('A5: values in backends and what mirrors show stay valid, also after a restart', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    const shared = new SharedMemory()
    const openBackend = (_: unknown, { owner }: { owner: Owner }): Backend =>
      new MemoryBackend(owner, shared)
    const start = () => startService({ openBackend }, { state, backendOrigins: [ORIGIN] })
    const names = ['prod/a', 'prod/b', 'prod/c']
    {
      await using service = await start()
      const client = service.client()
      await client.put('backends/token', bytes('the token'))
      const spec = backendSpec('vault', {
        mirror: { secrets: ['prod/*'], onDrift: 'report', onDelete: 'remove' },
      })
      await client.operate('backend-create', { ...spec, Default: true })
      for (const name of names) await client.put(name, bytes(`value of ${name}`))
      await client.operate('mirror-sync', { AcceptMount: false })
      await client.operate('key-rotate', { Root: true })
      await ended(service)
      const shown = JSON.stringify([...shared.projections])
      expect(await mirrored(service)).toEqual({ ok: 3 })
      expect(JSON.stringify([...shared.projections])).toBe(shown)
    }
    await using service = await start()
    expect(await mirrored(service)).toEqual({ ok: 3 })
    for (const name of names) expect(await textOf(service, name)).toBe(`value of ${name}`)
    // A put that finds the value unchanged compares it with the reference.
    expect(await service.client().put('prod/a', bytes('value of prod/a'))).toBe(1)
    await service.client().put('prod/b', bytes('another'))
    expect(await textOf(service, 'prod/b', 2)).toBe('another')

    async function mirrored(of: Service): Promise<unknown> {
      await of.client().operate('mirror-sync', { AcceptMount: false })
      const [status] = await of.client().operate('mirror-status', {})
      return status?.Counts
    }
  })

  test('names every wrap that cannot be made again, and changes nothing then', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    {
      await using service = await startService({}, { state })
      await service.client().put('a', bytes('one'))
    }
    const identity = join(scratch.path, 'identity')
    const secret = await generateX25519Identity()
    writeFileSync(identity, `${secret}\n`, { mode: 0o600 })
    const recipient = await recipientProvider(await identityToRecipient(secret))
    const second = join(scratch.path, 'second.key')
    await createKeyFile(second)
    await onKeys(state, async ({ wraps }) => {
      await wraps.add(recipient)
      await wraps.add(localKeyProvider(second), localKeyProvider(second))
    })
    const before = await contentOf(join(state, 'sotto.db'))
    await expect(onKeys(state, (keys) => keys.rotate([]))).rejects.toMatchObject({
      code: 'key_missing',
      message: expect.stringMatching(
        /^Cannot rotate the root key: it cannot be wrapped again by recovery key [0-9a-f]{16} \(its recipient was not given\); by local key [0-9a-f]{16} \(its key was not given: /,
      ),
    })
    await onKeys(state, async ({ wraps }) => {
      const of = await localKeyProvider(second).fingerprint()
      await wraps.remove(of)
    })
    const given = await contentOf(join(state, 'sotto.db'))
    expect(given.keys.keys).toEqual(before.keys.keys)
    await onKeys(state, (keys) => keys.rotate([recipient]))
    const { keys } = await contentOf(join(state, 'sotto.db'))
    expect(keys.root).toEqual({ number: 2 })
    expect(keys.wraps.map(({ provider, provenAt }) => [provider, provenAt !== undefined])).toEqual([
      ['local', true],
      ['recovery', false],
    ])
    const { id } = await identityOf(join(state, 'sotto.db'))
    const opened = await openRootKey([identityProvider(identity)], keys.wraps, id)
    Keyring.open(id, opened.rootKey, keys.keys, keys)
  })

  test('is refused to who may not work on keys, and for what is no recipient', async () => {
    await using service = await startService()
    const root = { Root: true, Recipients: ['age1nothing'] }
    const denied = service.client('127.0.0.2').operate('key-rotate', root)
    await expect(denied).rejects.toMatchObject({ code: 'denied' })
    const refused = service.client().operate('key-rotate', root)
    await expect(refused).rejects.toMatchObject({ code: 'bad_request' })
    expect((await service.client().operate('key-status', {})).Root.Number).toBe(1)
  })
})
