/** What goes wrong in clusters, one failure each: the controller is right again without help. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { establish, pathOf } from '../../support/cluster.ts'
import { describeWith } from '../../support/peers.ts'
import type { TestProcess } from '../../support/process.ts'
import { bytes } from '../../support/service.ts'
import { startWorld, type World } from './fixture.ts'

describeWith(['cluster'], 'failures', () => {
  let world: World
  let controller: TestProcess

  beforeAll(async () => {
    world = await startWorld({ crd: false })
    await world.namespace('team')
  })

  afterAll(() => world?.[Symbol.asyncDispose]())

  const define = (name: string, more: object = {}): Promise<void> =>
    world.define(name, { name, keysMap: { value: { path: `team/${name}` } }, ...more }, 'team')

  /** A controller that is started again when it ends, as by a kubelet: it does where its Lease is lost. */
  async function keep(args: readonly string[] = []): Promise<void> {
    const started = await world.controller({ args })
    controller = started
    const again = started.exited.then((code) => (code === 1 ? keep(args) : undefined))
    // A test that needs it fails by itself.
    again.catch(() => {})
  }

  /** Puts a value, and waits until the Secret has it. */
  async function works(name: string, value: string): Promise<void> {
    await world.put(`team/${name}`, value)
    await define(name)
    await expect.poll(() => world.secret(name, 'team')).toEqual({ value })
  }

  test('SecretDefinitions are not known yet: it says what to apply, and waits', async () => {
    await keep(['--resync=1s'])
    await controller.line(/crd\.yaml/)
    await establish(world.cluster)
    await works('early', 'one')
  })

  test('the API server is killed and comes back', async () => {
    await world.cluster.restartApiServer()
    await works('early', 'two')
    await works('after-kill', 'one')
  })

  test('the API server hangs for a while', async () => {
    await world.cluster.apiServer.freeze()
    await world.put('team/early', 'three')
    world.cluster.apiServer.signal('SIGCONT')
    await expect.poll(() => world.secret('early', 'team')).toEqual({ value: 'three' })
  })

  test('etcd is compacted while the controller hangs: what it saw is too old, and it lists again', async () => {
    const listed = await world.cluster.must('GET', pathOf('SecretDefinition', 'team'))
    const { resourceVersion } = listed.metadata
    await controller.freeze()
    await world.put('team/compacted', 'one')
    await define('compacted')
    await world.cluster.must('DELETE', pathOf('SecretDefinition', 'team', 'after-kill'))
    await world.cluster.compact()
    await world.cluster.restartApiServer()
    const watch = `${pathOf('SecretDefinition', 'team')}?watch=true&resourceVersion=${resourceVersion}&timeoutSeconds=1`
    // A server that just started may ask to wait.
    await expect
      .poll(async () => JSON.stringify((await world.cluster.call('GET', watch)).body))
      .toContain('410')
    controller.signal('SIGCONT')
    await expect.poll(() => world.secret('compacted', 'team')).toEqual({ value: 'one' })
    await works('early', 'four')
  })

  test('the token is no longer good, and then the kubelet writes another one', async () => {
    const path = pathOf('ServiceAccount', 'sotto-kubernetes', 'sotto-kubernetes')
    const account = await world.cluster.must('GET', path)
    await world.cluster.must('DELETE', path)
    const { name, namespace } = account.metadata
    await world.cluster.must('POST', pathOf('ServiceAccount', namespace), { metadata: { name } })
    await world.renewToken()
    await works('early', 'five')
  })

  test('someone deletes a Secret: it is there again at the next look', async () => {
    await world.cluster.must('DELETE', pathOf('Secret', 'team', 'early'))
    await expect.poll(() => world.secret('early', 'team')).toEqual({ value: 'five' })
  })

  test('values that together are too large are told, and others go on', async () => {
    await world.put('team/large', 'x'.repeat(700 * 1024))
    const keysMap = { one: { path: 'team/large' }, two: { path: 'team/large' } }
    await define('large', { keysMap })
    const { status } = await world.reason('large', 'Invalid', 'team')
    expect(status.conditions[0].message).toContain('1 MiB')
    await works('early', 'six')
  })

  test('a value that is not UTF-8 is in the Secret byte for byte', async () => {
    const value = Buffer.from([0xff, 0, 0xfe, 0x80])
    await world.service.client().put('team/binary', value)
    await define('binary')
    await world.reason('binary', 'Synced', 'team')
    const { data } = await world.cluster.must('GET', pathOf('Secret', 'team', 'binary'))
    expect(data.value).toBe(value.toString('base64'))
  })

  test('a namespace is deleted with its definitions, and made again', async () => {
    await world.namespace('short')
    await world.put('short/it', 'one')
    const spec = { name: 'it', keysMap: { value: { path: 'short/it' } } }
    await world.define('it', spec, 'short')
    await expect.poll(() => world.secret('it', 'short')).toEqual({ value: 'one' })
    const path = pathOf('Namespace', undefined, 'short')
    await world.cluster.must('DELETE', path)
    await world.put('short/it', 'two')
    await expect.poll(async () => (await world.cluster.call('GET', path)).status).toBe(404)
    await world.namespace('short')
    await world.define('it', spec, 'short')
    await expect.poll(() => world.secret('it', 'short')).toEqual({ value: 'two' })
  })

  test('Sotto does not answer: a new definition says so, and what is there stays', async () => {
    await controller.stop()
    const cut = await world.controller({ server: 'http://127.0.0.1:9', args: ['--resync=1s'] })
    await world.service.client().put('team/unheard', bytes('x'))
    await define('unheard')
    await world.reason('unheard', 'Unreachable', 'team')
    await world.reason('early', 'Synced', 'team')
    expect(await world.secret('early', 'team')).toEqual({ value: 'six' })
    await cut.stop()
    await keep()
    await world.reason('unheard', 'Synced', 'team')
  })
})
