import { expect, test } from 'vitest'
import { describeWith } from '../support/peers.ts'
import { migrations } from './migration.ts'

describeWith(['bao'], 'secrets that move', () => {
  test('1,000 secrets, killed between any two steps, resumed: nothing lost, nothing written twice', async () => {
    const seed = Math.floor(Math.random() * 1e9)
    const totals = await migrations({ secrets: 1000, rounds: 3, seed })
    console.log({ seed, ...totals })
    expect(totals.moved).toBe(3000)
    expect(totals.compared).toBeGreaterThan(3000)
    // The kills fell into every part of the work.
    expect(totals.beforeFlip).toBeGreaterThan(2)
    expect(totals.beforeRemoval).toBeGreaterThan(0)
    expect(totals.ofCommand).toBeGreaterThan(2)
  })
})
