/** A mirror does the same whatever the clock of the day does: it goes by one that never jumps. */
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { Lag } from '../../server/mirror/lag.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { bytes, startService } from '../support/service.ts'

const ORIGIN = 'http://127.0.0.1:9'
const START = Date.parse('2026-03-01T10:00:00Z')
const SEQUENCES = depth({ usual: 1, full: 60 })
const STEPS = 16

/** What a step does besides moving the clock. */
interface Step {
  /** Goes by, in milliseconds. */
  readonly passes: number
  readonly change: (typeof changes)[number]
}

/** What two secrets are refused for, until each is mended. */
const changes = ['nothing', 'good', 'bad', 'worse', 'mend bad', 'mend worse'] as const

function stepsOf(seed: number): Step[] {
  const draw = drawsOf(seed)
  return Array.from({ length: STEPS }, () => ({
    passes: [0, 20_000, 40_000, 400_000, 4_000_000][Math.floor(draw() * 5)] ?? 0,
    change: changes[Math.floor(draw() * changes.length)] ?? 'nothing',
  }))
}

/** What a mirror did in each step: attempts, comparisons, states and lag. The clock moves by `seed`, if given. */
async function history(steps: readonly Step[], seed?: number): Promise<unknown[]> {
  const draw = seed === undefined ? undefined : drawsOf(seed)
  const shared = new SharedMemory()
  let wall = START
  let monotonic = 0
  const refused = new Set(['prod/bad', 'prod/worse'])
  let calls: string[] = []
  shared.before = (method, name) => {
    if (method === 'readProjection' || method === 'writeProjection') calls.push(`${method} ${name}`)
    if (method === 'writeProjection' && refused.has(name)) {
      throw new SottoError('backend_refused', 'permission denied')
    }
  }
  // Nothing runs by itself: each step asks.
  const timers = { now: () => monotonic, after: () => () => {} }
  await using service = await startService(
    {
      clock: () => new Date(wall),
      timers,
      openBackend: (_, { owner }) => new MemoryBackend(owner, shared),
    },
    { backendOrigins: [ORIGIN] },
  )
  const client = service.client()
  await client.put('backends/vault', bytes('token'))
  const mirror = { secrets: ['prod/*'], onDrift: 'report' as const, onDelete: 'keep' as const }
  await client.operate('backend-create', mirroredBackend(ORIGIN, mirror))
  const told: unknown[] = []
  let count = 0
  for (const { passes, change } of steps) {
    monotonic += passes
    wall = draw ? moved(wall + passes, START + monotonic, draw) : START + monotonic
    calls = []
    const [mended, changed] = change.startsWith('mend ') ? [change.slice(5), ''] : ['', change]
    if (mended) refused.delete(`prod/${mended}`)
    else if (changed !== 'nothing') {
      const name = `prod/${changed}`
      if (changed !== 'good') refused.add(name)
      await client.activate(name, await client.put(name, bytes(`value ${++count}`)))
    }
    await client.operate('job-run', { Name: 'mirror' })
    const [status] = await client.operate('mirror-status', { Backend: 'vault' })
    const { Counts, LagSeconds, Items = [] } = status ?? {}
    const items = Items.map(({ Name }) => Name)
    told.push({ passes, change, Counts, LagSeconds, items, calls: calls.toSorted() })
  }
  return told
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: attempts, comparisons and lag are the same with the clock moved: sequence %i',
  async (seed) => {
    const steps = stepsOf(seed)
    expect(await history(steps, seed * 7 + 1)).toEqual(await history(steps))
  },
  120_000,
)

describe('how long changes wait', () => {
  test('U1: the oldest is the one that came first, whatever the dates of the others', () => {
    const timers = new ManualTimers()
    const lag = new Lag(timers)
    const seen = (count: number): number => {
      lag.note(count)
      return lag.ms
    }
    expect(seen(0)).toBe(0)
    lag.waits('a')
    timers.advance(1000)
    lag.waits('b')
    timers.advance(1000)
    // It changed once more, and readers wait for it no shorter.
    lag.waits('a')
    expect([seen(2), lag.of('a'), lag.of('b')]).toEqual([2000, 2000, 1000])
    lag.settled('b')
    expect(seen(1)).toBe(2000)
    lag.settled('a')
    lag.waits('b')
    expect(seen(1)).toBe(0)
  })

  test('U1: one from before the start waits since then', () => {
    const timers = new ManualTimers()
    const lag = new Lag(timers)
    timers.advance(500)
    lag.note(1)
    expect([lag.ms, lag.of('a')]).toEqual([500, 500])
  })
})
