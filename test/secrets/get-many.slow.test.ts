/** Several secrets in one call, on a whole server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Line, type Service, startService } from '../support/service.ts'
import { ORIGIN } from '../support/backend-spec.ts'
import { spec, startElsewhere } from '../operations/elsewhere.ts'

const gets = (service: Service): Line[] =>
  service.records().filter(({ operation }) => operation === 'get-many')

describe('a call about several secrets', () => {
  const disk = faultyFiles()
  let service: Service

  beforeAll(async () => {
    service = await startService({ auditFiles: disk.files, waitMs: 1000 })
    const client = service.client()
    for (const name of ['prod/a', 'prod/b', 'other/c'])
      await client.put(name, bytes(`one of ${name}`))
    await client.put('prod/a', bytes('two'))
    await client.put('prod/long', Buffer.alloc(200_000, 7))
  })

  afterAll(() => service[Symbol.asyncDispose]())

  test('answers each as a get of it would, in order', async () => {
    const at: string[] = []
    const found = await service
      .client('127.0.0.2')
      .getMany(
        [
          { Name: 'prod/b' },
          { Name: 'prod/a', Version: 2 },
          { Name: 'prod/a', Version: 1, UpdateIfChanged: true },
          { Name: 'prod/a', Version: 9, UpdateIfChanged: true },
          { Name: 'prod/a', Version: 3 },
          { Name: 'prod/none' },
          { Name: 'other/c' },
          { Name: 'prod/long' },
        ],
        { revision: (text) => at.push(text) },
      )
    expect(found).toEqual([
      { Name: 'prod/b', Value: Buffer.from('one of prod/b'), Version: 1 },
      { Name: 'prod/a', Value: Buffer.from('two'), Version: 2 },
      { Name: 'prod/a', Unchanged: true, Version: 1 },
      { Name: 'prod/a', Value: Buffer.from('one of prod/a'), Version: 1 },
      { Name: 'prod/a', Error: 'not_found' },
      { Name: 'prod/none', Error: 'not_found' },
      { Name: 'other/c', Error: 'denied' },
      { Name: 'prod/long', Value: Buffer.alloc(200_000, 7), Version: 1 },
    ])
    expect(at).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.\d+$/)])
    const left = gets(service).map((each) => [
      each['secret'],
      each['secretVersion'],
      each['result'],
    ])
    expect(new Set(left)).toEqual(
      new Set([
        ['prod/b', 1, 'ok'],
        ['prod/a', 2, 'ok'],
        ['prod/a', 1, 'ok'],
        ['prod/a', 3, 'not-found'],
        ['prod/none', undefined, 'not-found'],
        ['other/c', undefined, 'denied'],
        ['prod/long', 1, 'ok'],
      ]),
    )
  })

  test('is one write of the log', async () => {
    const before = disk.writes()
    await service.client().getMany([{ Name: 'prod/a' }, { Name: 'prod/b' }, { Name: 'other/c' }])
    expect(disk.writes() - before).toBe(1)
  })

  test('to who has no right, what exists and what does not is the same to the byte, and no revision is told', async () => {
    const posted = async (names: readonly string[]) => {
      const answer = await fetch(`${service.url}/api/get-many`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' },
        body: JSON.stringify({ Secrets: names.map((Name) => ({ Name })) }),
      })
      return { text: await answer.text(), revision: answer.headers.get('sotto-revision') }
    }
    service.policy({ nodes: { '127.0.0.1': { name: 'nobody', user: 'nobody@example.com' } } })
    try {
      const hidden = await posted(['prod/a', 'prod/b'])
      const missing = await posted(['prod/x', 'prod/y'])
      expect(hidden.text.replace('/a', '/x').replace('/b', '/y')).toBe(missing.text)
      expect([hidden.revision, missing.revision]).toEqual([null, null])
    } finally {
      service.policy({
        nodes: {
          '127.0.0.1': {
            name: 'root',
            user: 'root@example.com',
            rules: [{ action: ['get', 'put'], secret: ['*'] }],
          },
          '127.0.0.2': {
            name: 'app-1',
            tags: ['tag:app'],
            rules: [{ action: ['get'], secret: ['prod/*'] }],
          },
        },
      })
    }
  })

  test('with All, one that cannot be had is the answer: nothing is revealed, and nothing recorded as if it was', async () => {
    const before = gets(service).length
    const app = service.client('127.0.0.2')
    const all = (...names: string[]) =>
      app.getMany(
        names.map((Name) => ({ Name })),
        { all: true },
      )
    await expect(all('prod/a', 'prod/gone', 'prod/gone-too')).rejects.toMatchObject({
      code: 'not_found',
      message: 'There is no "prod/gone"',
    })
    await expect(all('prod/a', 'prod/not', 'other/d')).rejects.toMatchObject({ code: 'denied' })
    const left = gets(service).slice(before)
    expect(left.map((each) => [each['secret'], each['result']])).toEqual([
      ['prod/gone', 'not-found'],
      ['prod/gone-too', 'not-found'],
      ['other/d', 'denied'],
    ])
    expect(await all('prod/a', 'prod/b')).toMatchObject([{ Version: 1 }, { Version: 1 }])
  })

  test.each([
    ['no secret', { Secrets: [] }],
    ['too many', { Secrets: Array.from({ length: 257 }, () => ({ Name: 'a' })) }],
    ['an unknown field', { Secrets: [{ Name: 'a', Versions: 1 }] }],
    ['a field in other letters', { secrets: [{ Name: 'a' }] }],
    ['no name', { Secrets: [{ Version: 1 }] }],
    ['an empty name', { Secrets: [{ Name: '' }] }],
  ])('is refused with %s', async (_, body) => {
    expect((await service.post('get-many', body)).status).toBe(400)
  })

  test('what does not fit into one answer is left to a get of its own', async () => {
    const client = service.client()
    const value = Buffer.alloc(1_500_000, 1)
    const names = Array.from({ length: 6 }, (_, at) => ({ Name: `prod/huge-${at}` }))
    for (const { Name } of names) await client.put(Name, value)
    const found = await client.getMany(names)
    expect(found.map(({ Error: code }) => code)).toEqual([
      ...Array.from({ length: 5 }, () => undefined),
      'too_large',
    ])
    await expect(client.getMany(names, { all: true })).rejects.toMatchObject({ code: 'too_large' })
    expect(Buffer.compare((await client.get('prod/huge-5')).Value, value)).toBe(0)
  })

  test('a log that cannot be written reveals none of them', async () => {
    disk.set('full')
    const answer = await service.post('get-many', { Secrets: [{ Name: 'prod/a' }] })
    expect([answer.status, answer.text]).toEqual([500, 'internal error\n'])
    disk.set('works')
  })
})

test('a backend that fails fails its own secrets, or with All the call, and what was recorded is taken back', async () => {
  await using elsewhere = await startElsewhere({ backends: { backendOrigins: [ORIGIN] } })
  const { service, send, shared } = elsewhere
  const client = service.client()
  await client.put('prod/here', bytes('here'))
  await send(1, 'backend-create', spec('vault', { Default: true }))
  await client.put('prod/there', bytes('there'))
  const wanted = [{ Name: 'prod/here' }, { Name: 'prod/there' }]
  expect(await client.getMany(wanted, { all: true })).toMatchObject([
    { Value: Buffer.from('here') },
    { Value: Buffer.from('there') },
  ])
  shared.leaves.clear()
  expect(await client.getMany(wanted)).toMatchObject([
    { Value: Buffer.from('here') },
    { Name: 'prod/there', Error: expect.stringMatching(/^backend_/) as string },
  ])
  await expect(client.getMany(wanted, { all: true })).rejects.toMatchObject({
    code: expect.stringMatching(/^backend_/) as string,
  })
  const taken = (): Line[] => service.records().filter(({ kind }) => kind === 'abandoned')
  await expect.poll(() => taken().length).toBe(3)
})
