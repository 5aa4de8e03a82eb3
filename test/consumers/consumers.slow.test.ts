/** What programs hold, over a restart of the server: with a file, without one, and with a damaged one. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import { Consumers } from '../../server/consumers/consumers.ts'
import type { Call } from '../../server/gate/gate.ts'
import { recordingLogger } from '../support/logger.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { NAME, speakerOf } from './world.ts'

const ID = 'a'.repeat(32)
const DAY_MS = 86_400_000

/** Timers that the test moves. */
class Hand {
  time = 0
  readonly #alarms = new Set<{ readonly at: number; readonly act: () => void }>()
  readonly timers = {
    now: () => this.time,
    after: (ms: number, act: () => void) => {
      const alarm = { at: this.time + ms, act }
      this.#alarms.add(alarm)
      return () => void this.#alarms.delete(alarm)
    },
  }

  pass(ms: number): void {
    this.time += ms
    for (const alarm of this.#alarms) {
      if (alarm.at > this.time) continue
      this.#alarms.delete(alarm)
      alarm.act()
    }
  }
}

let directory: ReturnType<typeof temporaryDirectory>
let log: AuditLog
let hand: Hand
let said: string[]
const path = (): string => join(directory.path, 'holdings')

beforeEach(async () => {
  directory = temporaryDirectory()
  hand = new Hand()
  said = []
  log = await openLog()
})

afterEach(async () => {
  await log.close()
  directory[Symbol.dispose]()
})

function openLog(): Promise<AuditLog> {
  return AuditLog.open({
    directory: join(directory.path, 'audit'),
    logId: ID,
    revision: () => 1,
  })
}

function make(branch = 'b'.repeat(16)): Consumers {
  return new Consumers({
    path: path(),
    audit: join(directory.path, 'audit'),
    log,
    store: { id: ID, branch },
    timers: hand.timers,
    clock: () => new Date(0),
    logger: recordingLogger(said),
  })
}

async function started(branch?: string): Promise<Consumers> {
  const consumers = make(branch)
  await consumers.begin()
  return consumers
}

function callOf(node: string, label?: string): Call {
  const { caller } = speakerOf(node, label)
  return { caller: { ...caller, rules: [] }, request: '00', client: label }
}

/** What the gate does when a value leaves. */
async function release(consumers: Consumers, call: Call, version: number, held = 0): Promise<void> {
  const { node, principal } = call.caller
  await log.append({
    kind: 'access',
    request: call.request,
    principal,
    action: 'get',
    authorized: true,
    secret: NAME,
    secretVersion: version,
    result: 'ok',
    ...(node !== undefined && { node }),
    ...(call.client !== undefined && { client: call.client }),
    ...(held > 0 && { held }),
  })
  consumers.given(call, NAME, version, held)
}

async function statesOf(consumers: Consumers, active: number): Promise<string[]> {
  const { holders, doubts } = await consumers.rollout(NAME, active)
  return [
    ...holders.map(({ holder, state, version }) =>
      [holder.node.key, holder.label ?? '-', version, state].join(' '),
    ),
    ...doubts,
  ].toSorted()
}

/** Resolves once the file is written again. */
async function kept(): Promise<void> {
  rmSync(path(), { force: true })
  hand.pass(60_000)
  await expect.poll(() => existsSync(path()), { timeout: 30_000 }).toBe(true)
}

test('it is kept at a stop, and unknown until it is heard again', async () => {
  const before = await started()
  await release(before, callOf('n1'), 1)
  await release(before, callOf('n2', 'a'), 1)
  expect(await statesOf(before, 1)).toEqual(['n1 - 1 current', 'n2 a 1 current'])
  await before.close()
  const after = await started()
  expect(await statesOf(after, 1)).toEqual(['n1 - 1 unknown', 'n2 a 1 unknown'])
  after.claimed(callOf('n2', 'a'), NAME, 1)
  expect(await statesOf(after, 1)).toEqual(['n1 - 1 unknown', 'n2 a 1 current'])
  await after.close()
})

test('what left since the file was written is read from the log, with what it was exchanged for', async () => {
  const before = await started()
  await release(before, callOf('n1'), 1)
  await release(before, callOf('n1'), 1)
  await kept()
  await release(before, callOf('n1'), 2, 1)
  await release(before, callOf('n2', 'a'), 2)
  // It is killed here.
  const after = await started()
  after.claimed(callOf('n1'), NAME, 2)
  expect(await statesOf(after, 2)).toEqual(['n1 - 1 unknown', 'n2 a 2 unknown'])
  await release(after, callOf('n1'), 2, 1)
  for (const ms of [60_000, 60_000]) {
    hand.pass(ms)
    after.claimed(callOf('n1'), NAME, 2)
    after.claimed(callOf('n2', 'a'), NAME, 2)
  }
  expect(await statesOf(after, 2)).toEqual(['n1 - 2 current', 'n2 a 2 current'])
  await after.close()
})

