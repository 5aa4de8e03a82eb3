/** A rollout as a real server tells of it, and the command that waits for it: also over a kill. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { OperationResponse } from '../../client/api/operations.ts'
import { Client } from '../../client/client.ts'
import { bytes, everything, recordsIn, type Service, startService } from '../support/service.ts'
import { runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'

const Name = 'prod/app/key'

const info = { action: ['info'], secret: ['*'] }
const reader = { action: ['get'], secret: ['*'] }
const tailnet = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': { name: 'app-1', tags: ['tag:app'], rules: [reader] },
    '127.0.0.3': { name: 'laptop', user: 'alice@example.com', rules: [info] },
    '127.0.0.4': { name: 'other', user: 'bob@example.com' },
  },
}

type Rollout = OperationResponse<'rollout'>

async function get(url: string, body: object, label?: string): Promise<number> {
  const { status } = await fetch(`${url}/api/get`, {
    method: 'POST',
    body: JSON.stringify({ Name, ...body }),
    headers: {
      'Content-Type': 'application/json',
      'Sec-X-Tailscale-No-Browsers': 'setec',
      ...(label !== undefined && { 'Sotto-Client': label }),
    },
  })
  return status
}

async function twoVersions({ client }: Pick<Service, 'client'>): Promise<void> {
  await client().put(Name, bytes('one'))
  await client().put(Name, bytes('two'))
}

/** What is told once the server has read what was known before. */
async function readRollout(client: Client): Promise<Rollout> {
  const ask = (): Promise<Rollout> => client.operate('rollout', { Name })
  await expect.poll(async () => (await ask()).Doubts, { timeout: 60_000 }).toEqual([])
  return ask()
}

const statesOf = ({ Holders = [] }: Rollout): string[] =>
  Holders.map(({ Hostname, Client: label = '-', Version, State }) =>
    [Hostname, label, Version, State].join(' '),
  ).toSorted()

test('who holds what: counts for info, names for audit, and nothing for others', async () => {
  await using service = await startService({}, { tailnet })
  const { url } = service
  const client = (from?: string): Client => service.client(from)
  await twoVersions(service)
  expect(await readRollout(client())).toMatchObject({ Converged: true, Holders: [] })
  await client('127.0.0.2').get(Name)
  expect(await get(url, {}, 'program-a')).toBe(200)
  const counts = { Current: 2, Behind: 0, Unknown: 0, Left: 0 }
  const found = await client().operate('rollout', { Name })
  expect(found).toMatchObject({ Version: 1, Converged: true, Counts: counts })
  expect(statesOf(found)).toEqual(['app-1 - 1 current', 'root program-a 1 current'])
  expect(found.Holders?.find(({ Hostname }) => Hostname === 'app-1')).toMatchObject({
    Node: '127.0.0.2',
    IP: '127.0.0.2',
    Tags: ['tag:app'],
    Seen: expect.any(String),
  })

  await client().activate(Name, 2)
  const laptop = await client('127.0.0.3').operate('rollout', { Name })
  expect(laptop).toMatchObject({ Converged: false, Counts: { ...counts, Current: 0, Behind: 2 } })
  expect(laptop).not.toHaveProperty('Holders')
  for (const from of ['127.0.0.2', '127.0.0.4']) {
    for (const asked of [Name, 'prod/none']) {
      await expect(client(from).operate('rollout', { Name: asked })).rejects.toMatchObject({
        code: 'denied',
      })
    }
  }
  await expect(client().operate('rollout', { Name: 'prod/none' })).rejects.toMatchObject({
    code: 'not_found',
  })

  expect(await get(url, { Version: 1, UpdateIfChanged: true }, 'program-a')).toBe(200)
  expect(await get(url, { Version: 2, UpdateIfChanged: true }, 'program-a')).toBe(304)
  // What that node was never given it does not hold.
  const liar = new Client({ server: url, localAddress: '127.0.0.2' })
  expect(await liar.getIfChanged(Name, 2)).toBeUndefined()
  expect(statesOf(await client().operate('rollout', { Name }))).toContain('app-1 - 1 behind')
  // A label that is none counts as none.
  expect(await get(url, { Version: 2, UpdateIfChanged: true }, 'x'.repeat(65))).toBe(304)
  expect(statesOf(await client().operate('rollout', { Name }))).toContain('root - 2 current')
  const got = service.records().filter(({ action, result }) => action === 'get' && result === 'ok')
  expect(got.map(({ client: label, held }) => [label, held])).toEqual([
    [undefined, undefined],
    ['program-a', undefined],
    ['program-a', 1],
  ])
})

test('a read that fails after its record is not taken for one', async () => {
  await using service = await startService({}, { tailnet })
  await twoVersions(service)
  await service.client('127.0.0.2').get(Name)
  await service.client().delete(Name)
  await expect(service.client().operate('rollout', { Name })).rejects.toMatchObject({
    code: 'not_found',
  })
  await service.client().put(Name, bytes('three'))
  const found = await readRollout(service.client())
  expect([found.Version, ...statesOf(found)]).toEqual([3, 'app-1 - 1 behind'])
})

test('`sotto rollout --wait` over kills of the server: 0 when all have it, and not before', {
  timeout: 300_000,
}, async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'tailnet.json')
  const state = join(directory.path, 'state')
  writeFileSync(file, JSON.stringify(tailnet))
  mkdirSync(state, { mode: 0o700 })
  const options = ['--tailnet', file, '--state-dir', state]
  let server = await startSotto({ args: options })
  const port = server.port
  const env = { SOTTO_SERVER: server.url }
  const client = (): Client => new Client({ server: server.url, keepAlive: false })
  await twoVersions({ client })
  const programs = ['a', 'b', 'c']
  for (const label of programs) expect(await get(server.url, {}, label)).toBe(200)
  await client().activate(Name, 2)

  let isOver = false
  const waiting = runSotto(['rollout', Name, '--wait', '--timeout', '5m', '-o', 'json'], { env })
  void waiting.then(() => (isOver = true))
  // Only from its first answer on it takes a server that is gone for one that comes back.
  const asks = (): boolean =>
    recordsIn(join(state, 'audit')).some(({ operation }) => operation === 'rollout')
  await expect.poll(asks, { timeout: 60_000 }).toBe(true)
  await readRollout(client())
  for (const [at, label] of programs.entries()) {
    expect(isOver).toBe(false)
    expect(await get(server.url, { Version: 1, UpdateIfChanged: true }, label)).toBe(200)
    await server.kill()
    server = await startSotto({ args: [...options, '--listen', `127.0.0.1:${port}`] })
    const found = await readRollout(client())
    expect(found.Converged).toBe(false)
    expect(statesOf(found)).toEqual(
      programs.map((each, other) => `root ${each} ${other <= at ? 2 : 1} unknown`),
    )
  }
  expect(isOver).toBe(false)
  for (const label of programs) {
    expect(await get(server.url, { Version: 2, UpdateIfChanged: true }, label)).toBe(304)
  }
  const { code, stdout } = await waiting
  expect(JSON.parse(stdout)).toMatchObject({ converged: true, counts: { current: 3 } })
  expect(code).toBe(0)
  await server.stop()
})
