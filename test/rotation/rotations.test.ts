/** Rotations of a whole server: runs from their beginning to their end, and what stands in their way. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytes, type Service, startService } from '../support/service.ts'
import { generated, LONG, manual, reaches, round, statusOf, stepOf, stepsOf } from './support.ts'

let service: Service

beforeEach(async () => {
  service = await startService()
  await service.client().put('prod/key', bytes('the first'))
})

afterEach(() => service[Symbol.asyncDispose]())

const create = (spec: ReturnType<typeof generated>) =>
  service.client().operate('rotation-create', spec)
const run = (Name: string) => service.client().operate('rotation-run', { Name })
const valueOf = async (name: string): Promise<string> =>
  Buffer.from((await service.client().get(name)).Value).toString()
const infoOf = async (name: string) => {
  const { Versions, ActiveVersion } = await service.client().info(name)
  return [Versions, ActiveVersion]
}

describe('generated', () => {
  test('a run makes a version, activates it, and ends when all holders have it', async () => {
    await create(generated('key', 'prod/key'))
    expect(await run('key')).toMatchObject({ Run: 1 })
    await reaches(service, 'key', 'done')
    expect(stepsOf(service, 'key')).toEqual([
      '1 planned - ok',
      '1 staged 2 ok',
      '1 applied 2 ok',
      '1 tested 2 ok',
      '1 activated 2 ok',
      '1 converging 2 ok',
      '1 retiring 2 ok',
      '1 done 2 ok',
    ])
    expect(await infoOf('prod/key')).toEqual([[1, 2], 2])
    expect(await valueOf('prod/key')).toMatch(/^[\w-]{43}$/)
    const by = service.records().filter(({ kind }) => kind === 'change')
    expect(
      by.slice(1).map(({ verb, principal }) => [verb, (principal as { user: string }).user]),
    ).toEqual([
      ['put', 'system:rotations'],
      ['activate', 'system:rotations'],
    ])
  })

  test('one that deletes leaves only the new version, also over several runs', async () => {
    await create(generated('key', 'prod/key', { deleteOld: true, template: { shape: 'verifier' } }))
    for (const at of [1, 2]) {
      await run('key')
      await reaches(service, 'key', 'done', at)
    }
    expect(await infoOf('prod/key')).toEqual([[3], 3])
    const { current, previous } = JSON.parse(await valueOf('prod/key'))
    expect(current).not.toBe(previous)
    expect(previous).toMatch(/^[\w-]{43}$/)
  })

  test('an operator retires the old version, even if programs hold it', async () => {
    await create(generated('key', 'prod/key', { converge: 'manual', deleteOld: true }))
    await run('key')
    await reaches(service, 'key', 'converging')
    await round(service)
    expect(await stepOf(service, 'key')).toBe('converging')
    await service.client().operate('rotation-retire', { Name: 'key' })
    await reaches(service, 'key', 'done')
    expect(await infoOf('prod/key')).toEqual([[2], 2])
  })

  test('a run that is aborted makes the version before active again', async () => {
    await create(generated('key', 'prod/key', { converge: 'manual' }))
    await run('key')
    await reaches(service, 'key', 'converging')
    await service.client().operate('rotation-abort', { Name: 'key' })
    await reaches(service, 'key', 'aborted')
    expect(await infoOf('prod/key')).toEqual([[1, 2], 1])
    await run('key')
    await reaches(service, 'key', 'converging')
    expect(await infoOf('prod/key')).toEqual([[1, 2, 3], 3])
  })

  test('is held when someone else activates a version in the middle, and overwrites nothing', async () => {
    await create(generated('key', 'prod/key', { converge: 'manual' }))
    await run('key')
    await reaches(service, 'key', 'converging')
    await service.client().activate('prod/key', 1)
    await round(service)
    expect(await statusOf(service, 'key')).toMatchObject({
      Step: 'held',
      Held: { Reason: 'changed', At: 'converging' },
    })
    const refused = service.client().operate('rotation-run', { Name: 'key' })
    await expect(refused).rejects.toMatchObject({ code: 'rotation_state' })
    await service.client().operate('rotation-reconcile', { Name: 'key' })
    await reaches(service, 'key', 'aborted')
    expect(await infoOf('prod/key')).toEqual([[1, 2], 1])
  })

  test('is held when the secret is deleted in the middle', async () => {
    await create(generated('key', 'prod/key', { converge: 'manual' }))
    await run('key')
    await reaches(service, 'key', 'converging')
    await service.client().delete('prod/key')
    await round(service)
    expect(await statusOf(service, 'key')).toMatchObject({ Held: { Reason: 'deleted' } })
    await service.client().operate('rotation-reconcile', { Name: 'key' })
    expect(await stepOf(service, 'key')).toBe('aborted')
    await service.client().operate('rotation-delete', { Name: 'key' })
    expect(await service.client().operate('rotation-list', {})).toEqual([])
  })
})

describe('manual', () => {
  test('is overdue from its date on, until a person says which version is the new one', async () => {
    await create(manual('key', 'prod/key', { due: '2020-01-01', owner: 'the team' }))
    await reaches(service, 'key', 'planned')
    const waiting = await statusOf(service, 'key')
    expect(waiting).toMatchObject({ Overdue: true, Run: 1 })
    expect(waiting.Next).toContain('Ask the team.')
    const page = async () => (await fetch(`${service.url}/metrics`)).text()
    await expect.poll(page, LONG).toContain('sotto_rotations_overdue 1')
    const done = (Version: number) =>
      service.client().operate('rotation-done', { Name: 'key', Version })
    await expect(done(2)).rejects.toMatchObject({ code: 'not_found' })
    await service.client().put('prod/key', bytes('by hand'))
    await done(2)
    await reaches(service, 'key', 'done')
    expect(await infoOf('prod/key')).toEqual([[1, 2], 2])
    expect(await valueOf('prod/key')).toBe('by hand')
    expect(await statusOf(service, 'key')).toMatchObject({
      Overdue: false,
      Previous: 1,
      Version: 2,
    })
    // Before it is due again, and active already.
    await service.client().put('prod/key', bytes('by hand again'))
    await service.client().activate('prod/key', 3)
    await done(3)
    // Who took the second version has not taken the third.
    await reaches(service, 'key', 'converging', 2)
  })
})

describe('how rotations are set up', () => {
  test('one secret has one rotation, and one name', async () => {
    await service.client().put('prod/free', bytes('free'))
    await create(generated('key', 'prod/key'))
    await expect(create(generated('key', 'prod/key'))).rejects.toMatchObject({
      code: 'rotation_exists',
    })
    await expect(create(generated('other', 'prod/key'))).rejects.toMatchObject({
      code: 'rotation_exists',
    })
    await expect(create(generated('other', 'prod/none'))).rejects.toMatchObject({
      code: 'not_found',
    })
    await expect(
      create(generated('bad', 'prod/free', { schedule: '99 3 * * *' })),
    ).rejects.toMatchObject({ code: 'bad_request' })
  })

  test('apply changes it, but not what it rotates while a run is under way', async () => {
    const client = service.client()
    await client.put('prod/other', bytes('other'))
    const apply = (spec: ReturnType<typeof generated>) => client.operate('rotation-apply', spec)
    expect(await apply(generated('key', 'prod/key'))).toMatchObject({ Result: 'created' })
    expect(await apply(generated('key', 'prod/key'))).toMatchObject({ Result: 'unchanged' })
    const held = generated('key', 'prod/key', { converge: 'manual', schedule: '0 3 * * 1' })
    expect(await apply(held)).toMatchObject({ Result: 'changed' })
    expect((await statusOf(service, 'key')).Due).toMatch(/T03:00:00.000Z$/)
    await run('key')
    await reaches(service, 'key', 'converging')
    await expect(apply(generated('key', 'prod/other'))).rejects.toMatchObject({
      code: 'rotation_state',
    })
    await expect(client.operate('rotation-delete', { Name: 'key' })).rejects.toMatchObject({
      code: 'rotation_state',
    })
    await client.operate('rotation-abort', { Name: 'key' })
    await reaches(service, 'key', 'aborted')
    expect(await apply(generated('key', 'prod/other'))).toMatchObject({ Result: 'changed' })
  })

  test('who lacks info on the secret is not told its name', async () => {
    await create(generated('key', 'prod/key', { schedule: '0 3 * * *' }))
    service.policy({
      nodes: {
        '127.0.0.4': {
          name: 'watcher',
          user: 'w@example.com',
          rules: [
            { action: ['rotation:view', 'rotation:edit'], secret: ['*'] },
            { action: ['put', 'activate'], secret: ['prod/*'] },
          ],
        },
      },
    })
    const watcher = service.client('127.0.0.4')
    const found = await watcher.operate('rotation-describe', { Name: 'key' })
    expect(JSON.stringify([found, await watcher.operate('rotation-status', {})])).not.toContain(
      'prod/key',
    )
    // Editing takes get on what is rotated now, too.
    const edit = watcher.operate('rotation-apply', generated('key', 'prod/key'))
    await expect(edit).rejects.toMatchObject({ code: 'denied' })
  })
})
