import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { describeWith } from '../support/peers.ts'
import { migrations } from './migration.ts'

const secrets = depth({ usual: 250, full: 1000 })
const rounds = 3
const kills = depth({ usual: 5, full: 12 })

describeWith(['bao'], 'secrets that move', () => {
  test(`${secrets} secrets, killed between any two steps, resumed: nothing lost, nothing written twice`, async () => {
    const seed = Math.floor(Math.random() * 1e9)
    const totals = await migrations({ secrets, rounds, kills, seed })
    console.log({ seed, ...totals })
    expect(totals.moved).toBeGreaterThanOrEqual(rounds * secrets)
    expect(totals.compared).toBeGreaterThan(totals.moved)
    // The kills fell into every part of the work.
    expect(totals.beforeFlip).toBeGreaterThan(0)
    expect(totals.beforeRemoval).toBeGreaterThan(0)
    expect(totals.ofCommand).toBeGreaterThan(0)
  })
})
