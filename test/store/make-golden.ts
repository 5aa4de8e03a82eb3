/**
 * Makes the golden store of the schema of now: `node test/store/make-golden.ts`, once for each that is new. One that
 * was released is never made again: that it still opens is the test.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NEWEST_SCHEMA } from '../../server/store/sqlite/migrate.ts'
import { backendSpec } from '../support/backend-spec.ts'
import { SharedMemory } from '../support/memory-backend.ts'
import { bytes } from '../support/service.ts'
import { type Leaves, serve } from './golden.ts'

const state = join(import.meta.dirname, `golden-${NEWEST_SCHEMA}`)
if (existsSync(state)) throw new Error(`${state} is there`)

const shared = new SharedMemory()
const service = await serve(state, shared)
const client = service.client()
for (const value of ['a one', 'a two']) await client.put('prod/a', bytes(value))
await client.activate('prod/a', 2)
await client.put('prod/b', bytes('b one'))
await client.put('prod/gone', bytes('gone'))
await client.delete('prod/gone')
await client.put('backends/token', bytes('the token'))
await client.operate('backend-create', backendSpec('vault'))
for (const value of ['home one', 'home two']) await client.put('prod/home', bytes(value))
await client.put('prod/kept', bytes('kept one'))
const move = { From: 'default', To: 'vault' }
await client.operate('migrate-secret', { ...move, Name: 'prod/home', KeepSource: false })
await client.operate('migrate-secret', { ...move, Name: 'prod/kept', KeepSource: true })
await client.put('rotated/a', bytes('rotated one'))
const rotated = { kind: 'manual', secret: 'rotated/a', due: '2020-01-01' } as const
await client.operate('rotation-create', { Name: 'kept', Config: { ...rotated, converge: 'all' } })
await service[Symbol.asyncDispose]()

const leaves: Leaves = [...shared.leaves].map(([key, { owner, incarnation, value }]) => [
  key,
  { owner, incarnation, value: value?.toString('base64') ?? '' },
])
writeFileSync(join(state, 'leaves.json'), `${JSON.stringify(leaves, undefined, 2)}\n`)
for (const rest of ['lock', 'sotto.db-wal', 'sotto.db-shm', 'operator.sock']) {
  rmSync(join(state, rest), { force: true })
}
