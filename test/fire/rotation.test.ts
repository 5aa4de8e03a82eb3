import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { rotationUnderFire } from './rotation.ts'

/** A rotation of so many takes longer than the server lives, most of the times. */
const versions = depth({ usual: 20_000, full: 100_000 })
const rounds = depth({ usual: 8, full: 12 })

test(`${versions} versions are rotated under load by a server that is killed again and again`, async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const totals = await rotationUnderFire({ versions, rounds, seed })
  console.log(`seed ${seed}`, totals)
  expect(totals.rounds).toBe(rounds)
  expect(totals.resumed).toBeGreaterThan(0)
  expect(totals.answered).toBeGreaterThan(1000)
  expect(totals.versions).toBeGreaterThanOrEqual(versions)
})
