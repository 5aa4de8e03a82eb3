/** Restarts: of the controller, which change nothing, and of workloads, once for each change. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathOf } from '../../support/cluster.ts'
import { describeWith } from '../../support/peers.ts'
import { type Json, startWorld, type World } from './fixture.ts'

describeWith(['cluster'], 'restarts', () => {
  let world: World

  beforeAll(async () => {
    world = await startWorld()
    await world.namespace('team')
  })

  afterAll(() => world?.[Symbol.asyncDispose]())

  /** A workload that reads a Secret in every way that there is. */
  async function deploy(name: string, secret: string): Promise<void> {
    const labels = { app: name }
    const key = { name: secret, key: 'value' }
    await world.cluster.must('POST', pathOf('Deployment', 'team'), {
      metadata: { name },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            containers: [
              {
                name: 'app',
                image: 'app',
                env: [{ name: 'IT', valueFrom: { secretKeyRef: key } }],
                envFrom: [{ secretRef: { name: secret } }],
              },
            ],
            volumes: [
              { name: 'one', secret: { secretName: secret } },
              { name: 'two', projected: { sources: [{ secret: { name: secret } }] } },
            ],
          },
        },
      },
    })
  }

  async function deployment(name: string): Promise<Json> {
    return world.cluster.must('GET', pathOf('Deployment', 'team', name))
  }

  /** How often its pods were replaced: the API server counts changes of what is asked for. */
  const generation = async (name: string): Promise<number> =>
    (await deployment(name)).metadata.generation

  const define = (name: string, more: object = {}): Promise<void> => {
    const rollout = [{ kind: 'Deployment', name }]
    const keysMap = { value: { path: `team/${name}`, key: 'value' } }
    return world.define(name, { name, keysMap, rollout, ...more }, 'team')
  }

  test('a workload is restarted once for a change, and a controller that starts again changes nothing', async () => {
    await world.put('team/app', '{"value":"one","other":"one"}')
    await deploy('app', 'app')
    const controller = await world.controller()
    await define('app')
    await world.reason('app', 'Synced', 'team')
    // Its pods waited for the Secret.
    expect(await generation('app')).toBe(1)
    await world.put('team/app', '{"value":"one","other":"two"}')
    await expect
      .poll(async () => (await world.definition('app', 'team')).status.keys[0].version)
      .toBe(2)
    expect(await generation('app')).toBe(1)
    await world.put('team/app', '{"value":"two","other":"two"}')
    await expect.poll(() => generation('app')).toBe(2)
    await expect
      .poll(async () => (await world.definition('app', 'team')).status.keys[0].version)
      .toBe(3)
    const versions = async (): Promise<string[]> => {
      const all = await Promise.all([
        world.cluster.must('GET', pathOf('Secret', 'team', 'app')),
        world.definition('app', 'team'),
        deployment('app'),
      ])
      return all.map(({ metadata }) => metadata.resourceVersion)
    }
    const before = await versions()
    expect(await controller.stop()).toBe(0)
    const next = await world.controller({ args: ['--metrics-listen=127.0.0.1:0'] })
    await world.inSync(next, 1)
    expect(await versions()).toEqual(before)
    // One that dies has the Lease still: the next one waits until that ends.
    await next.kill()
    const after = await world.controller({ args: ['--metrics-listen=127.0.0.1:0'] })
    await world.inSync(after, 1)
    expect(await versions()).toEqual(before)
    const { items } = await world.cluster.must('GET', '/api/v1/namespaces/team/events')
    expect(items.map(({ reason }: Json) => reason)).toEqual(['Synced'])
    await after.stop()
  })

  test('of a Secret that is never changed, each content has another name, which workloads get', async () => {
    const controller = await world.controller()
    await world.put('team/fixed', '{"value":"one"}')
    await deploy('fixed', 'fixed')
    await define('fixed', { immutable: 'hashName' })
    const names: string[] = []
    for (const value of ['one', 'two', 'three']) {
      await world.put('team/fixed', JSON.stringify({ value }))
      await expect
        .poll(async () => {
          const { status } = await world.definition('fixed', 'team')
          const name = status?.secretName ?? ''
          return name !== '' && (await world.secret(name, 'team'))
        })
        .toEqual({ value })
      const { status } = await world.definition('fixed', 'team')
      names.push(status.secretName)
      const secret = await world.cluster.must('GET', pathOf('Secret', 'team', status.secretName))
      expect(secret.immutable).toBe(true)
      const { spec, metadata } = await deployment('fixed')
      const found = [...JSON.stringify(spec.template.spec).matchAll(/"(fixed[^"]*)"/g)]
      expect(found.map(([, name]) => name)).toEqual(Array(4).fill(status.secretName))
      expect(metadata.generation).toBe(names.length + 1)
    }
    expect(new Set(names).size).toBe(3)
    // Pods of the content before may still be there.
    expect(await world.secret(names[0]!, 'team')).toBeUndefined()
    expect(await world.secret(names[1]!, 'team')).toEqual({ value: 'two' })
    await controller.stop()
  })

  test('a second controller waits for the Lease, and has it as soon as the first stops', async () => {
    const first = await world.controller()
    const second = await world.controller({ leads: false })
    await world.put('team/lease', '{"value":"one"}')
    await define('lease')
    await world.reason('lease', 'Synced', 'team')
    expect(second.stderr).not.toContain('has the Lease')
    await first.stop()
    await second.line(/has the Lease/)
    await world.put('team/lease', '{"value":"two"}')
    await expect.poll(() => world.secret('lease', 'team')).toEqual({ value: 'two' })
    await second.stop()
  })
})
