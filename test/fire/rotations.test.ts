import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { rotationsUnderFire } from './rotations.ts'

const rounds = depth({ usual: 5, full: 200 })

test(`rotations of secrets come to their end on a server that is killed ${rounds} times`, async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const totals = await rotationsUnderFire({ secrets: 8, rounds, seed })
  console.log(`seed ${seed}`, totals)
  expect(totals.rounds).toBe(rounds)
  expect(totals.runs).toBeGreaterThan(0)
})
