/** A certificate is renewed in time whatever the clock did before: it goes by that only at the moment of a look. */
import { expect, test } from 'vitest'
import { TailnetCertificates } from '../../server/http/certificates/tailnet-certificates.ts'
import { ManualTimers, settled } from '../audit/fixtures.ts'
import { makePair } from '../support/certificates.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'
import { silentLogger } from '../../server/platform/logger.ts'

const NAME = 'secrets.tail-test.ts.net'
const START = Date.parse('2026-06-01T00:00:00Z')
const HOUR = 3_600_000
const DAY = 24 * HOUR
const SEQUENCES = depth({ usual: 10, full: 300 })
const STEPS = 25

/** The issuer makes one every ten days, for thirty. */
const pairs = Array.from({ length: 40 }, (_, at) =>
  makePair([NAME], {
    from: new Date(START + (at - 1) * 10 * DAY),
    until: new Date(START + (at + 2) * 10 * DAY),
  }),
)

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: half a day after the clock is right again, a certificate in its time is shown: sequence %i',
  async (seed) => {
    const draw = drawsOf(seed)
    const timers = new ManualTimers()
    let wall = START
    let away = false
    const right = (): number => START + timers.now()
    const certificates = await TailnetCertificates.open(
      {
        // By the clock of the network, as an issuer does.
        fetch: async () => {
          if (away) throw new Error('it is away')
          return pairs[Math.floor((right() - START) / (10 * DAY))] as (typeof pairs)[number]
        },
        name: () => NAME,
        random: draw,
      },
      {
        clock: () => new Date(wall),
        schedule: (ms, act) => timers.after(ms, act),
        logger: silentLogger,
      },
    )
    const pass = async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; left -= HOUR / 4) {
        timers.advance(HOUR / 4)
        wall += HOUR / 4
        await settled()
      }
    }
    for (let step = 0; step < STEPS; step++) {
      wall = moved(wall, right(), draw)
      away = draw() < 0.2
      await pass([HOUR, 7 * HOUR, 2 * DAY, 9 * DAY][Math.floor(draw() * 4)] ?? 0)
      wall = right()
      away = false
      await pass(14 * HOUR)
      const { beganAt, endsAt } = certificates.current
      expect(beganAt.getTime()).toBeLessThanOrEqual(right())
      expect(endsAt.getTime() - right()).toBeGreaterThan(DAY)
      await certificates.check()
    }
    certificates.close()
  },
  60_000,
)
