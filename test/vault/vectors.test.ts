/** The surface answers as a real OpenBao does: the vectors of it, byte for byte but for what is different each time. */
import { readFileSync } from 'node:fs'
import { Agent } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bytes, everything, type Service, startService } from '../support/service.ts'
import { ask, requests, secrets, type Vector } from './vectors.ts'

const vectors = JSON.parse(
  readFileSync(new URL('vectors.json', import.meta.url), 'utf8'),
) as readonly Vector[]

let service: Service
beforeAll(async () => {
  const rules = [
    { action: ['get', 'info'], secret: ['app/*', 'app', 'none'] },
    { action: ['info'], secret: ['other'] },
  ]
  const nodes = {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': { name: 'app', tags: ['tag:app'], rules },
    '127.0.0.3': { name: 'nobody', tags: ['tag:none'] },
  }
  service = await startService({}, { vault: [{ name: 'secret', prefix: '' }], tailnet: { nodes } })
  for (const [name, data] of Object.entries(secrets)) {
    await service.client().put(name, bytes(JSON.stringify(data)))
  }
})
afterAll(() => service[Symbol.asyncDispose]())

const dispatchers = {
  reader: new Agent({ localAddress: '127.0.0.2' }),
  nobody: new Agent({ localAddress: '127.0.0.3' }),
}

test('they are of the requests that there are', () => {
  expect(vectors.map(({ method, path, as }) => [method, path, as])).toEqual(
    requests.map(({ method, path, as }) => [method, path, as]),
  )
})

test.each(vectors.map((vector) => [vector.method, vector.path, vector.as, vector] as const))(
  '%s %s as %s',
  async (_, __, as, { status, type, body, ...asked }) => {
    const found = await ask(service.vaultUrl, asked, { dispatcher: dispatchers[as] })
    expect(found).toEqual({ status, type, body })
  },
)