test('what a claim alone tells is kept at once', async () => {
  const before = await started()
  await release(before, callOf('n1', 'a'), 1)
  await kept()
  rmSync(path())
  before.claimed(callOf('n1', 'b'), NAME, 1)
  await expect
    .poll(
      () => {
        hand.pass(500)
        return existsSync(path())
      },
      { timeout: 30_000 },
    )
    .toBe(true)
  await before.close()
  const after = await started()
  expect(await statesOf(after, 1)).toEqual(['n1 a 1 unknown', 'n1 b 1 unknown'])
  await after.close()
})

describe.each([
  ['missing', () => rmSync(path())],
  ['cut', () => writeFileSync(path(), readFileSync(path()).subarray(0, -7))],
  ['of something else', () => writeFileSync(path(), '{}\n')],
])('a file that is %s', (kind, harm) => {
  test('is made again from the log, which is not trusted for a day', async () => {
    const before = await started()
    await release(before, callOf('n1'), 1)
    await release(before, callOf('n1'), 2, 1)
    await release(before, callOf('n2', 'a'), 1)
    await log.append({ kind: 'abandoned', of: log.head.id, reason: 'it did not leave' })
    await release(before, callOf('n3', 'a'), 1)
    await before.close()
    harm()
    const after = await started()
    expect(said.join('\n')).toMatch(
      kind === 'missing' ? /^$/ : /holdings is of no use, since it is damaged/,
    )
    const listens = expect.stringMatching(/known from the audit log alone: .* for 24 h more/)
    expect(await statesOf(after, 2)).toEqual(['n1 - 2 unknown', 'n3 a 1 unknown', listens])
    for (const [node, label] of [['n1'], ['n3', 'a']] as const) {
      await release(after, callOf(node, label), 2)
    }
    hand.pass(6000)
    expect(await statesOf(after, 2)).toEqual(['n1 - 2 current', 'n3 a 2 current', listens])
    // A secret of which nothing had left is known.
    expect((await after.rollout('another', 1)).doubts).toEqual([])
    await after.close()
    const later = await started()
    expect(await statesOf(later, 2)).toContainEqual(listens)
    hand.pass(DAY_MS)
    for (const [node, label] of [['n1'], ['n3', 'a']] as const) {
      later.claimed(callOf(node, label), NAME, 2)
    }
    expect(await statesOf(later, 2)).toEqual(['n1 - 2 current', 'n3 a 2 current'])
    await later.close()
  })
})

test('the file of another branch is not used', async () => {
  const before = await started()
  before.given(callOf('n1'), 'never on the log', 1, 0)
  await before.close()
  const after = await started('c'.repeat(16))
  expect((await after.rollout('never on the log', 1)).holders).toEqual([])
  await after.close()
})

test('what is told while it reads counts once, however much that is', async () => {
  const before = await started()
  await release(before, callOf('n1'), 1)
  await before.close()
  const after = make()
  // Not a turn passes before it reads.
  const reading = after.begin()
  const early = after.rollout(NAME, 1)
  for (let times = 0; times < 60_000; times++) after.claimed(callOf('n1'), NAME, 1)
  await release(after, callOf('n1'), 2, 1)
  expect((await early).doubts).toEqual(['it is still being read what programs hold'])
  await reading
  for (const ms of [60_000, 60_000]) {
    hand.pass(ms)
    after.claimed(callOf('n1'), NAME, 2)
  }
  expect(await statesOf(after, 2)).toEqual(['n1 - 2 current'])
  await after.close()
})

test('a stop while it reads ends it, and leaves the file', async () => {
  const before = await started()
  await release(before, callOf('n1'), 1)
  await before.close()
  const bytes = readFileSync(path())
  await log.append({ kind: 'stop', version: '0' })
  const after = make()
  void after.begin()
  await after.close()
  expect(readFileSync(path())).toEqual(bytes)
})

test('a disk that takes nothing is told once, and harms nobody', async () => {
  const consumers = new Consumers({
    path: join(directory.path, 'none', 'holdings'),
    audit: join(directory.path, 'audit'),
    log,
    store: { id: ID, branch: '' },
    timers: hand.timers,
    clock: () => new Date(0),
    logger: recordingLogger(said),
  })
  await consumers.begin()
  for (let times = 0; times < 3; times++) {
    await release(consumers, callOf('n1'), 1)
    hand.pass(60_000)
    await expect.poll(() => said, { timeout: 30_000 }).toHaveLength(1)
  }
  expect(said[0]).toContain('what programs hold is not kept over a restart')
  expect(await statesOf(consumers, 1)).toEqual(['n1 - 1 current'])
  await consumers.close()
})
