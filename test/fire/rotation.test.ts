import { expect, test } from 'vitest'
import { rotationUnderFire } from './rotation.ts'

test('100,000 versions are rotated under load by a server that is killed again and again', async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const totals = await rotationUnderFire({ versions: 100_000, rounds: 12, seed })
  console.log(`seed ${seed}`, totals)
  expect(totals.rounds).toBe(12)
  expect(totals.resumed).toBeGreaterThan(0)
  expect(totals.answered).toBeGreaterThan(1000)
  expect(totals.versions).toBeGreaterThanOrEqual(100_000)
})
