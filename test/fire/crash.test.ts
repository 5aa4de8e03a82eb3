import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { crash } from './crash.ts'
import { noDisks } from './support-crash/disk.ts'

const seed = (): number => Math.floor(Math.random() * 1e9)

test('servers killed at random instants: what was acknowledged is there, whole, and recorded', async () => {
  const rounds = depth({ usual: 66, full: 200 })
  const totals = await crash(rounds, seed())
  console.log(totals)
  expect(totals.rounds).toBe(rounds)
  // The kills fell into every part of the work.
  for (const part of [
    'values',
    'changes',
    'silent',
    'abandoned',
    'unread',
    'killedEarly',
  ] as const) {
    expect(totals[part], part).toBeGreaterThan(10)
  }
})

const without = process.env['CI'] === 'true' ? undefined : noDisks()

test.skipIf(without !== undefined)(
  '24 losses of power: what was acknowledged was on the disk, not only in memory',
  async () => {
    const totals = await crash(24, seed(), true)
    console.log(totals)
    expect(totals.rounds).toBe(24)
    expect(totals.changes).toBeGreaterThan(50)
    expect(totals.silent + totals.abandoned).toBeGreaterThan(0)
  },
)
