/** Fair shares and turns: the parts that keep one address from taking all there is. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { MAX_BODY_BYTES, MAX_NAME_BYTES } from '../../client/api/types.ts'
import { type Fault, ErrorLog } from '../../server/http/error-log.ts'
import { FairQueue, SerialQueue } from '../../server/http/fair-queue.ts'
import { listenerLimits } from '../../server/http/listener.ts'
import { type AddressUsage, Load, loadLimits, openFileLimit } from '../../server/http/load.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** How often `take` works before it throws or gives nothing. */
function countOf(take: () => unknown): number {
  for (let count = 0; ; count++) {
    try {
      if (take() === false) return count
    } catch (error) {
      if (error instanceof SottoError && error.code === 'overloaded') return count
      throw error
    }
  }
}

function connect(load: Load, address: string): AddressUsage {
  const peer = load.connect(address)
  if (!peer) throw new Error(`no connection for ${address}`)
  return peer
}

describe('a share', () => {
  const limits = { connections: 100, requests: 64, bytes: 1000 }

  test('is half for one address, a third for each of two, and there is always some left', () => {
    const load = new Load(limits)
    const [first, second, third] = ['a', 'b', 'c'].map((address) => connect(load, address)) as [
      AddressUsage,
      AddressUsage,
      AddressUsage,
    ]
    expect(countOf(() => load.enter(first))).toBe(32)
    expect(countOf(() => load.enter(second))).toBe(16)
    expect(countOf(() => load.enter(third))).toBe(8)
  })

  test('is everything there is when everybody takes one', () => {
    const load = new Load({ ...limits, connections: 1000 })
    const peers = Array.from({ length: 65 }, (_, index) => connect(load, `peer-${index}`))
    const last = peers.pop() as AddressUsage
    for (const peer of peers) load.enter(peer)
    expect(() => load.enter(last)).toThrow(/works on 64 requests/)
    load.leave(peers[0] as AddressUsage)
    load.enter(last)
    expect(last.requests).toBe(1)
  })

  test('of connections and of bytes is reckoned in the same way, and given back', () => {
    const load = new Load(limits)
    expect(countOf(() => load.connect('a') !== undefined)).toBe(50)
    const peer = connect(load, 'b')
    load.hold(peer, 500)
    expect(() => load.hold(peer, 1)).toThrow(/holds 500 bytes/)
    load.release(peer, 200)
    load.hold(peer, 200)
    expect(peer.bytes).toBe(500)
  })

  test('counts a request after its connection is gone', () => {
    const load = new Load({ ...limits, requests: 4 })
    const peer = connect(load, 'a')
    expect(countOf(() => load.enter(peer))).toBe(2)
    load.disconnect(peer)
    const again = connect(load, 'a')
    expect(() => load.enter(again)).toThrow(/works on 2/)
    load.leave(peer)
    load.leave(peer)
    expect(countOf(() => load.enter(again))).toBe(2)
  })

  test('is refused to all once the load is closed', () => {
    const load = new Load(limits)
    const peer = connect(load, 'a')
    load.close()
    expect(() => load.enter(peer)).toThrow(SottoError)
    expect(load.closing).toBe(true)
  })
})

test('the limits are those that the operations page lists', () => {
  const page = readFileSync(new URL('../../docs/guides/runbook.md', import.meta.url), 'utf8')
  const rows = new Map(
    [...page.matchAll(/^\| ([^|]+) \| ([^|]+) \|/gm)].map(([, what, limit]) => [what, limit]),
  )
  const { connections, requests, bytes: held } = loadLimits(Number.POSITIVE_INFINITY)
  const { headersTimeout, requestTimeout, keepAliveTimeout, ...more } = listenerLimits
  const count = (number: number): string => number.toLocaleString('en')
  const seconds = (ms: number): string => `${ms / 1000} s`
  expect(rows.get('request body')).toBe(`${MAX_BODY_BYTES / 2 ** 20} MiB`)
  expect(rows.get('request head')).toBe(`${more.maxHeaderSize / 1024} KiB`)
  expect(rows.get('time for the head, for the whole request')).toBe(
    `${seconds(headersTimeout)}, ${seconds(requestTimeout)}`,
  )
  expect(rows.get('idle connection')).toBe(seconds(keepAliveTimeout))
  expect(rows.get('connections')).toContain(count(connections))
  expect(rows.get('requests worked on at once')).toBe(count(requests))
  expect(rows.get('bodies, and answers that nobody took yet')).toBe(`${held / 2 ** 20} MiB`)
  expect(rows.get('name of a secret')).toBe(`${MAX_NAME_BYTES} bytes`)
  expect(rows.get('stop')).toContain(seconds(more.stopTimeout))
})

