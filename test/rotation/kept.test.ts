/** Rotations through what happens to a store: a restore, another root key, a clock, a file that is altered. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { restoreCopy } from '../../server/backup/restore/restore-copy.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { generated, LONG, manual, reaches, round, statusOf, stepsOf } from './support.ts'

test('after a restore every rotation is held, until an operator reconciles it', async () => {
  using scratch = temporaryDirectory()
  const [state, to] = [join(scratch.path, 'state'), join(scratch.path, 'to')]
  const copy = join(scratch.path, 'copy.db')
  {
    await using service = await startService({}, { state })
    const client = service.client()
    for (const name of ['prod/a', 'prod/b']) await client.put(name, bytes('one'))
    await client.operate('rotation-create', generated('a', 'prod/a', { converge: 'manual' }))
    await client.operate('rotation-create', generated('b', 'prod/b', { schedule: '0 0 1 1 *' }))
    await client.operate('rotation-run', { Name: 'a' })
    await reaches(service, 'a', 'converging')
  }
  cpSync(join(state, 'sotto.db'), copy)
  const keyFile = join(state, 'local.key')
  const providers = [localKeyProvider(keyFile)]
  const audit = join(state, 'audit')
  await restoreCopy({ copy, to, audit, providers, operator: 'op on host' })
  cpSync(keyFile, join(to, 'local.key'))
  const clock = () => new Date(Date.now() + 400 * 86_400_000)
  await using service = await startService({ clock }, { state: to })
  const client = service.client()
  const { Branch } = await client.operate('branch-status', {})
  await client.operate('branch-adopt', { Branch })
  await round(service)
  expect(await statusOf(service, 'a')).toMatchObject({
    Step: 'held',
    Held: { Reason: 'restored', At: 'converging' },
  })
  const idle = await statusOf(service, 'b')
  expect(idle).toMatchObject({ Step: 'held', Held: { Reason: 'restored' }, Overdue: true })
  for (const operation of ['rotation-run', 'rotation-abort'] as const) {
    const refused = client.operate(operation, { Name: 'a' })
    await expect(refused).rejects.toMatchObject({ code: 'rotation_state' })
  }
  expect((await client.info('prod/b')).ActiveVersion).toBe(1)
  await client.operate('rotation-reconcile', { Name: 'a' })
  await reaches(service, 'a', 'converging')
  // One that nothing ran of is held, too, and takes nothing off the count of the others.
  const { LastMessage } = await client.operate('job-run', { Name: 'rotations' })
  expect(LastMessage).toBe('rotations: 2; under way: 1; held: 1')
  await client.operate('rotation-retire', { Name: 'a' })
  await reaches(service, 'a', 'done')
  await client.operate('rotation-reconcile', { Name: 'b' })
  // What was due meanwhile is one run.
  await reaches(service, 'b', 'done', 1)
})

test('another root key gives each its MAC again, and runs go on', async () => {
  await using service = await startService()
  const client = service.client()
  await client.put('prod/a', bytes('one'))
  await client.operate('rotation-create', generated('a', 'prod/a', { converge: 'manual' }))
  await client.operate('rotation-run', { Name: 'a' })
  await reaches(service, 'a', 'converging')
  await client.operate('key-rotate', { Root: true })
  const root = async () => {
    const { Root, Entries } = await client.operate('key-status', {})
    return [Root.Number, Root.Remade, Entries.length]
  }
  await expect.poll(root, LONG).toEqual([2, undefined, 1])
  await client.operate('rotation-retire', { Name: 'a' })
  await reaches(service, 'a', 'done')
})

test.each([
  ['moved to another secret', `UPDATE rotation SET config = replace(config, 'prod/a', 'prod/b')`],
  ['set back', `UPDATE rotation SET state = replace(state, 'converging', 'idle')`],
  ['taken out', 'DELETE FROM rotation'],
])('a store whose rotation was %s does not open', async (_, statement) => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  {
    await using service = await startService({}, { state })
    await service.client().put('prod/a', bytes('one'))
    const spec = generated('a', 'prod/a', { converge: 'manual' })
    await service.client().operate('rotation-create', spec)
    await service.client().operate('rotation-run', { Name: 'a' })
    await reaches(service, 'a', 'converging')
  }
  const db = new Database(join(state, 'sotto.db'))
  expect(db.prepare(statement).run().changes).toBe(1)
  db.close()
  await expect(startService({}, { state })).rejects.toMatchObject({ code: 'store_damaged' })
})

test('a clock that jumps over dates has one run begin, and a window that closed has none', async () => {
  let ahead = 0
  const clock = () => new Date(Date.UTC(2026, 2, 28, 12) + ahead)
  await using service = await startService({ clock })
  const client = service.client()
  for (const name of ['prod/a', 'prod/b']) await client.put(name, bytes('one'))
  const daily = { schedule: '0 3 * * *' }
  await client.operate('rotation-create', generated('a', 'prod/a', daily))
  await client.operate('rotation-create', generated('b', 'prod/b', { ...daily, window: '1h' }))
  await round(service)
  expect(await statusOf(service, 'a')).toMatchObject({ Run: 0, Due: '2026-03-29T03:00:00.000Z' })
  ahead = 4 * 86_400_000
  await reaches(service, 'a', 'done', 1)
  expect(await statusOf(service, 'a')).toMatchObject({ Due: '2026-04-02T03:00:00.000Z' })
  expect(await statusOf(service, 'b')).toMatchObject({
    Run: 0,
    Missed: 1,
    Due: '2026-04-02T03:00:00.000Z',
  })
  ahead = 0
  await round(service)
  expect(await statusOf(service, 'a')).toMatchObject({ Run: 1, Due: '2026-03-29T03:00:00.000Z' })
  // In 1970 nothing is due, nor when the clock comes back.
  ahead = -Date.UTC(2026, 2, 28, 11)
  await round(service)
  ahead = 0
  await round(service)
  expect(await statusOf(service, 'a')).toMatchObject({ Run: 1, Due: '2026-03-29T03:00:00.000Z' })
  ahead = 4 * 86_400_000 + 15 * 3_600_000 + 60_000
  await reaches(service, 'b', 'done', 1)
  expect(stepsOf(service, 'b')).toHaveLength(9)
})

test('many that are due at one minute begin some at a time', async () => {
  await using service = await startService()
  const client = service.client()
  const names = Array.from({ length: 15 }, (_, at) => `prod/${at}`)
  for (const [at, name] of names.entries()) {
    await client.put(name, bytes(name))
    await client.operate('rotation-create', manual(`r${at}`, name, { due: '2020-01-01' }))
  }
  const begun = async () => {
    const all = await client.operate('rotation-status', {})
    return all.filter(({ Step }) => Step === 'planned').length
  }
  await expect.poll(begun, LONG).toBe(15)
  // The job wakes itself for the rest: no run of it was asked for.
  expect(
    service.records().filter(({ kind, step }) => kind === 'rotation' && step === 'planned'),
  ).toHaveLength(15)
})
