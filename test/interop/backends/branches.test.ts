/**
 * Restores and copies of a store beside the server that it came from: nothing in that one's OpenBao changes
 * before an operator adopts one, and from then on the other stops.
 */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { restoreBackup } from '../../../server/backup/restore/restore.ts'
import { fileSource, providerKeys } from '../../../server/backup/source.ts'
import { directoryTarget } from '../../../server/backup/targets/directory.ts'
import { localKeyProvider } from '../../../server/crypto/local-key.ts'
import { hostOf } from '../../../server/platform/host.ts'
import { backUp } from '../../../server/start/offline.ts'
import type { OperationRequest } from '../../../client/api/operations.ts'
import type { Client } from '../../../client/client.ts'
import { depth } from '../../support/depth.ts'
import { type Json, type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { markingPolicy, prepare } from './fixture.ts'

const RESTORES = depth({ usual: 5, full: 200 })
const COPIES = depth({ usual: 3, full: 50 })

type Spec = OperationRequest<'backend-create'>

describeWith(['bao'], 'beside a server with a home and a mirror in OpenBao', () => {
  let bao: OpenBao
  let scratch: ReturnType<typeof temporaryDirectory>
  let production: Service
  let client: Client
  let backup: string
  let state: string
  let made = 0

  beforeAll(async () => {
    bao = await startOpenBao({ storage: 'raft' })
    await prepare(bao)
    await bao.policy('sotto', markingPolicy.replaceAll('/sotto/', '/+/'))
    scratch = temporaryDirectory()
    state = join(scratch.path, 'state')
    await startProduction()
    await client.put(
      'backends/token',
      bytes(await bao.token({ policies: ['sotto'], period: '1h' })),
    )
    await client.operate('backend-create', spec('home', true))
    await client.operate('backend-create', {
      ...spec('mirror', false),
      Config: {
        ...spec('mirror', false).Config,
        mirror: { secrets: ['app/*'], onDrift: 'overwrite', onDelete: 'remove' },
      },
    } as Spec)
    for (const name of ['app/a', 'app/b', 'svc/c']) await client.put(name, bytes(`${name} one`))
    await production[Symbol.asyncDispose]()
    const target = directoryTarget(scratch.path)
    const parts = { target, wholeLog: false }
    const { name } = await backUp(
      { stateDir: state, keyFile: undefined },
      { operator: 'op' },
      parts,
    )
    backup = join(scratch.path, name)
    await startProduction()
    await client.put('app/a', bytes('app/a two'))
    await client.activate('app/a', 2)
    await client.put('svc/c', bytes('svc/c two'))
    await client.put('app/new', bytes('after the backup'))
    await client.delete('app/b')
    await synced(client)
    await client.operate('job-run', { Name: 'backends' })
  }, 120_000)

  afterAll(async () => {
    await production[Symbol.asyncDispose]()
    await bao[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  async function startProduction(): Promise<void> {
    production = await startService({}, { state, backendOrigins: [bao.url] })
    client = production.client()
  }

  function spec(Name: string, Default: boolean): Spec {
    const tokenSecretRef = { name: 'backends/token' }
    const Config = { url: bao.url, mount: 'secret', pathPrefix: Name, tokenSecretRef }
    return { Name, Type: 'openbao', Description: '', Default, Config }
  }

  async function synced(of: Client): Promise<void> {
    const ended = await of.operate('mirror-sync', { Backend: 'mirror', AcceptMount: false })
    if (ended.LastResult !== 'ok') throw new Error(ended.LastMessage)
  }

  /** Everything below the mount: each path with its metadata, versions and current data. */
  async function dump(): Promise<Record<string, Json>> {
    const found: Record<string, Json> = {}
    const folders = ['']
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const listed = await bao.call('GET', `secret/metadata/${folder}?list=true`)
      for (const key of listed.body.data?.keys ?? []) {
        if (key.endsWith('/')) folders.push(`${folder}${key}`)
        else {
          const path = `${folder}${key}`
          const { data: metadata } = await bao.must('GET', `secret/metadata/${path}`)
          found[path] = [metadata, (await bao.call('GET', `secret/data/${path}`)).body.data]
        }
      }
    }
    return found
  }

  async function restored(): Promise<string> {
    const to = join(scratch.path, `drill-${++made}`)
    using keys = providerKeys([localKeyProvider(join(state, 'local.key'))])
    await restoreBackup({ source: await fileSource(backup), keys, to, operator: 'op' })
    cpSync(join(state, 'local.key'), join(to, 'local.key'))
    return to
  }

  /** As `cp -a` makes it, of a server that runs. */
  function copied(): string {
    const to = join(scratch.path, `copy-${++made}`)
    cpSync(state, to, { recursive: true, preserveTimestamps: true })
    return to
  }

  const codeOf = (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'done',
      (error: { code: string }) => error.code,
    )

  /** Does on the copy in `directory` what an operator in doubt would, and what its jobs do by themselves. */
  async function useAll(directory: string): Promise<void> {
    await using copy = await startService({}, { state: directory, backendOrigins: [bao.url] })
    const drill = copy.client()
    const status = await drill.operate('branch-status', {})
    expect(status.Adopted).toBe(false)
    const ready = await fetch(`${copy.url}/readyz`)
    expect(await ready.json()).toMatchObject({ branch: expect.stringContaining('sotto branch') })
    // What is kept in OpenBao is read as ever.
    expect(Buffer.from((await drill.getVersion('svc/c', 1)).Value).toString()).toBe('svc/c one')
    expect(await codeOf(drill.put('svc/c', bytes('of the drill')))).toBe('not_adopted')
    expect(await codeOf(drill.createVersion('svc/c', 9999, bytes('x')))).toBe('not_adopted')
    await drill.activate('app/a', 1)
    await drill.delete('svc/c')
    for (const From of ['home', 'default']) {
      const move = { Name: From === 'home' ? 'app/a' : 'backends/token', KeepSource: false }
      const To = From === 'home' ? 'mirror' : 'home'
      await codeOf(drill.operate('migrate-secret', { ...move, From, To }))
    }
    for (const Name of ['mirror', 'backends']) {
      const job = await drill.operate('job-run', { Name })
      expect(job).toMatchObject({ LastResult: 'failed' })
      expect(job.LastMessage).toMatch(/no operator has adopted|is a copy or was moved/)
    }
    const sync = { Backend: 'mirror', AcceptMount: true, OnDrift: 'adopt' } as const
    expect(await drill.operate('mirror-sync', sync)).toMatchObject({ LastResult: 'failed' })
    const tested = await drill.operate('backend-test', { Name: 'home' })
    expect(tested.Error?.Code).toBe('not_adopted')
  }

  test(`A6: ${RESTORES} restores and ${COPIES} copies change nothing there`, async () => {
    const before = await dump()
    expect(Object.keys(before).toSorted()).toEqual(
      expect.arrayContaining(['home/place', 'home/home/svc/c/2', 'mirror/active/app/a']),
    )
    for (let drill = 0; drill < RESTORES; drill++) await useAll(await restored())
    for (let copy = 0; copy < COPIES; copy++) await useAll(copied())
    expect(await dump()).toEqual(before)
    // Production goes on.
    await client.put('svc/c', bytes(`svc/c ${made}`))
    await synced(client)
  }, 3_600_000)

  test('A6: two restores of one backup are two branches', async () => {
    const branches: string[] = []
    for (const directory of [await restored(), await restored()]) {
      await using copy = await startService({}, { state: directory, backendOrigins: [bao.url] })
      const { Branch, Former } = await copy.client().operate('branch-status', {})
      branches.push(Branch, ...Former)
    }
    const own = (await client.operate('branch-status', {})).Branch
    expect(branches).toEqual([expect.any(String), own, expect.any(String), own])
    expect(new Set(branches).size).toBe(3)
  })

  test('A6: a restore that is adopted takes over what both know, and stops who was there', async () => {
    await client.put('app/late', bytes('written by production'))
    await synced(client)
    const directory = await restored()
    await using copy = await startService({}, { state: directory, backendOrigins: [bao.url] })
    const drill = copy.client()
    const { Branch } = await drill.operate('branch-status', {})
    expect(await codeOf(drill.operate('branch-adopt', { Branch: '0'.repeat(16) }))).toBe('conflict')
    const adopted = await drill.operate('branch-adopt', { Branch })
    expect(adopted).toMatchObject({ Adopted: true })
    expect(adopted.Backends.map(({ Ours }) => Ours)).toEqual([true, true])
    expect(copy.records().filter(({ kind }) => kind === 'adopt')).toMatchObject([
      { branch: Branch, principal: { user: 'root@example.com' } },
    ])
    await drill.operate('mirror-sync', { Backend: 'mirror', AcceptMount: false })
    const [status] = await drill.operate('mirror-status', { Backend: 'mirror' })
    // app/a had version 1 at the time of the backup: version 2 is one that this branch never gave.
    const items = status?.Items.map(({ Name, State }) => `${Name} ${State}`) ?? []
    expect(items).toContain('app/a drift')
    expect((await dump())['mirror/active/app/late']).toBeDefined()
    const version = await drill.put('svc/c', bytes('of the new branch'))
    expect(version).toBeGreaterThan(2)
    // Production finds a branch that it never was, and writes no more.
    await expect
      .poll(() => codeOf(client.put('svc/c', bytes(`old branch ${Math.random()}`))), {
        timeout: 30_000,
        interval: 500,
      })
      .toBe('not_adopted')
    // Its claim of that place is one of its own, which may be younger.
    const sync = { Backend: 'mirror', AcceptMount: false } as const
    await expect
      .poll(async () => (await client.operate('mirror-sync', sync)).LastMessage, {
        timeout: 30_000,
        interval: 500,
      })
      .toContain('another server')
    // Its operator may say otherwise.
    const own = (await client.operate('branch-status', {})).Branch
    await client.operate('branch-adopt', { Branch: own })
    expect(await codeOf(client.put('svc/c', bytes('production again')))).toBe('done')
  })

  test('A6: a copy that nothing tells from its original is found out by what it wrote', async () => {
    // The same machine and inode, as a snapshot of a volume on a cloned machine has.
    await using copy = await startService(
      { host: hostOf(state, '') },
      { state: copied(), backendOrigins: [bao.url] },
    )
    const drill = copy.client()
    expect((await drill.operate('branch-status', {})).Adopted).toBe(true)
    expect(await codeOf(drill.put('svc/of-the-copy', bytes('x')))).toBe('done')
    await expect
      .poll(() => codeOf(client.put('svc/d', bytes(`production ${Math.random()}`))), {
        timeout: 30_000,
        interval: 500,
      })
      .toBe('not_adopted')
    // Nor after a restart, which gives the number that the copy had.
    await production[Symbol.asyncDispose]()
    await startProduction()
    expect(await codeOf(client.put('svc/e', bytes('x')))).toBe('not_adopted')
    const { Branch } = await client.operate('branch-status', {})
    await client.operate('branch-adopt', { Branch })
    expect(await codeOf(client.put('svc/e', bytes('x')))).toBe('done')
    await expect
      .poll(() => codeOf(drill.put('svc/f', bytes(`copy ${Math.random()}`))), {
        timeout: 30_000,
        interval: 500,
      })
      .toBe('not_adopted')
  })
})