describe('open files', () => {
  test('bound the connections, with some left for the store and the log', () => {
    expect(loadLimits(1024).connections).toBe(768)
    expect(loadLimits(Number.POSITIVE_INFINITY).connections).toBe(16_384)
    expect(loadLimits(10).connections).toBe(1)
  })

  test('are read from the system, and where it does not say there is no limit', () => {
    using scratch = temporaryDirectory()
    const path = join(scratch.path, 'limits')
    writeFileSync(
      path,
      'Max processes  1  2  processes\nMax open files            1024    4096    files\n',
    )
    expect(openFileLimit(path)).toBe(1024)
    writeFileSync(path, 'Max open files            unlimited    unlimited    files\n')
    expect(openFileLimit(path)).toBe(Number.POSITIVE_INFINITY)
    expect(openFileLimit(join(scratch.path, 'none'))).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('turns', () => {
  test('one address with a thousand requests has another wait for at most one turn', async () => {
    const load = new Load()
    const [hog, other] = [connect(load, 'a'), connect(load, 'b')]
    const begun: string[] = []
    const queue = new FairQueue<string>((item) => void begun.push(item))
    for (let count = 0; count < 1000; count++) queue.add(hog, 'hog')
    queue.add(other, 'other')
    const before = begun.length
    await new Promise((resolve) => setImmediate(resolve))
    expect(before).toBeLessThanOrEqual(64)
    expect(begun.indexOf('other')).toBeLessThanOrEqual(before + 1)
    await expect.poll(() => begun.length).toBe(1001)
  })

  test('a quiet server begins what comes at once, turn after turn', async () => {
    const peer = connect(new Load(), 'a')
    let begun = 0
    const queue = new FairQueue<string>(() => begun++)
    for (let turn = 0; turn < 30; turn++) {
      for (let count = 0; count < 10; count++) queue.add(peer, 'x')
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
      expect(begun).toBe((turn + 1) * 10)
    }
  })

  test('long tasks run one after another, and addresses take turns', async () => {
    const queue = new SerialQueue()
    const order: string[] = []
    let running = 0
    const task = (name: string) => async (): Promise<string> => {
      running++
      expect(running).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      order.push(name)
      if (name === 'a2') throw new Error('failed')
      return name
    }
    const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'c2'].map((name) =>
      queue.run(name[0] as string, task(name)),
    )
    const results = await Promise.allSettled(all)
    expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'c2', 'a4'])
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      ...Array.from({ length: 5 }, () => 'fulfilled'),
    ])
    expect(await queue.run('d', task('d1'))).toBe('d1')
  })
})

describe('faults', () => {
  test('are told a few of each kind in a window, and the rest as a number', () => {
    const told: Fault[] = []
    const faults = new ErrorLog((fault) => void told.push(fault))
    for (let count = 1; count <= 500; count++) {
      faults.note(`r-${count}`, new SottoError('unidentified', 'nobody'))
    }
    faults.note(
      'r-x',
      new SottoError('internal', 'Broken', { cause: new TypeError('inside'), hint: 'Mend' }),
    )
    expect(told).toHaveLength(11)
    expect(told.at(-1)).toEqual({
      request: 'r-x',
      code: 'internal',
      message: 'Broken: TypeError: inside',
      hint: 'Mend',
    })
    faults.flush()
    expect(told.at(-1)).toMatchObject({ request: 'r-500', code: 'unidentified' })
    expect(told.at(-1)?.message).toContain('490 more')
    faults.note('r-y', new SottoError('unidentified', 'nobody'))
    expect(told).toHaveLength(13)
    faults.flush()
    expect(told).toHaveLength(13)
  })

  test('are told at the end of the window by themselves', async () => {
    const told: Fault[] = []
    const faults = new ErrorLog((fault) => void told.push(fault), 20)
    for (let count = 0; count < 12; count++) faults.note('r', new SottoError('internal', 'x'))
    await expect.poll(() => told.length).toBe(11)
    expect(told.at(-1)?.message).toContain('2 more')
  })
})
