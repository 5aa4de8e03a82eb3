/** Who has the keys of before the root key was replaced, and can write where a mirror shows secrets. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Mark } from '../../server/backends/contract.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openKeyring } from '../../server/keys/wraps.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const ORIGIN = 'http://127.0.0.1:9'

test.each([['after'], ['before']])(
  'D11: an entry of what was put %s that with a mark by an old key is not taken for ours',
  async (when) => {
    using scratch = temporaryDirectory()
    const memory = new SharedMemory()
    await using service = await startService(
      { openBackend: (_, { owner }) => new MemoryBackend(owner, memory) },
      { backendOrigins: [ORIGIN] },
    )
    const client = service.client()
    await client.put('backends/vault', bytes('token'))
    await client.put('prod/a', bytes('one'))
    const [onDrift, onDelete] = ['report', 'remove'] as const
    const mirror = { secrets: ['prod/*'], onDrift, onDelete }
    await client.operate('backend-create', mirroredBackend(ORIGIN, mirror))
    const sync = async (): Promise<object | undefined> => {
      const asked = { Backend: 'vault', Secrets: ['prod/a'], AcceptMount: false }
      await client.operate('mirror-sync', asked)
      const [status] = await client.operate('mirror-status', {})
      return status?.Counts
    }
    expect(await sync()).toEqual({ ok: 1 })
    const stolen = join(scratch.path, 'stolen.db')
    copyFileSync(join(service.state, 'sotto.db'), stolen)
    const store = await openStore(stolen)
    const { id } = store.identity
    const providers = [localKeyProvider(join(service.state, 'local.key'))]
    const { keyring } = await openKeyring(id, await store.keys(), providers)
    await store.close()
    await client.operate('key-rotate', { Root: true })
    if (when === 'after') {
      await client.put('prod/a', bytes('two'))
      await client.activate('prod/a', 2)
    }
    expect(await sync()).toEqual({ ok: 1 })

    const shown = memory.projections.get('prod/a')
    const place = { name: 'prod/a', incarnation: 1, version: when === 'after' ? 2 : 1 }
    const content = Buffer.from('{"value":"of somebody else"}')
    const forged = keyring.mirrorFingerprint(place, content)
    const mark = { ...(shown?.mark as Mark), key: forged.number, fingerprint: forged.fingerprint }
    memory.projections.set('prod/a', { revision: shown?.revision ?? 0, content, mark })
    expect(await sync()).toEqual({ drift: 1 })
  },
)
