/** What the server does in backends is on the audit log before it is done: mirrors, removals, moves. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Client } from '../../client/client.ts'
import type { Backend } from '../../server/backends/contract.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { bytes, type Line, type Service, startService } from '../support/service.ts'

const ORIGIN = 'http://127.0.0.1:9'
const writes: readonly (keyof Backend)[] = ['writeProjection', 'removeProjection', 'removeLeaf']

let memory: Record<'sotto' | 'home', SharedMemory>
let service: Service
let client: Client
/** For each write that reached a backend, the newest record about a place at that time. */
let preceded: { method: string; name: string; record: Line | undefined }[]

const places = (): Line[] => service.records().filter(({ kind }) => kind === 'place')

const told = (lines: readonly Line[]): unknown[] =>
  lines.map(({ verb, backend, secret, secretVersion, principal }) => {
    const { user } = principal as { user?: string }
    return [user, verb, backend, secret, secretVersion].filter((each) => each !== undefined)
  })

beforeEach(async () => {
  memory = { sotto: new SharedMemory(), home: new SharedMemory() }
  preceded = []
  service = await startService(
    {
      openBackend: ({ pathPrefix }, { owner }) =>
        new MemoryBackend(owner, memory[pathPrefix as 'sotto' | 'home']),
    },
    { backendOrigins: [ORIGIN] },
  )
  client = service.client()
  await client.put('backends/vault', bytes('token'))
  for (const shared of Object.values(memory)) {
    shared.before = (method, name) => {
      if (writes.includes(method)) preceded.push({ method, name, record: places().at(-1) })
    }
  }
})

afterEach(() => service[Symbol.asyncDispose]())

const mirror = {
  secrets: ['prod/*'],
  onDrift: 'report' as const,
  onDelete: 'remove' as const,
}
const sync = () => client.operate('mirror-sync', { Backend: 'vault', AcceptMount: false })

async function setUpHome(): Promise<void> {
  const { Config, ...spec } = mirroredBackend(ORIGIN, mirror)
  const { mirror: _mirror, ...config } = Config as NonNullable<typeof Config>
  const home = { ...spec, Name: 'home', Config: { ...config, pathPrefix: 'home' } }
  await client.operate('backend-create', home)
}

test('C10: what a mirror shows and hides is on the log first', async () => {
  await client.operate('backend-create', mirroredBackend(ORIGIN, mirror))
  await client.put('prod/a', bytes('one'))
  await sync()
  await client.delete('prod/a')
  await sync()
  expect(told(places())).toEqual([
    ['system:mirror', 'show', 'vault', 'prod/a', 1],
    ['system:mirror', 'hide', 'vault', 'prod/a'],
  ])
  expect(preceded.map(({ method, record }) => [method, record?.['verb']])).toEqual([
    ['writeProjection', 'show'],
    ['removeProjection', 'hide'],
  ])
  // What is as it should be writes nothing.
  await sync()
  expect(places()).toHaveLength(2)
})

test('C10: what a mirror does not write after all has a second record', async () => {
  await client.operate('backend-create', mirroredBackend(ORIGIN, mirror))
  memory.sotto.before = (method) => {
    if (method === 'writeProjection') throw new SottoError('backend_refused', 'permission denied')
  }
  await client.put('prod/a', bytes('one'))
  await sync()
  const [{ id } = expect.fail()] = places()
  await expect
    .poll(() => service.records().filter(({ kind, of }) => kind === 'abandoned' && of === id))
    .toMatchObject([{ reason: 'permission denied' }])
})

test('C10: values that are removed from a home, by a delete and by a move, are on the log first', async () => {
  await setUpHome()
  await client.put('app/a', bytes('one'))
  await client.put('app/b', bytes('two'))
  const move = (Name: string, From: string, To: string) =>
    client.operate('migrate-secret', { Name, From, To, KeepSource: false })
  await move('app/a', 'default', 'home')
  await move('app/b', 'default', 'home')
  await move('app/b', 'home', 'default')
  await client.delete('app/a')
  await client.operate('job-run', { Name: 'backends' })
  expect(told(places())).toEqual([
    ['root@example.com', 'remove', 'home', 'app/b', 1],
    ['system:backends', 'remove', 'home', 'app/a', 1],
  ])
  expect(preceded.map(({ method, name, record }) => [method, name, record?.['secret']])).toEqual([
    ['removeLeaf', 'app/b', 'app/b'],
    ['removeLeaf', 'app/a', 'app/a'],
  ])
})

test('C10: each act of a batch is one record, however many there are', async () => {
  await client.operate('backend-create', mirroredBackend(ORIGIN, mirror))
  const names = Array.from({ length: 40 }, (_, index) => `prod/${index}`)
  for (const name of names) await client.put(name, bytes(name))
  await sync()
  const shown = places().map(({ secret }) => String(secret))
  expect(shown.toSorted()).toEqual(names.toSorted())
  const before = service.records().length
  await sync()
  // The request of the sync itself, and nothing for each secret.
  expect(service.records().length - before).toBeLessThan(5)
})
