/** Backends as stores of earlier releases have them. */
import { expect, test } from 'vitest'
import { backendSpec, type OpenBaoConfig, openBaoConfig } from '../../client/api/backends.ts'
import { BackendRegistry } from '../../server/backends/registry.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import type { Store } from '../../server/store/contract.ts'

const config = openBaoConfig.parse({
  url: 'https://bao.example.com:8200',
  tokenSecretRef: { name: 'backends/vault' },
  mirror: { secrets: ['prod/*'], onDrift: 'overwrite' },
})

test('a mirror that was set up with onDrift adopt opens, and overwrites', async () => {
  const { keyring } = Keyring.create('c0ffee'.padEnd(32, '0'))
  const adopting = { ...config, mirror: { ...config.mirror, onDrift: 'adopt' } } as object
  const sealed = new BackendRegistry({} as Store, keyring).sealed({
    id: 2,
    name: 'vault',
    type: 'openbao',
    description: '',
    isDefault: false,
    createdAt: '2026-01-01T00:00:00.000Z',
    config: adopting as OpenBaoConfig,
  })
  expect(sealed.config).toContain('"adopt"')
  const backends = [{ ...sealed, secrets: 0, orphans: 0, copies: 0 }]
  const store: Pick<Store, 'backends'> = { backends: async () => ({ backends, nextId: 3 }) }
  const [found] = await new BackendRegistry(store as Store, keyring).all()
  expect(found?.config).toEqual(config)
})

test('a new mirror with onDrift adopt is refused, with what to use instead', () => {
  const mirror = { secrets: ['prod/*'], onDrift: 'adopt' }
  const { error } = backendSpec.safeParse({
    Name: 'vault',
    Type: 'openbao',
    Config: { ...config, mirror },
  })
  expect(error?.issues).toMatchObject([
    { path: ['Config', 'mirror', 'onDrift'], message: expect.stringContaining('--on-drift adopt') },
  ])
})
