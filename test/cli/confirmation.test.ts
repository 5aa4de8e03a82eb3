/** A token that confirms an act is good for a minute: a clock that moved makes none good again, and none for longer. */
import { expect, test } from 'vitest'
import { confirm } from '../../cli/handlers/confirmation.ts'
import type { Invocation } from '../../cli/invocation.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'

const START = Date.parse('2026-11-28T12:00:00Z')
const SEQUENCES = depth({ usual: 20, full: 500 })

/** The fresh token that an attempt at `now` is refused with; undefined: it was confirmed. */
function freshToken(now: number, token?: string): string | undefined {
  const invocation = { server: 'http://a', on: () => false, io: { now: () => now } }
  try {
    confirm(invocation as unknown as Invocation, 'delete:prod/key', token)
    return undefined
  } catch (error) {
    return /use token "([^"]+)"/.exec((error as Error).message)?.[1]
  }
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: it is good while the clock says less than a minute after it was given: sequence %i',
  (seed) => {
    const draw = drawsOf(seed)
    let right = START
    let wall = START
    let given = wall
    let token = freshToken(wall)
    for (let step = 0; step < 40; step++) {
      const passes = Math.floor(draw() * 90_000)
      right += passes
      wall = moved(wall + passes, right, draw)
      const fresh = freshToken(wall, token)
      const since = wall - given
      // Ends are in whole seconds.
      const may = [since >= -1000 && since <= 61_000, since < 0 || since >= 60_000]
      expect(may[fresh === undefined ? 0 : 1]).toBe(true)
      if (fresh === undefined) continue
      token = fresh
      given = wall
    }
  },
)
