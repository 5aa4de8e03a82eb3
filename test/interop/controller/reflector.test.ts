/** The reflector of the controller against a real API server: its contract. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiFailure, KubernetesApi } from '../../../cli/handlers/kubernetes/api.ts'
import { Lease } from '../../../cli/handlers/kubernetes/lease.ts'
import { placeOf } from '../../../cli/handlers/kubernetes/place.ts'
import { Reflector, type Resource } from '../../../cli/handlers/kubernetes/reflector.ts'
import { processTimers } from '../../../client/platform/timers.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import { type Cluster, pathOf, startCluster } from '../../support/cluster.ts'
import { describeWith } from '../../support/peers.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

describeWith(['cluster'], 'a reflector of a real API server', () => {
  let cluster: Cluster
  let api: KubernetesApi
  const scratch = temporaryDirectory()
  const tokenFile = join(scratch.path, 'token')
  const seen = new Map<string, Resource>()
  const failures: ApiFailure[] = []
  let lists = 0
  const ends = new AbortController()
  let running: Promise<void>

  beforeAll(async () => {
    cluster = await startCluster()
    writeFileSync(tokenFile, 'administrators-token')
    const flags = {
      url: cluster.url,
      tokenFile,
      caFile: cluster.caFile,
      namespace: 'default',
    }
    api = new KubernetesApi(placeOf(flags, {}, processTimers), processTimers)
    // More than one page has.
    for (let at = 0; at < 21; at++) {
      await Promise.all(Array.from({ length: 25 }, (_, each) => make(`before-${at * 25 + each}`)))
    }
    running = new Reflector<Resource>({
      api,
      path: pathOf('ConfigMap', 'default'),
      seen: {
        replace(all) {
          seen.clear()
          for (const one of all) seen.set(one.metadata.name, one)
        },
        set: (one) => void seen.set(one.metadata.name, one),
        remove: (one) => void seen.delete(one.metadata.name),
      },
      failed: (failure) => void failures.push(failure),
      listed: () => void lists++,
      timers: processTimers,
      random: () => 0.01,
    }).run(ends.signal)
  })

  afterAll(async () => {
    ends.abort()
    await running
    api?.close()
    await cluster?.[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  function make(name: string): Promise<unknown> {
    return cluster.must('POST', pathOf('ConfigMap', 'default'), { metadata: { name } })
  }

  test('lists what is there, and is told of what changes', async () => {
    await expect.poll(() => seen.size).toBe(525)
    await make('added')
    await expect.poll(() => seen.has('added')).toBe(true)
    await cluster.must(
      'PATCH',
      pathOf('ConfigMap', 'default', 'added'),
      { data: { a: 'b' } },
      {
        type: 'application/merge-patch+json',
      },
    )
    await expect.poll(() => seen.get('added')).toMatchObject({ data: { a: 'b' } })
    await cluster.must('DELETE', pathOf('ConfigMap', 'default', 'added'))
    await expect.poll(() => seen.has('added')).toBe(false)
    expect({ lists, failures }).toEqual({ lists: 1, failures: [] })
  })

  test('a Lease is free once its holder was silent for 15 seconds, whatever the clocks say', async () => {
    const first = leaseOf('first', '1999-01-01')
    const second = leaseOf('second', '2099-01-01')
    const none = new AbortController()
    await first.lease.acquire(none.signal, unexpected)
    const acquired = second.lease.acquire(none.signal, unexpected)
    let isHeld = false
    void acquired.then(() => (isHeld = true))
    for (let round = 0; round < 8; round++) {
      await first.round()
      await second.round()
    }
    expect({ isHeld, lost: first.lease.lost.aborted }).toEqual({ isHeld: false, lost: false })
    for (let round = 0; round < 5; round++) await second.round()
    await acquired
    // Whoever was silent finds that another one has it.
    await first.round()
    expect(first.lease.lost.aborted).toBe(true)
    await second.lease.release()
    const third = leaseOf('third', '2026-01-01')
    await third.lease.acquire(none.signal, unexpected)
    await third.lease.release()
  })

  /** A Lease whose time goes on by rounds of three seconds, after each of which its call is answered. */
  function leaseOf(identity: string, date: string) {
    const timers = new ManualTimers()
    let answered = 0
    const counted = async <T>(call: Promise<T>): Promise<T> => {
      try {
        return await call
      } finally {
        answered++
      }
    }
    const lease = new Lease({
      api: {
        get: (path) => counted(api.get(path)),
        create: (path, body) => counted(api.create(path, body)),
        replace: (path, body) => counted(api.replace(path, body)),
      },
      namespace: 'default',
      identity,
      clock: () => new Date(Date.parse(date) + timers.now()),
      timers,
    })
    const round = async (): Promise<void> => {
      const before = answered
      await settled()
      timers.advance(3_000)
      await expect.poll(() => answered, { interval: 5 }).toBeGreaterThan(before)
      await settled()
    }
    return { lease, round }
  }

  function unexpected(error: unknown): void {
    throw error
  }
})
