/** What holdings take of memory; `HOLDINGS=1000000` measures the bound itself. */
import { expect, test } from 'vitest'
import { measureHoldings, shapes } from '../bench/held.ts'

const count = Number(process.env['HOLDINGS'] ?? 130_000)

test.each(shapes)('%s: 1,000,000 holdings fit into 200 MiB', { timeout: 300_000 }, (shape) => {
  const { rows, mebibytes, mebibytesKept } = measureHoldings(shape, count)
  // A count just above a power of two is the worst: the columns have room for twice as many.
  const share = (200 * count) / 1_000_000
  expect(rows).toBeGreaterThanOrEqual(count)
  expect(mebibytes).toBeGreaterThan(0)
  expect(Math.max(mebibytes, mebibytesKept)).toBeLessThan(share)
})
