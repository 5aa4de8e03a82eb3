import { expect, test } from 'vitest'
import { depth } from '../support/depth.ts'
import { rootRotationUnderFire } from './root-rotation.ts'

const versions = depth({ usual: 2000, full: 4000 })
const rounds = depth({ usual: 5, full: 50 })

test('A5: the root key is replaced under load by a server that is killed again and again', async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const totals = await rootRotationUnderFire({ versions, rounds, seed })
  console.log(`seed ${seed}`, totals)
  expect(totals.rounds).toBe(rounds)
  expect(totals.stolen).toBe(rounds)
  expect(totals.mirrored).toBe(40)
  expect(totals.answered).toBeGreaterThan(100)
})
