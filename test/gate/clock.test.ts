/** Refusals are counted by a timer: a clock that is moved loses none, and counts none twice. */
import { afterEach, expect, test, vi } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, Entry } from '../../audit/record.ts'
import { Refusals } from '../../server/gate/refusals.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'

const START = Date.parse('2026-11-28T12:00:00Z')
const SEQUENCES = depth({ usual: 20, full: 500 })
const STEPS = 60

afterEach(() => vi.useRealTimers())

function refusal(name: number): AccessEntry {
  return {
    kind: 'access',
    request: 'a',
    principal: { hostname: 'app', ip: '100.64.0.9', tags: ['tag:app'] },
    action: 'get',
    authorized: false,
    secret: `prod/${name}`,
    result: 'denied',
  }
}

/** What is on the log at each moment, by the timers: each line the record of one refusal, or how many it counts. */
async function history(seed: number, moves: boolean): Promise<{ told: string[]; sum: number }> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const draw = drawsOf(seed)
  let passed = 0
  let wall = START
  const told: string[] = []
  let sum = 0
  const log = {
    lowSpace: false,
    append: async (entry: Entry) => {
      const count = entry.kind === 'refusals' ? entry.count : 1
      sum += count
      told.push(`${passed}: ${entry.kind} ${count}`)
    },
  } as unknown as AuditLog
  const refusals = new Refusals(log, () => new Date(moves ? wall : START + passed))
  for (let step = 0; step < STEPS; step++) {
    const passes = [0, 0, 5000, 31_000][Math.floor(draw() * 4)] ?? 0
    wall = moved(wall + passes, START + passed + passes, draw)
    passed += passes
    await vi.advanceTimersByTimeAsync(passes)
    await refusals.record(refusal(Math.floor(draw() * 3)))
  }
  await refusals.flush()
  return { told, sum }
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: refusals are recorded and counted in the same windows with the clock moved: sequence %i',
  async (seed) => {
    const expected = await history(seed, false)
    expect(expected.sum).toBe(STEPS)
    expect(expected.told.some((line) => line.includes('refusals'))).toBe(true)
    expect(await history(seed, true)).toEqual(expected)
  },
)
