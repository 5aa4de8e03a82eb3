/**
 * Many definitions: how long an activation takes to be in the Secret, what a server is asked at rest, and what memory it
 * takes.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathOf } from '../../support/cluster.ts'
import { depth } from '../../support/depth.ts'
import { describeWith } from '../../support/peers.ts'
import { pageOf, startWorld, type World } from './fixture.ts'

const COUNT = depth({ usual: 500, full: 5000 })
/** Of so many another version is activated, as fast as that goes. */
const ACTIVATED = 500

describeWith(['cluster'], `${COUNT} definitions`, () => {
  let world: World

  beforeAll(async () => {
    world = await startWorld()
    await world.namespace('team')
  })

  afterAll(() => world?.[Symbol.asyncDispose]())

  test('are all written, follow activations, and cost Sotto nothing at rest', async () => {
    const names = Array.from({ length: COUNT }, (_, at) => `app-${at}`)
    for (const name of names) {
      await world.put(`team/${name}`, 'one')
      const spec = { name, keysMap: { value: { path: `team/${name}` } } }
      await world.define(name, spec, 'team')
    }
    const began = performance.now()
    const controller = await world.controller({ args: ['--metrics-listen=127.0.0.1:0'] })
    await world.inSync(controller, COUNT)
    const started = performance.now() - began
    // The record of a watch names no secret.
    const gets = (): string[] =>
      world.service
        .records()
        .flatMap(({ action, secret }) =>
          action === 'get' && typeof secret === 'string' ? [secret] : [],
        )
    // One for each secret, at the start, whatever it takes until they are watched.
    expect(repeated(gets())).toEqual([])
    expect(gets().length).toBe(COUNT)
    const times = await timesOf(names.slice(0, ACTIVATED))
    await expect.poll(() => gets().length).toBe(COUNT + ACTIVATED)
    const memory = /VmHWM:\s+(\d+)/.exec(
      readFileSync(`/proc/${controller.pid}/status`, 'utf8'),
    )?.[1]
    const at = (share: number): number =>
      Math.round(times[Math.ceil(times.length * share) - 1] ?? 0)
    console.log(
      `${COUNT} definitions: in order after ${Math.round(started)} ms; activation to Secret p50 ${at(0.5)} ms, ` +
        `p99 ${at(0.99)} ms; ${Math.round(Number(memory) / 1024)} MiB`,
    )
    // Many times what it takes on a machine that has nothing else to do.
    expect(at(0.99)).toBeLessThan(20_000)
    const written = `sotto_kubernetes_secret_writes_total{result="ok"} ${COUNT + ACTIVATED}`
    await expect.poll(() => pageOf(controller)).toContain(written)
    expect(await pageOf(controller)).toContain(`sotto_kubernetes_secrets_held ${COUNT}`)
  }, 1_800_000)

  /** Activates a version of each, and resolves with the milliseconds that each took, in order. */
  async function timesOf(names: readonly string[]): Promise<number[]> {
    const activated = new Map<string, number>()
    const times: number[] = []
    const watch = followed(({ metadata, data }) => {
      const since = activated.get(metadata.name)
      if (since === undefined || data?.['value'] !== Buffer.from('two').toString('base64')) return
      times.push(performance.now() - since)
      activated.delete(metadata.name)
    })
    await watch.opened
    const client = world.service.client()
    for (const name of names) {
      const version = await client.put(`team/${name}`, Buffer.from('two'))
      activated.set(name, performance.now())
      await client.activate(`team/${name}`, version)
    }
    await expect.poll(() => times.length, { timeout: 900_000 }).toBe(names.length)
    await watch.close()
    return times.toSorted((a, b) => a - b)
  }

  interface Secret {
    readonly metadata: { readonly name: string }
    readonly data?: Readonly<Record<string, string>>
  }

  /** Tells of each change of a Secret, as the API server does. */
  function followed(changed: (secret: Secret) => void): {
    readonly opened: Promise<void>
    close(): Promise<void>
  } {
    return world.cluster.follow(pathOf('Secret', 'team'), (resource) => changed(resource as Secret))
  }
})

function repeated(names: readonly string[]): string[] {
  return names.filter((name, at) => names.indexOf(name) !== at)
}
