/** A KV engine of a real OpenBao, with the policies and the hands of others that tests need. */
import {
  OpenBaoBackend,
  type OpenBaoBackendOptions,
} from '../../../server/backends/openbao/backend.ts'
import type { Leaf } from '../../../server/backends/contract.ts'
import { pathOf } from '../../../server/backends/names.ts'
import { ownerOf } from '../../support/memory-backend.ts'
import type { CallOptions, OpenBao } from '../../support/openbao.ts'

/** The id of the store whose values the backends keep. */
export const store = '00112233445566778899aabbccddeeff'

/** The least that a backend needs; docs/guides/openbao.md has the same text. */
export const leastPolicy = `path "secret/data/sotto/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/sotto/*" {
  capabilities = ["list", "delete"]
}
path "secret/metadata/sotto/" {
  capabilities = ["list"]
}
`

/** The same, and marks. */
export const markingPolicy = `path "secret/data/sotto/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/sotto/*" {
  capabilities = ["list", "delete", "patch"]
}
path "secret/metadata/sotto/" {
  capabilities = ["list"]
}
`

/** Mounts a KV engine at `secret/`, with the policies `least` and `marking`. */
export async function prepare(bao: OpenBao, as?: CallOptions): Promise<void> {
  await bao.mount('secret', 'kv', { version: '2' }, as)
  await bao.policy('least', leastPolicy, as)
  await bao.policy('marking', markingPolicy, as)
}

/** A backend on `bao` with a token of that policy. */
export async function backendOn(
  bao: OpenBao,
  options: Partial<OpenBaoBackendOptions> & { readonly policy?: 'least' | 'marking' } = {},
): Promise<OpenBaoBackend> {
  const { policy = 'least', ...rest } = options
  const token = rest.login ? '' : await bao.token({ policies: [policy] })
  return new OpenBaoBackend({
    address: { url: bao.url },
    login: { method: 'token', token: { read: async () => token } },
    origins: [bao.url],
    owner: ownerOf(store),
    ...rest,
  })
}

/** Paths of OpenBao's API that a name and a leaf have below the part `data` or `metadata`. */
export function projectionPath(part: string, name: string): string {
  return `secret/${part}/sotto/active/${pathOf(name)}`
}

export function leafPath(part: string, { name, version }: Leaf): string {
  return `secret/${part}/sotto/home/${pathOf(name)}/${version}`
}
