/** Nothing can be written through the surface: every method that HTTP has, on every path that there is. */
import { METHODS } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askOnce } from '../http/raw.ts'
import { bytes, type Service, startService } from '../support/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({}, { vault: [{ name: 'secret', prefix: '' }] })
  await service.client().put('app/db', bytes('{"user":"app"}'))
  await service.client().put('app/db', bytes('{"user":"next"}'))
})
afterAll(() => service[Symbol.asyncDispose]())

const paths = [
  'sys/health',
  'sys/seal-status',
  'sys/init',
  'sys/leader',
  'sys/seal',
  'sys/internal/ui/mounts/secret/app/db',
  'sys/mounts/secret',
  'sys/mounts/new',
  'sys/policies/acl/new',
  'auth/token/lookup-self',
  'auth/token/renew-self',
  'auth/token/revoke-self',
  'auth/token/create',
  'auth/approle/login',
  'auth/kubernetes/login',
  'auth/jwt/login',
  'auth/userpass/login/app',
  'secret/data/app/db',
  'secret/data/app/new',
  'secret/data/app/db?version=1',
  'secret/metadata/app/db',
  'secret/metadata/app',
  'secret/metadata/app?list=true',
  'secret/subkeys/app/db',
  'secret/delete/app/db',
  'secret/undelete/app/db',
  'secret/destroy/app/db',
  'secret/config',
  'secret/app/db',
  'secret',
  '',
]

/** Methods that change something, by what HTTP says of them or by what OpenBao does. */
const methods = [...METHODS, 'LIST', 'SCAN'].filter((each) => each !== 'CONNECT')

/** Logins and what is done to a token, which are no change. */
const harmless = /^auth\/(?:token\/(?:renew|revoke)-self|\w+\/login)/

const body = '{"data":{"user":"written"},"options":{},"versions":[1],"max_versions":1}'

test.each(paths)('%s', async (path) => {
  const client = service.client()
  const before = [await client.list(), service.records().filter(({ kind }) => kind !== 'access')]
  for (const method of methods) {
    const target = `/v1/${path}`
    const more = ['Content-Type: application/json', 'X-Vault-Token: root']
    const head = ['Host: localhost', ...more]
    const isBare = ['GET', 'HEAD', 'LIST', 'SCAN'].includes(method)
    const parts = { method, target, head, body: isBare ? undefined : body }
    const { status } = await askOnce(service.vaultUrl, parts)
    const reads = ['GET', 'HEAD', 'LIST'].includes(method)
    const logsIn = ['POST', 'PUT'].includes(method) && harmless.test(path)
    const allowed = reads || logsIn ? [status] : [400, 404, 405]
    expect([method, status]).toEqual([method, expect.toBeOneOf(allowed)])
  }
  const after = [await client.list(), service.records().filter(({ kind }) => kind !== 'access')]
  expect(after).toEqual(before)
  const { Value, Version } = await client.get('app/db')
  expect([Buffer.from(Value).toString(), Version]).toEqual(['{"user":"app"}', 1])
})
