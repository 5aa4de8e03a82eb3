/** Stores that a release of each schema left open, are migrated, and keep what they have: `golden-N` has one of each. */
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import type { Client } from '../../client/client.ts'
import { NEWEST_SCHEMA } from '../../server/store/sqlite/migrate.ts'
import { SharedMemory } from '../support/memory-backend.ts'
import { bytes } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Leaves, serve } from './golden.ts'

const names = readdirSync(import.meta.dirname).filter((name) => /^golden-\d+$/.test(name))

/** What each release had: the values of each secret, oldest first. Later ones had a backend, too. */
const early = { 'prod/a': ['a two'], 'prod/b': ['b one'] }
const withHomes = {
  'prod/a': ['a one', 'a two'],
  'prod/b': ['b one'],
  'prod/home': ['home one', 'home two'],
  'prod/kept': ['kept one'],
}

async function valuesIn(client: Client): Promise<Record<string, string[]>> {
  const values: Record<string, string[]> = {}
  for (const { Name, Versions } of await client.list()) {
    if (!Name.startsWith('prod/')) continue
    values[Name] = []
    for (const version of Versions) {
      values[Name].push(Buffer.from((await client.getVersion(Name, version)).Value).toString())
    }
  }
  return values
}

/** What the backend of a golden store has. */
function memoryOf(folder: string): SharedMemory {
  const shared = new SharedMemory()
  const file = join(folder, 'leaves.json')
  const leaves = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Leaves) : []
  for (const [key, { value, ...leaf }] of leaves) {
    shared.leaves.set(key, { ...leaf, value: Buffer.from(value, 'base64') })
  }
  return shared
}

function schemaOf(state: string): unknown {
  const db = new Database(join(state, 'sotto.db'), { readonly: true })
  const schema = db.pragma('user_version', { simple: true })
  db.close()
  return schema
}

test('there is a golden store of the schema of now, and of each before it from 7 on', () => {
  const schemas = names.map((name) => Number(name.slice('golden-'.length)))
  const due = Array.from({ length: NEWEST_SCHEMA - 6 }, (_, at) => at + 7)
  expect(schemas.toSorted((a, b) => a - b)).toEqual(due)
})

test.each(names)('R1: %s opens, is migrated, and is served and changed as before', async (name) => {
  using scratch = temporaryDirectory()
  const [folder, state] = [join(import.meta.dirname, name), join(scratch.path, 'state')]
  copyGolden(folder, state)
  expect(schemaOf(state)).toBe(Number(name.slice('golden-'.length)))
  const shared = memoryOf(folder)
  const values = shared.leaves.size > 0 ? withHomes : early
  for (const life of ['one', 'two']) {
    await using service = await serve(state, shared)
    const client = service.client()
    expect(await valuesIn(client), `life ${life}`).toEqual(values)
    await client.put('prod/new', bytes(life))
    await client.delete('prod/new')
  }
  expect(schemaOf(state)).toBe(NEWEST_SCHEMA)
  // Keys are rotated over what an earlier release sealed.
  await using service = await serve(state, shared)
  const client = service.client()
  await client.operate('key-rotate', { Root: true })
  const root = async () => {
    const { Root, Entries } = await client.operate('key-status', {})
    return [Root.Number, Root.Remade, Entries.length]
  }
  await expect.poll(root, { timeout: 20_000 }).toEqual([2, undefined, 1])
  expect(await valuesIn(client)).toEqual(values)
  expect(await verifyLog(join(state, 'audit'))).toMatchObject({ ok: true })
})

test('R1: what a store of schema 9 kept besides comes back without its backend', async () => {
  using scratch = temporaryDirectory()
  const [folder, state] = [join(import.meta.dirname, 'golden-9'), join(scratch.path, 'state')]
  copyGolden(folder, state)
  const none = new SharedMemory()
  await using service = await serve(state, none)
  const client = service.client()
  expect((await client.describe('prod/kept')).Backend).toBe('vault')
  await expect(client.get('prod/kept')).rejects.toMatchObject({ code: 'backend_altered' })
  const back = { Name: 'prod/kept', From: 'vault', To: 'default', KeepSource: true }
  expect(await client.operate('migrate-secret', back)).toMatchObject({ Result: 'migrated' })
  expect(Buffer.from((await client.get('prod/kept')).Value).toString()).toBe('kept one')
})

test('R1: a rotation of schema 10 waits for its person as before', async () => {
  using scratch = temporaryDirectory()
  const [folder, state] = [join(import.meta.dirname, 'golden-10'), join(scratch.path, 'state')]
  copyGolden(folder, state)
  await using service = await serve(state, memoryOf(folder))
  const client = service.client()
  const found = await client.operate('rotation-status', {})
  expect(found).toMatchObject([
    { Name: 'kept', Secret: 'rotated/a', Kind: 'manual', Overdue: true },
  ])
  // Nothing runs on a copy that no operator adopted.
  await client.operate('job-run', { Name: 'rotations' })
  expect(found[0]?.Step).toBe((await client.operate('rotation-status', {}))[0]?.Step)
  const { Branch } = await client.operate('branch-status', {})
  await client.operate('branch-adopt', { Branch })
  const version = await client.put('rotated/a', bytes('rotated two'))
  await client.operate('rotation-done', { Name: 'kept', Version: version })
  const step = async () => (await client.operate('rotation-status', {}))[0]?.Step
  await expect.poll(step, { timeout: 30_000 }).toBe('done')
})

function copyGolden(folder: string, state: string): void {
  cpSync(folder, state, { recursive: true })
  chmodSync(state, 0o700)
  chmodSync(join(state, 'local.key'), 0o600)
}
