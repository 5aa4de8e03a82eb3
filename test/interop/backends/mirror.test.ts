/** A mirror in a real OpenBao, in which others work, too, and which comes and goes. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { MirrorSpec } from '../../../client/api/mirrors.ts'
import type { OperationRequest, OperationResponse } from '../../../client/api/operations.ts'
import { pathOf } from '../../../server/backends/names.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { bytes, type Service, startService } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { leastPolicy, markingPolicy } from './fixture.ts'

type Ended = OperationResponse<'mirror-sync'>

for (const policy of ['least', 'marking'] as const) {
  describeWith(['bao'], `a mirror under the policy ${policy}`, () => {
    let bao: OpenBao
    let service: Service
    let scratch: ReturnType<typeof temporaryDirectory>
    let mount = ''
    let count = 0

    beforeAll(async () => {
      bao = await startOpenBao({ storage: 'raft' })
    })

    afterAll(() => bao?.[Symbol.asyncDispose]())

    beforeEach(async () => {
      mount = `kv${++count}`
      scratch = temporaryDirectory()
      await bao.mount(mount, 'kv', { version: '2' })
      const text = policy === 'least' ? leastPolicy : markingPolicy
      await bao.policy(mount, text.replaceAll('"secret/', `"${mount}/`))
      await start()
      await service.client().put('backends/vault', bytes(await bao.token({ policies: [mount] })))
    })

    afterEach(async () => {
      await service[Symbol.asyncDispose]()
      scratch[Symbol.dispose]()
    })

    async function start(): Promise<void> {
      service = await startService(
        {},
        { state: `${scratch.path}/state`, backendOrigins: [bao.url] },
      )
    }

    async function setUp(mirror: Partial<MirrorSpec> = {}): Promise<void> {
      await service.client().operate('backend-apply', {
        Name: 'vault',
        Type: 'openbao',
        Description: '',
        Default: false,
        Config: {
          url: bao.url,
          mount,
          pathPrefix: 'sotto',
          tokenSecretRef: { name: 'backends/vault' },
          mirror: {
            secrets: ['prod/*'],
            onDrift: 'report',
            onDelete: 'keep',
            ...mirror,
          },
        },
      })
    }

    async function sync(request: Partial<OperationRequest<'mirror-sync'>> = {}): Promise<Ended> {
      const client = service.client()
      let ended = await client.operate('mirror-sync', { AcceptMount: false, ...request })
      while (ended.Running)
        ended = await client.operate('job-run', { Name: 'mirror', Started: ended.LastStart ?? '' })
      return ended
    }

    async function items(): Promise<string[]> {
      const [status] = await service.client().operate('mirror-status', {})
      return (status?.Items ?? []).map(({ Name, State, Reason }) => `${Name} ${State}: ${Reason}`)
    }

    function at(part: string, name: string): string {
      return `${mount}/${part}/sotto/active/${pathOf(name)}`
    }

    async function seen(name: string): Promise<unknown> {
      const { status, body } = await bao.call('GET', at('data', name))
      return status === 200 ? body.data.data : status
    }

    test.each([
      [
        'edited',
        'someone else changed it there',
        async () => {
          await bao.must('POST', at('data', 'prod/a'), { data: { value: 'by hand' } })
        },
      ],
      [
        'deleted',
        'someone else deleted it there',
        async () => {
          await bao.must('DELETE', at('data', 'prod/a'))
        },
      ],
      [
        'destroyed',
        'someone else deleted it there',
        async () => {
          await bao.must('POST', at('destroy', 'prod/a'), { versions: [2] })
        },
      ],
      [
        'removed',
        'someone else removed it there, with its history',
        async () => {
          await bao.must('DELETE', at('metadata', 'prod/a'))
        },
      ],
      [
        'removed and made again',
        'someone else removed it there and recreated it',
        async () => {
          await bao.must('DELETE', at('metadata', 'prod/a'))
          await bao.must('POST', at('data', 'prod/a'), { data: { value: 'by hand' } })
        },
      ],
    ] as const)('what was %s there is reported, then mended', async (_, reason, change) => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await client.put('prod/a', bytes('two'))
      await setUp()
      await sync()
      await client.activate('prod/a', 2)
      await sync()
      expect(await seen('prod/a')).toEqual({ value: 'two' })
      await change()
      const before = await seen('prod/a')
      await sync()
      expect(await items()).toEqual([`prod/a drift: ${reason}`])
      expect(await seen('prod/a')).toEqual(before)
      await sync({ OnDrift: 'overwrite' })
      expect(await seen('prod/a')).toEqual({ value: 'two' })
      expect(await items()).toEqual([])
      expect(await sync()).toMatchObject({ LastMessage: 'vault: 1 looked at, 0 written' })
    })

    test('R11: what someone else made among ours is reported and left', async () => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await setUp()
      await sync()
      const paths = ['other', 'prod/a/b', 'prod/=zz']
      for (const path of paths) {
        await bao.must('POST', `${mount}/data/sotto/active/${path}`, { data: { by: 'hand' } })
      }
      expect(await sync()).toMatchObject({
        LastMessage: 'vault: 1 looked at, 0 written, 3 beside them made there by someone else',
      })
      const [status] = await client.operate('mirror-status', {})
      expect(status?.Foreign?.Count).toBe(3)
      expect(status?.Foreign?.Paths.toSorted()).toEqual(paths.toSorted())
      for (const path of paths) await bao.must('GET', `${mount}/data/sotto/active/${path}`)
    })

    test('what someone else made there is never touched, nor what stands beside it', async () => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await client.put('prod/b', bytes('two'))
      await bao.must('POST', at('data', 'prod/a'), { data: { value: 'older' } })
      await bao.must('POST', at('metadata', 'prod/a'), { custom_metadata: { owner: 'them' } })
      await bao.must('POST', `${mount}/data/sotto/active/other`, { data: { value: 'beside' } })
      await setUp({ onDrift: 'overwrite', onDelete: 'remove' })
      await sync()
      await client.delete('prod/a')
      await sync()
      const { data } = await bao.must('GET', at('data', 'prod/a'))
      expect(data).toMatchObject({
        data: { value: 'older' },
        metadata: { version: 1, custom_metadata: { owner: 'them' } },
      })
      expect(await seen('other')).toEqual({ value: 'beside' })
      expect(await seen('prod/b')).toEqual({ value: 'two' })
    })

    test('more activations than OpenBao keeps, and a rollback behind them', async () => {
      const client = service.client()
      await setUp()
      for (let version = 1; version <= 14; version++) {
        await client.put('prod/a', bytes(`v${version}`))
        await client.activate('prod/a', version)
        await sync()
      }
      await client.activate('prod/a', 2)
      await sync()
      expect(await seen('prod/a')).toEqual({ value: 'v2' })
      expect(await items()).toEqual([])
    })

    test('a mount that deletes by itself is an alarm', async () => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await bao.must('POST', `${mount}/config`, { delete_version_after: '1h' })
      await setUp()
      await sync()
      const alarm = [
        expect.stringMatching(/^prod\/a failed: the backend deletes it by itself, at 20/),
      ]
      expect(await items()).toEqual(alarm)
      // It stays when the next run finds nothing else to do.
      await sync()
      expect(await items()).toEqual(alarm)
    })

    test('a mount that is removed stops the mirror, and nothing is recreated unasked', async () => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await setUp()
      await sync()
      await bao.must('DELETE', `sys/mounts/${mount}`)
      expect(await sync()).toMatchObject({ LastResult: 'failed' })
      await bao.mount(mount, 'kv', { version: '2' })
      expect(await sync()).toMatchObject({
        LastResult: 'failed',
        LastMessage: expect.stringContaining('removed and recreated'),
      })
      expect(await seen('prod/a')).toBe(404)
      await sync({ Backend: 'vault', AcceptMount: true, OnDrift: 'overwrite' })
      expect(await seen('prod/a')).toEqual({ value: 'one' })
    })

    test('changes while OpenBao is sealed, or gone, arrive when it is back', async () => {
      const client = service.client()
      await setUp()
      await client.put('prod/a', bytes('one'))
      await sync()
      await bao.seal()
      await client.put('prod/a', bytes('two'))
      await client.activate('prod/a', 2)
      expect(await sync()).toMatchObject({
        LastResult: 'failed',
        LastMessage: expect.stringContaining('it is sealed'),
      })
      // Who reads from Sotto does not notice.
      expect(Buffer.from((await client.get('prod/a')).Value).toString()).toBe('two')
      await bao.kill()
      await client.put('prod/b', bytes('new'))
      await bao.start()
      await bao.unseal()
      while ((await sync()).LastResult !== 'ok') await new Promise(setImmediate)
      expect(await seen('prod/a')).toEqual({ value: 'two' })
      expect(await seen('prod/b')).toEqual({ value: 'new' })
    })

    test('a server that is started again goes on where it was', async () => {
      const client = service.client()
      await client.put('prod/a', bytes('one'))
      await setUp()
      await sync()
      await service.server.stop()
      await start()
      expect(await sync()).toMatchObject({ LastMessage: 'vault: 1 looked at, 0 written' })
      await service.client().put('prod/a', bytes('two'))
      await service.client().activate('prod/a', 2)
      await sync()
      expect(await seen('prod/a')).toEqual({ value: 'two' })
    })

    test('no value is in what OpenBao or the server say', async () => {
      const canary = 'canary-4f1d2c'
      await service.client().put('prod/a', bytes(canary))
      await setUp()
      await sync()
      await bao.must('DELETE', `sys/mounts/${mount}`)
      await sync()
      const told = JSON.stringify([service.said, service.records(), await items(), bao.audit()])
      expect(told).not.toContain(canary)
      expect(told).not.toContain(Buffer.from(canary).toString('base64'))
    })
  })
}
