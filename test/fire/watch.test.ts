import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { watchUnderFire } from './watch.ts'

const rounds = depth({ usual: 20, full: 200 })
const clients = 200

test(`${clients} programs hold what is active after each of ${rounds} kills of the server, and no rollout ends early`, async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const totals = await watchUnderFire({ rounds, clients, seed })
  console.log(`seed ${seed}`, totals)
  expect(totals.rounds).toBe(rounds)
  expect(totals.activated).toBeGreaterThan(0)
  expect(totals.converged).toBeGreaterThan(0)
})
